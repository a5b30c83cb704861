// Planted bugs, each of a kind that the product's design forbids: guards that are rewritten on the wire, and operations written
// as they must not be. They live here alone; the product has no switch for any of them. The explorer must find each one.
import { type SQL, sql } from 'drizzle-orm'
import type { Context } from '../../src/context.ts'
import type { Channel } from '../../src/db/client.ts'
import { newId } from '../../src/db/id.ts'
import { statementName } from '../../src/db/session.ts'
import { refuse } from '../../src/refusals.ts'
import type { Operation } from '../../src/resolvers/transition.ts'
import { type Mutation, mutating } from '../interleave.ts'
import { type Actor, calls, type Subject } from './play.ts'
import type { StageOptions } from './stage.ts'
import { subjectNamed } from './subject/all.ts'

export interface Mutant {
  readonly name: string
  readonly subject: Subject
  readonly cast: readonly string[]
  readonly stage: StageOptions
}

const withActors = (name: string, more: Readonly<Record<string, Actor>>): Subject => {
  const subject = subjectNamed(name)
  return { ...subject, actors: { ...subject.actors, ...more } }
}
const rewritten = (...mutations: Mutation[]): StageOptions => ({ guards: false, wrap: mutating(...mutations) })

const listed = (...states: string[]) => states.map((state) => `'${state}'`).join(', ')
const workable = listed('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED')
const live = listed('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED', 'STOPPING', 'STOPPED')
const liveResource = listed('PROVISIONING', 'ACTIVE', 'PAUSING', 'PAUSED', 'RESUMING', 'SUSPENDED', 'FAILED')

/** The guard looks at the row as the statement's snapshot has it, and not as it is under the lock: wrong in a race only. */
const unlocked = (name: string, table: string, states: string): Mutation => ({
  name,
  from: `"found".state in (${states})`,
  to: `(select x.state from "${table}" x where x.id = "found".id) in (${states})`,
})

/** A runner's moves do not ask for the generation that it works for. */
const ageless = (channel: Channel): Channel => ({
  run: ({ sql: text, ...rest }) => {
    const isMove = /^(rollOut|markDeployment)/.test(statementName(text) ?? '')
    const without = text.replace(/"found"\."generation" = (\$\d+)::text::int/, '$1::text is not null')
    if (isMove && without === text) throw new Error('the mutant finds nothing to rewrite')
    return channel.run({ ...rest, sql: isMove ? without : text })
  },
})

/** The event of a change, from the CTE that made it. */
const eventOf = (
  { requestId }: Context,
  cte: string,
  of: { type: string; kind: string; from: string; operationId?: string },
): SQL => sql`insert into event (occurred_at, team_id, subject_type, subject_id, kind, from_state, to_state, generation, version,
    operation_id, actor_kind, actor_id, request_id, transition_id)
  select now(), team_id, ${of.type}::text, id, ${of.kind}::text, ${of.from}::text, state, generation, version,
    ${of.operationId ?? null}::text, 'token', 'mutant', ${requestId}::text, gen_random_uuid()::text from ${sql.identifier(cte)} returning 1`
const queueOf = (id: string, type: string, kind: string, cte: string): SQL => sql`insert into operation
    (id, state, generation, team_id, kind, subject_type, subject_id, due_at, actor, request_id)
  select ${id}::text, 'PENDING', generation, team_id, ${kind}::text, ${type}::text, id, now(), '{}', 'mutant' from ${sql.identifier(cte)} returning *`
const bornWork = (context: Context) =>
  sql`insert into event (occurred_at, team_id, subject_type, subject_id, kind, to_state, generation, version, actor_kind, actor_id,
    request_id, transition_id) select now(), team_id, 'Operation', id, 'queueOperation', state, generation, version, 'token', 'mutant',
    ${context.requestId}::text, gen_random_uuid()::text from queued`
const accepted = (id: string) => ({ operation: { id } as Operation, replayed: false })
const gone = () => refuse('DeploymentAlreadyDeleted', { message: 'It is gone.' })

/** A deletion that looks first, and writes afterwards by id alone. */
const split = calls(async (context, ids) => {
  const [id, work] = [String(ids.id), newId('Operation')]
  const [seen] = await context.db.execute<{ state: string }>(sql`select state from deployment where id = ${id}`)
  if (!seen || !workable.includes(seen.state)) return gone()
  const facts = { type: 'Deployment', kind: 'deleteDeployment', from: seen.state, operationId: work }
  await context.db.execute(sql`/* splitDelete */ with moved as (update deployment set state = 'DELETING', version = version + 1,
      generation = generation + 1 where id = ${id} returning *),
    freed as (update plan_usage u set used = used - 1 from moved where u.team_id = moved.team_id and u.kind = 'deployments'),
    queued as (${queueOf(work, 'Deployment', 'deployment.tear_down', 'moved')}), born as (${bornWork(context)})
    ${eventOf(context, 'moved', facts)}`)
  return accepted(work)
})

