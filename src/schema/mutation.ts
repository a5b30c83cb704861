// How a mutation is declared: once, with its input, payload and extra refusals. Its types, its union and the greater part
// of its description (states, effect, idempotence, refusals) come from the machine and the catalogue.
import type { InputFieldMap } from '@pothos/core'
import { needOf } from '../auth.ts'
import type { Machine } from '../lifecycle/machine.ts'
import { codeOf, commonRefusals, isRefusal, type RefusalName, refusalCatalogue } from '../refusals.ts'
import type { Payload, Result } from '../resolvers/call.ts'
import { builder, type Fields, type InputFields, type SchemaContext } from './builder.ts'
import { refusalTypes } from './refusal.ts'

/** Refusals that each mutation adds to the common ones; the schema test compares it with the contract. */
export const extraRefusals = new Map<string, readonly RefusalName[]>()

interface Declaration<P extends Payload> {
  readonly name: string
  readonly machine: Machine
  /** The declared move, where it has another name than the mutation or is another machine's. */
  readonly move?: { readonly machine: Machine; readonly action: string }
  /** What it does and why, before what is derived. */
  readonly summary: string
  /** Whether and how it can be taken back. */
  readonly undo: string
  readonly input: (t: InputFields) => InputFieldMap
  /** False for births, which have no version to expect. */
  readonly versioned: boolean
  readonly payload: (t: Fields<P>) => object
  readonly refusals: readonly RefusalName[]
  readonly resolve: (context: SchemaContext, input: never) => Promise<Result<P>>
}

const capital = (name: string) => name.charAt(0).toUpperCase() + name.slice(1)

/** Declares `<name>(input: <Name>Input!): <Name>Result!`. */
export function declareMutation<P extends Payload>(declaration: Declaration<P>): void {
  const { name } = declaration
  extraRefusals.set(name, declaration.refusals)
  const Name = capital(name)
  const input = builder.inputType(`${Name}Input`, {
    description: `The input of \`${name}\`.`,
    fields: (t) => ({
      ...declaration.input(t),
      idempotencyKey: t.string({
        description:
          '1 to 255 printable ASCII characters, yours to choose, new for each new wish. A repeat with the same key and input ' +
          'is answered as the first call was, for 7 days, and changes nothing.',
      }),
      ...(declaration.versioned
        ? {
            expectedVersion: t.string({
              description:
                'The `version` that you have seen: any other is refused as VersionConflict. Without it the state alone decides.',
            }),
          }
        : {}),
    }),
  })
  const payload = builder.objectRef<P>(`${Name}Payload`).implement({
    description: `What \`${name}\` answers when it was accepted.`,
    fields: (t) => ({
      ...declaration.payload(t),
      replayed: t.boolean({
        description:
          'Whether this is the answer to an earlier call under the same key, with the objects as they are now.',
        resolve: (row) => row.replayed,
      }),
    }),
  })
  const members = [...commonRefusals, ...declaration.refusals]
  const result = builder.unionType(`${Name}Result`, {
    description: `The payload of \`${name}\`, or why it did not happen.`,
    types: [payload, ...members.map((refusal) => refusalTypes[refusal])] as never,
    resolveType: (value) =>
      isRefusal(value as object) ? (value as { refusal: RefusalName }).refusal : `${Name}Payload`,
  })
  builder.mutationField(name, (t) =>
    t.field({
      type: result as never,
      description: describe(declaration),
      args: { input: t.arg({ type: input, required: true, description: 'The one argument.' }) },
      complexity: 10,
      resolve: async (_root, args, context) => {
        const answer = await declaration.resolve(context, args.input as never)
        if (isRefusal(answer)) context.noteRefusal()
        return answer as never
      },
    }),
  )
}

/** The agent's manual of one mutation. */
type Told = Omit<Declaration<Payload>, 'input' | 'payload' | 'resolve'>
function describe({ name, machine, move: other, summary, undo, refusals, versioned }: Told): string {
  const source = other?.machine ?? machine
  const move = source.moves[other?.action ?? name]
  if (!move) throw new Error(`${source.entity} declares no move ${other?.action ?? name}`)
  const subject = `the ${source.entity}`
  const starts = move.from === 'birth' ? `Makes ${subject}, in ${move.to}.` : `Starts from ${move.from.join(', ')}.`
  const leads = move.from === 'birth' ? [] : [move.to === 'same' ? 'The state stays as it is.' : `Leads to ${move.to}.`]
  const guard = move.guard ? [`Also needed: ${move.guard}.`] : []
  const effect = move.effect
    ? [`Accepts an operation \`${move.effect}\`, which is carried out after the answer.`]
    : ['Done when it is answered; nothing is carried out afterwards.']
  const generation = move.newGeneration ? ['Starts a new generation, which supersedes all older work.'] : []
  const codes = refusals.map((refusal) => `- ${codeOf(refusal)}: ${refusalCatalogue[refusal].description}`)
  return [
    summary,
    `**State** (${source.entity}): ${[starts, ...leads, ...guard, ...effect, ...generation].join(' ')}`,
    needed(name),
    '**Idempotence**: with an `idempotencyKey` a repeat is answered as the first call was; without one each call counts' +
      `${versioned ? ', so pass `expectedVersion` when you act on what you have read' : ''}.`,
    `**Reversibility**: ${undo}`,
    `**Refusals**: ${commonRefusals.map(codeOf).join(', ')}${codes.length > 0 ? `, and\n${codes.join('\n')}` : '.'}`,
  ].join('\n\n')
}

function needed(name: string): string {
  const need = needOf(name)
  if (!need) throw new Error(`nobody may call ${name}: it has no row in the table of what actions need`)
  const role = need.role === undefined ? '' : ` The caller must be an ${need.role}.`
  const scope = need.scope === null ? 'no scope' : `the scope \`${need.scope}\``
  return `**Needs** ${scope}, of the action class ${need.class}.${role}`
}
