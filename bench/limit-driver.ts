// The limit without pgbench: as many connections of postgres.js, each running the statement again as soon as it is answered, in a
// process of its own. Tells of each when it ended and how long it took; one that did not move its row ends the process.
import postgres from 'postgres'
import { newId } from '../src/db/id.ts'
import { anyOf, idOf, type Seeded, teamOf } from './subject.ts'

export interface LimitOrder {
  readonly url: string
  readonly settings: Readonly<Record<string, string>>
  /** The statement, and the name of the value that each of its parameters stands for. */
  readonly text: string
  readonly names: readonly string[]
  readonly seeded: Seeded
  readonly clients: number
  readonly leadMs: number
  readonly countedMs: number
}

export interface Transaction {
  readonly endedMs: number
  readonly tookMs: number
}

/** The values of one call. */
function valuesOf(seeded: Seeded): Readonly<Record<string, string>> {
  const n = anyOf(seeded, 'redeployable')
  const team = teamOf(seeded, n)
  const key = crypto.randomUUID()
  return {
    id: idOf('dep', n),
    teamId: idOf('team', team),
    actorKind: 'token',
    actorId: idOf('tok', team),
    requestId: key,
    transitionId: key,
    operationIds: newId('Operation'),
    mutation: 'redeployDeployment',
    key,
    inputHash: '5'.repeat(64),
  }
}

async function run({ url, settings, text, names, seeded, clients, ...time }: LimitOrder): Promise<Transaction[]> {
  const sql = postgres(url, { max: clients, connection: settings, onnotice: () => {} })
  const untilMs = performance.now() + time.leadMs + time.countedMs
  const made: Transaction[] = []
  const client = async () => {
    for (let since = performance.now(); since < untilMs; since = performance.now()) {
      const values = valuesOf(seeded)
      const parameters = names.map((name) => values[name] ?? null)
      const [row] = await sql.unsafe(text, parameters, { prepare: true }).values()
      // The moved row and the operation are beside the one that was found, or empty.
      if (row?.at(-1) === null) throw new Error(`${values.id} was not moved`)
      const endedMs = performance.now()
      made.push({ endedMs, tookMs: endedMs - since })
    }
  }
  await Promise.all(Array.from({ length: clients }, client))
  await sql.end({ timeout: 5 })
  return made
}

process.once('message', async (order: LimitOrder) => {
  const made = await run(order)
  process.send?.(made, () => process.disconnect())
})
