// Operations on deployments that are written by hand, as they must not be: a look and then a write, an event or a counter in a
// statement of its own, variables that are read, changed and written back.
import { sql } from 'drizzle-orm'
import { quoted } from '../../../src/db/columns.ts'
import { newId } from '../../../src/db/id.ts'
import { deploymentMachine, liveDeploymentStates } from '../../../src/lifecycle/deployment.ts'
import { refuse } from '../../../src/refusals.ts'
import { accepted, bornWork, eventOf, queueOf } from './by-hand.ts'
import { written } from './plant.ts'

const live = sql.raw(quoted(liveDeploymentStates))
const workable = quoted(deploymentMachine.moves.redeployDeployment?.from as string[])
const gone = () => refuse('DeploymentAlreadyDeleted', { message: 'It is gone.' })

/** A deletion that looks first, and writes afterwards by id alone. */
export const split = written(async (context, ids) => {
  const [id, work] = [String(ids.id), newId('Operation')]
  const [seen] = await context.db.execute<{ state: string }>(
    sql`select state from deployment where id = ${id} and state in (${sql.raw(workable)})`,
  )
  if (!seen) return gone()
  const facts = { type: 'Deployment', kind: 'deleteDeployment', from: seen.state, operationId: work }
  await context.db.execute(sql`/* splitDelete */ with moved as (update deployment set state = 'DELETING', version = version + 1,
      generation = generation + 1 where id = ${id} returning *),
    freed as (update plan_usage u set used = used - 1 from moved where u.team_id = moved.team_id and u.kind = 'deployments'),
    queued as (${queueOf(work, 'Deployment', 'deployment.tear_down', 'moved')}), born as (${bornWork(context)})
    ${eventOf(context, 'moved', facts)}`)
  return accepted(work)
})

/** A change whose event comes in a statement of its own. */
export const unevented = written(async (context, ids) => {
  const id = String(ids.id)
  const [found] = await context.db.execute<{ state: string }>(sql`/* bareMerge */ update deployment
    set env = env || '{"Z": {"value": "1"}}', version = version + 1 where id = ${id} and state in (${live}) returning state`)
  if (!found) return gone()
  const facts = { type: 'Deployment', kind: 'mergeDeploymentEnv', from: found.state }
  await context.db.execute(
    sql`/* itsEvent */ with moved as (select * from deployment where id = ${id}) ${eventOf(context, 'moved', facts)}`,
  )
  return { replayed: false }
})

/** A merge that reads the variables, adds to them, and writes all of them back. */
export const readModifyWrite = written(async (context, ids) => {
  const id = String(ids.id)
  const [found] = await context.db.execute<{ env: string }>(
    sql`select env::text as env from deployment where id = ${id}`,
  )
  const env = JSON.stringify({ ...JSON.parse(found?.env ?? '{}'), Z: { value: '1' } })
  const [stored] =
    await context.db.execute(sql`/* writeBack */ with found as (select * from deployment where id = ${id} for update),
    moved as (update deployment t set env = ${env}::text::jsonb, version = t.version + 1 from found where t.id = found.id
      and found.state in (${live}) returning t.*)
    ${eventOf(context, 'moved', { type: 'Deployment', kind: 'mergeDeploymentEnv', from: null })}`)
  return stored ? { replayed: false } : gone()
})

/** A merge that says what it wishes, whether or not it came about. */
export const hopeful = written(async (context, ids) => {
  const id = String(ids.id)
  const [found] = await context.db.execute(sql`select from deployment where id = ${id} and state in (${live})`)
  if (!found) return gone()
  await context.db.execute(sql`/* hopefulMerge */ with found as (select * from deployment where id = ${id} for update), moved as (update deployment t
    set env = t.env || '{"Z": {"value": "1"}}', version = t.version + 1 from found where t.id = found.id and found.state in (${live}) returning t.*)
    ${eventOf(context, 'moved', { type: 'Deployment', kind: 'mergeDeploymentEnv', from: null })}`)
  return { replayed: false }
})

/** The counter of the plan, changed after the deletion and by what was read of it. */
export const countedLater = written(async (context, ids) => {
  const [id, work] = [String(ids.id), newId('Operation')]
  const [moved] =
    await context.db.execute(sql`/* uncounted */ with found as (select * from deployment where id = ${id} for update),
    moved as (update deployment t set state = 'DELETING', version = t.version + 1, generation = t.generation + 1 from found
      where t.id = found.id and found.state in (${live}) returning t.*),
    queued as (${queueOf(work, 'Deployment', 'deployment.tear_down', 'moved')}), born as (${bornWork(context)})
    ${eventOf(context, 'moved', { type: 'Deployment', kind: 'deleteDeployment', from: null, operationId: work })}`)
  if (!moved) return gone()
  const kind = sql`kind = 'deployments' and team_id = ${context.actor.teamId}`
  const [usage] = await context.db.execute<{ used: number }>(sql`select used from plan_usage where ${kind}`)
  await context.db.execute(
    sql`/* countLater */ update plan_usage set used = ${Number(usage?.used) - 1}::int where ${kind}`,
  )
  return accepted(work)
})