/** A change whose event comes in a statement of its own. */
const unevented = calls(async (context, ids) => {
  const id = String(ids.id)
  const [found] = await context.db.execute<{ state: string }>(sql`/* bareMerge */ update deployment
    set env = env || '{"Z": {"value": "1"}}', version = version + 1 where id = ${id} and state in (${sql.raw(live)}) returning state`)
  if (!found) return gone()
  const facts = { type: 'Deployment', kind: 'mergeDeploymentEnv', from: found.state }
  await context.db.execute(
    sql`/* itsEvent */ with moved as (select * from deployment where id = ${id}) ${eventOf(context, 'moved', facts)}`,
  )
  return { replayed: false }
})

/** A promotion that uses its approval once all looks well, and changes the target afterwards. */
const early = calls(async (context, ids) => {
  const work = newId('Operation')
  const [target] = await context.db.execute<{ state: string }>(
    sql`select state from stack where id = ${String(ids.target)}`,
  )
  if (target?.state !== 'HEALTHY') return refuse('StackDeleting', { message: 'The target is not there.' })
  const used = { type: 'PromotionApproval', kind: 'promoteStack', from: 'APPROVED', operationId: work }
  const [won] =
    await context.db.execute(sql`/* useEarly */ with moved as (update promotion_approval set state = 'EXECUTED',
      version = version + 1, operation_id = ${work} where id = ${String(ids.approval)} and state = 'APPROVED' returning *)
    ${eventOf(context, 'moved', used)}`)
  if (!won) return refuse('ApprovalAlreadyExecuted', { message: 'It is used.' })
  const built = { type: 'Stack', kind: 'promoteStack', from: 'HEALTHY', operationId: work }
  await context.db.execute(sql`/* thenPromote */ with moved as (update stack set state = 'BUILDING', version = version + 1,
      generation = generation + 1 where id = ${String(ids.target)} and state = 'HEALTHY' returning *),
    queued as (${queueOf(work, 'Stack', 'stack.roll_out', 'moved')}), born as (${bornWork(context)})
    ${eventOf(context, 'moved', built)}`)
  return { replayed: false }
})

export const mutants: readonly Mutant[] = [
  {
    name: 'a guard is left out',
    subject: subjectNamed('deployment'),
    cast: ['redeploy', 'delete'],
    stage: rewritten({ name: 'redeployDeployment', from: `"found".state in (${workable})`, to: 'true' }),
  },
  {
    name: 'a guard looks past the lock: a redeploy revives what has expired',
    subject: subjectNamed('deployment'),
    cast: ['redeploy', 'expire'],
    stage: rewritten(unlocked('redeployDeployment', 'deployment', workable)),
  },
  {
    name: 'a guard looks past the lock: a resource is deprovisioned twice',
    subject: subjectNamed('resource'),
    cast: ['delete', 'delete'],
    stage: rewritten(unlocked('deleteResource', 'resource', liveResource)),
  },
  {
    name: 'that guard, with the trigger in its way',
    subject: subjectNamed('deployment'),
    cast: ['redeploy', 'delete'],
    stage: { wrap: mutating(unlocked('redeployDeployment', 'deployment', workable)) },
  },
  {
    name: 'the generation is not asked for',
    subject: subjectNamed('deployment.building'),
    cast: ['redeploy', 'run'],
    stage: { guards: false, wrap: ageless },
  },
  {
    name: 'the revision of a secret is not asked for',
    subject: subjectNamed('secret'),
    cast: ['set', 'set2'],
    stage: rewritten({ name: 'setSecret', from: '"found"."revision" = ', to: '0 <> ' }),
  },
  {
    name: 'a swap is split in two',
    subject: withActors('deployment', { split }),
    cast: ['split', 'delete'],
    stage: { guards: false },
  },
  {
    name: 'an event is outside of the statement',
    subject: withActors('deployment', { unevented }),
    cast: ['unevented', 'env'],
    stage: {},
  },
  {
    name: 'an approval is executed early',
    subject: withActors('approval.approved', { early }),
    cast: ['early', 'deleteTarget'],
    stage: {},
  },
  {
    name: 'the plan is held by a count',
    subject: subjectNamed('deployment.none'),
    cast: ['anew', 'other'],
    stage: rewritten({
      name: 'deploy',
      from: 'u.used + c.n > u.cap',
      to: `(select count(*) from deployment x where x.team_id = u.team_id and x.state in (${live})) + c.n > u.cap`,
    }),
  },
  {
    name: 'a name is free when nobody is seen to have it',
    subject: subjectNamed('resource.deleting'),
    cast: ['create', 'create'],
    stage: { guards: false, before: ['drop index resource_name'] },
  },
]
