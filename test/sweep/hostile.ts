// What a hostile client puts into an input: derived from the input's type, so that a new field is attacked as soon as it is
// there. Values are JSON texts, since JSON says more than JavaScript holds: numbers without end, keys twice, `__proto__`.
import fc from 'fast-check'
import {
  type GraphQLInputObjectType,
  type GraphQLInputType,
  getNullableType,
  isEnumType,
  isInputObjectType,
  isListType,
} from 'graphql'

/** A value as it is sent: JSON text. */
type Json = fc.Arbitrary<string>

const text = (value: unknown) => JSON.stringify(value)
const quoted = (of: fc.Arbitrary<string>): Json => of.map(text)

/** Texts that break what is careless: in SQL, in logs, in terminals, in objects used as maps, in UTF-8. */
const nasty = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\uD800',
  'a\uDFFFb',
  '\u202Egnp.exe',
  '\u0007\u001b[2J\r\n{"level":"info"}',
  '\u2028\u2029',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'toString',
  "'; drop table team; --",
  '%s%n{{7*7}}',
  '../../etc/passwd',
  'secret://__proto__',
  'resource://x\0',
  'service://constructor',
  'NaN',
  '-0',
  '1e999',
  'null',
  'é'.normalize('NFD'),
  '𝒳'.repeat(64),
]

const anyText = quoted(
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...nasty) },
    { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
    { weight: 2, arbitrary: fc.string({ maxLength: 80 }) },
    { weight: 1, arbitrary: fc.constantFrom('x'.repeat(256), 'A'.repeat(70_000), '\0'.repeat(5_000)) },
  ),
)
const anyNumber: Json = fc.constantFrom(
  '8760',
  '8761',
  '65536',
  '0',
  '-1',
  '1',
  '2147483647',
  '2147483648',
  '-2147483649',
  '9007199254740993',
  '1e400',
  '-1e400',
  '0.5',
  '1e-7',
  '-0',
  '123456789012345678901234567890',
)
/** Of no type that was asked for. */
const wrong: Json = fc.constantFrom(
  'null',
  'true',
  '[]',
  '{}',
  '[[[]]]',
  '{"__proto__":{"scopes":["admin"]}}',
  '{"constructor":{"prototype":1}}',
  '"NONE_OF_THEM"',
  '0',
)
const anyKey = quoted(
  fc.oneof(
    fc.constantFrom('k', 'K'.repeat(255), 'k'.repeat(256), ' ', '', '\0', 'ключ', '__proto__', '\u202E', 'a b'),
    fc.stringMatching(/^[!-~]{1,40}$/),
  ),
)

/** Ids that look right, and are of this team, of another, or of nothing. */
export type Ids = readonly string[]

/** A value for a place of that type: mostly of the right form, with something wrong in it. `name` is that of the field. */
function hostileValue(type: GraphQLInputType, name: string, ids: Ids, depth: number): Json {
  const bare = getNullableType(type)
  if (isListType(bare)) {
    const one = hostileValue(bare.ofType, name, ids, depth)
    const list = fc.oneof(
      { weight: 6, arbitrary: fc.array(one, { maxLength: 4 }) },
      // The same again and again, and more than any rule allows.
      { weight: 1, arbitrary: one.map((each) => [each, each]) },
      { weight: 1, arbitrary: one.map((each) => Array.from({ length: each.length > 1_000 ? 3 : 600 }, () => each)) },
    )
    return seldom(list.map((each) => `[${each.join(',')}]`))
  }
  if (isInputObjectType(bare)) return depth === 0 ? wrong : seldom(objectOf(bare, ids, depth - 1))
  if (isEnumType(bare)) return seldom(fc.constantFrom(...bare.getValues().map((one) => text(one.name))))
  if (name === 'idempotencyKey') return seldom(anyKey)
  const plain: Record<string, Json> = {
    ID: fc.oneof(
      { weight: 3, arbitrary: quoted(fc.constantFrom(...ids)) },
      { weight: 1, arbitrary: anyText },
      { weight: 1, arbitrary: anyNumber },
    ),
    Int: anyNumber,
    Float: anyNumber,
    Boolean: fc.constantFrom('true', 'false'),
    DateTime: fc.constantFrom(
      '"2030-01-01T00:00:00Z"',
      '"9999-12-31T23:59:59Z"',
      '"+275760-09-13T00:00:00Z"',
      '"x"',
      '0',
    ),
  }
  return seldom(plain[bare.name] ?? anyText)
}

/** Now and then of another type altogether. */
const seldom = (right: Json): Json => fc.oneof({ weight: 30, arbitrary: right }, { weight: 1, arbitrary: wrong })

/** All fields of an input, each given or left out; now and then one that it does not have. */
function objectOf(type: GraphQLInputObjectType, ids: Ids, depth: number): Json {
  const fields = Object.values(type.getFields()).map((field) =>
    fc.option(
      hostileValue(field.type, field.name, ids, depth).map((value) => `${text(field.name)}:${value}`),
      { freq: 4 },
    ),
  )
  const unknown = fc.option(fc.constantFrom('"nobody":1', '"__proto__":{"id":1}', '"constructor":null'), {
    freq: 1,
    nil: null,
  })
  return fc
    .tuple(fc.tuple(...fields), fc.tuple(fc.integer({ min: 0, max: 19 }), unknown))
    .map(([known, [dice, more]]) => {
      const given = known.filter((one) => one !== null)
      return `{${[...given, ...(dice === 0 && more !== null ? [more] : [])].join(',')}}`
    })
}

/** Inputs of a mutation: hostile throughout, or a good one with one or two fields made hostile. */
export function inputsOf(type: GraphQLInputObjectType, good: Readonly<Record<string, unknown>>, ids: Ids): Json {
  const fields = Object.values(type.getFields())
  const spoilt = fc
    .subarray(fields, { maxLength: 2 })
    .chain((some) =>
      fc.tuple(
        ...some.map((field) =>
          hostileValue(field.type, field.name, ids, 2).map((value) => [field.name, value] as const),
        ),
      ),
    )
    .map((replaced) => {
      const all = new Map(Object.entries(good).map(([name, value]) => [name, text(value)]))
      for (const [name, value] of replaced) all.set(name, value)
      return `{${[...all].map(([name, value]) => `${text(name)}:${value}`).join(',')}}`
    })
  return fc.oneof({ weight: 3, arbitrary: spoilt }, { weight: 1, arbitrary: objectOf(type, ids, 2) })
}
