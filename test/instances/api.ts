// What the tests of instances through the door share: a server, and each call as a client makes it.
import type postgres from 'postgres'
import { expect } from 'vitest'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { createTeam, superuser, type TestTeam } from '../fixture.ts'
import { type Api, openApi } from '../schema/api.ts'
import { capital, mutate } from '../schema/call.ts'
import { type InstanceFacts, putInstance } from './row.ts'

const seen = `id state stateReason version name environment runtime instanceId service generation url lastCheckedAt lastHeartbeatAt
  heartbeatSeconds restarts startedAt restartDueAt deployment { id } stack { id } allowedActions { action allowed because }`

/** Calls a mutation of instances by name, with all that its answers show. */
// biome-ignore lint/suspicious/noExplicitAny: answers are looked at in every shape
type Ask = (input: object, token?: string) => Promise<any>

export interface InstanceApi {
  readonly api: Api
  readonly sql: postgres.Sql
  /** Another team than the one that asks. */
  readonly other: TestTeam
  readonly register: Ask
  readonly beat: Ask
  readonly remove: Ask
  readonly byName: Readonly<Record<string, Ask>>
  /** An instance of the team that asks. */
  put(facts: Omit<InstanceFacts, 'teamId'>): Promise<string>
  /** The events of an object as they are stored, oldest first. */
  eventsOf(id: string): Promise<string[]>
  /** What an instance shows of itself and its past. */
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked at in every shape
  shown(id: string, token?: string): Promise<any>
  /** Takes every remedy of a refusal that is a call: each is accepted as it stands. Answers with what was called. */
  take(refusal: Refused): Promise<(string | null)[]>
  close(): Promise<void>
}
interface Refused {
  readonly remedies: readonly { readonly mutation: string | null; readonly arguments: { readonly input: object } }[]
}

export async function openInstanceApi(): Promise<InstanceApi> {
  const api = await openApi()
  const sql = superuser(api.database.url)
  const ask =
    (mutation: string): Ask =>
    (input, token) =>
      mutate(
        api,
        mutation,
        input,
        `... on ${capital(mutation)}Payload { replayed instance { ${seen} } }
        ... on IllegalState { action instance { id state instanceId } deployment { id } }
        ... on VersionConflict { currentVersion instance { id } } ... on ValidationFailed { faults { path message } }
        ... on Forbidden { missing }`,
        token,
      )
  const byName = Object.fromEntries(
    ['registerInstance', 'heartbeatInstance', 'removeInstance'].map((name) => [name, ask(name)]),
  )
  return {
    api,
    sql,
    other: await createTeam(api.database.url),
    register: ask('registerInstance'),
    beat: ask('heartbeatInstance'),
    remove: ask('removeInstance'),
    byName,
    put: (facts) => putInstance(sql, { teamId: api.team.teamId, ...facts }),
    async eventsOf(id) {
      const rows = await sql<{ kind: string; from: string | null; to: string }[]>`
        select kind, from_state as "from", to_state as "to" from event where subject_id = ${id} order by id`
      return rows.map(({ kind, from, to }) => `${kind} ${from ?? ''}→${to}`)
    },
    async shown(id, token) {
      await sequenceEvents(api.pool.db, 100)
      const query = `query ($id: ID!) { instance(id: $id) { state allowedActions { allowed because } events { nodes { kind } } } }`
      return (await api.call(query, { id }, token)).data.instance
    },
    async take({ remedies }) {
      const calls = remedies.filter(({ mutation }) => mutation !== null)
      for (const { mutation, arguments: given } of calls)
        expect((await byName[String(mutation)]?.(given.input))?.__typename).toBe(`${capital(String(mutation))}Payload`)
      return calls.map(({ mutation }) => mutation)
    },
    async close() {
      await sql.end({ timeout: 1 })
      await api.close()
    },
  }
}
