// What the tests of secrets share: a world with secrets in it, and a look at what is stored of one.
import { newId } from '../../src/db/id.ts'
import { isRefusal } from '../../src/refusals.ts'
import { secretPlace } from '../../src/resolvers/reference.ts'
import { type SetSecretPayload, setSecret } from '../../src/resolvers/secret.ts'
import type { Sealing } from '../../src/sealing.ts'
import type { World } from '../races/world.ts'
import { testSealing, withTriggersOff } from '../row.ts'

/** Keeps a value; returns the id of its secret. */
export async function kept(world: World, name: string, value = 'v', environment = 'development'): Promise<string> {
  const answer = await setSecret(world.context, { name, value, environment })
  if (isRefusal(answer)) throw new Error(answer.message)
  return (answer as SetSecretPayload).secret.id
}

export interface StoredSecret {
  readonly id: string
  readonly state: string
  readonly revision: number
  readonly version: number
  /** Opened; null once it is deleted. */
  readonly value: string | null
  readonly sealed: string | null
}

/** Every secret that ever had the name, oldest first, with its value opened. */
export async function stored(world: World, name: string, sealing: Sealing = testSealing): Promise<StoredSecret[]> {
  const rows = await world.stranger<(Omit<StoredSecret, 'value'> & { teamId: string })[]>`
    select id, state, revision, version, value as sealed, team_id as "teamId" from secret where name = ${name} order by created_at, id`
  return rows.map(({ teamId, ...row }) => ({
    ...row,
    value: row.sealed === null ? null : sealing.open(row.sealed, secretPlace({ ...row, teamId })),
  }))
}

/** How many secrets the plan says are there, and how many are. */
export async function counted(world: World): Promise<{ used: number; live: number }> {
  const [row] = await world.stranger<{ used: number; live: number }[]>`select used,
    (select count(*)::int from secret where state = 'ACTIVE' and team_id = ${world.team.teamId}) as live
    from plan_usage where team_id = ${world.team.teamId} and kind = 'secrets'`
  if (!row) throw new Error('the team has no plan')
  return row
}

/** A secret in any state, past the triggers; a live one counts against the plan. Returns its id. */
export async function putSecret(
  world: World,
  { state, name, environment = 'development' }: { state: string; name: string; environment?: string },
): Promise<string> {
  const id = newId('Secret')
  const { teamId, actor } = world.team
  const value = state === 'ACTIVE' ? testSealing.seal('v', secretPlace({ teamId, id, revision: 1 })) : null
  await withTriggersOff(world.stranger, async (sql) => {
    await sql`insert into secret (id, state, team_id, environment, name, value, changed_at, changed_by)
      values (${id}, ${state}, ${teamId}, ${environment}, ${name}, ${value}, now(), ${actor.id})`
    if (state === 'ACTIVE')
      await sql`update plan_usage set used = used + 1 where team_id = ${teamId} and kind = 'secrets'`
  })
  return id
}
