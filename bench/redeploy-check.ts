// What must be the same in everybody who is measured, before anything is counted: the same calls in the same order, what each
// answer means, and what is in the database afterwards. The first difference ends the bench.
import type postgres from 'postgres'
import { mintToken } from '../src/token.ts'
import { bodyOf, type Dialect, type Input, type Meaning } from './redeploy.ts'
import { idOf, numberOf, type Seeded, shares, tokenOf } from './subject.ts'

/** What every one of them must have told and stored. */
const expected = [
  'a stranger: stranger',
  'a call: moved BUILDING +1, a new operation PENDING',
  'its repeat: moved BUILDING +1, the same operation PENDING, replayed',
  'its key for another input: refused IDEMPOTENCY_KEY_REUSED',
  'no key: moved BUILDING +2, a new operation PENDING',
  'two at once under one key: one operation, +3',
  'a deleted one: refused NOT_REDEPLOYABLE',
  'a stopped one: refused NOT_REDEPLOYABLE',
  'one of another team: refused NOT_FOUND',
  'stored: version +3, generation +3, 3 PENDING roll-outs of generations +1 to +3, 6 events with 3 operations, 2 keys',
  'stored of those that were refused: nothing',
].join('\n')

/** Makes the calls on the first deployments of the seed; throws where the answers differ from what is expected. */
export async function checkRedeploy(
  name: string,
  { url, dialect, seeded, sql }: { url: string; dialect: Dialect; seeded: Seeded; sql: postgres.Sql },
): Promise<void> {
  const [n, deleted, stopped] = [shares.redeployable, shares.deleted, shares.stopped].map(({ first }) =>
    numberOf(first, 0),
  ) as [number, number, number]
  const foreign = n + 1
  const id = idOf('dep', n)
  const ids = [n, deleted, stopped, foreign].map((each) => idOf('dep', each))
  const rowsOf = (ids: readonly string[]) => sql`select d.id, d.version, d.generation, d.state,
      (select string_agg(o.generation || o.state || o.kind, ' ' order by o.generation) from operation o
        where o.subject_id = d.id and o.state = 'PENDING') as work,
      (select count(*)::int from event e where e.subject_id = d.id or e.subject_id in (select o.id from operation o where o.subject_id = d.id)) as events,
      (select count(distinct e.operation_id)::int from event e where e.subject_id = d.id) as told,
      (select count(*)::int from idempotency_key k where k.subject_id = d.id) as keys
    from deployment d where d.id in ${sql(ids)} order by d.id`
  const before = await rowsOf(ids)
  const first = before.find((row) => row.id === id)
  const ask = async (of: number, more: Partial<Input> = {}, token = tokenOf(seeded, of)): Promise<Meaning> => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${token}` },
      body: bodyOf(dialect, { id: idOf('dep', of), ...more }),
    })
    return dialect.meaning(response.status, await response.text())
  }
  const known = new Set<string>()
  const asText = (meaning: Meaning): string => {
    if (meaning.kind === 'senseless') return `senseless ${meaning.text}`
    if (meaning.kind !== 'moved') return meaning.kind === 'refused' ? `refused ${meaning.code}` : meaning.kind
    const { operationId, operationState, replayed, state, version } = meaning
    const work = `${known.has(operationId) ? 'the same' : 'a new'} operation ${operationState}`
    known.add(operationId)
    return `moved ${state} +${version - first?.version}, ${work}${replayed ? ', replayed' : ''}${meaning.id === id ? '' : ` of ${meaning.id}`}`
  }
  const told = [
    `a stranger: ${asText(await ask(n, { idempotencyKey: 'one' }, mintToken().plaintext))}`,
    `a call: ${asText(await ask(n, { idempotencyKey: 'one' }))}`,
    `its repeat: ${asText(await ask(n, { idempotencyKey: 'one' }))}`,
    `its key for another input: ${asText(await ask(n, { idempotencyKey: 'one', image: 'hello' }))}`,
    `no key: ${asText(await ask(n))}`,
  ]
  const both = await Promise.all([ask(n, { idempotencyKey: 'two' }), ask(n, { idempotencyKey: 'two' })])
  const operations = new Set(both.map((meaning) => (meaning.kind === 'moved' ? meaning.operationId : asText(meaning))))
  const [highest = 0] = both.map((meaning) =>
    meaning.kind === 'moved' ? meaning.version - first?.version : Number.NaN,
  )
  told.push(
    `two at once under one key: ${operations.size === 1 ? 'one operation' : [...operations].join(', ')}, +${highest}`,
    `a deleted one: ${asText(await ask(deleted, { idempotencyKey: 'three' }))}`,
    `a stopped one: ${asText(await ask(stopped, { idempotencyKey: 'four' }))}`,
    `one of another team: ${asText(await ask(foreign, { idempotencyKey: 'five' }, tokenOf(seeded, n)))}`,
  )
  const after = await rowsOf(ids)
  const last = after.find((row) => row.id === id)
  const more = (of: string) => Number(last?.[of]) - Number(first?.[of])
  const work = [1, 2, 3].map((at) => `${Number(first?.generation) + at}PENDINGdeployment.roll_out`).join(' ')
  told.push(
    `stored: version +${more('version')}, generation +${more('generation')}, ` +
      `${last?.work === work ? '3 PENDING roll-outs of generations +1 to +3' : last?.work}, ` +
      `${more('events')} events with ${more('told')} operations, ${more('keys')} keys`,
  )
  const others = (rows: typeof before) => JSON.stringify(rows.filter((row) => row.id !== id))
  told.push(`stored of those that were refused: ${others(before) === others(after) ? 'nothing' : others(after)}`)
  if (told.join('\n') === expected) return
  const different = told.filter((line) => !expected.split('\n').includes(line))
  throw new Error(`${name} does not do the same as the others:\n${different.join('\n')}`)
}
