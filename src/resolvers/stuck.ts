// What has been in a passing state for too long: each row of each machine that is past its declared deadline, or past a
// time that the caller names. The worst first.
import { sql } from 'drizzle-orm'
import type { Actor } from '../auth.ts'
import { quoted } from '../db/columns.ts'
import { entityOfId } from '../db/id.ts'
import { statementOf } from '../db/prepared.ts'
import { machines } from '../lifecycle/machines.ts'
import { advice, callInstead, type Remedy } from '../refusals.ts'
import {
  type AllowedAction,
  deploymentActions,
  instanceActions,
  operationActions,
  resourceActions,
  type Subject,
  stackActions,
} from './allowed-action.ts'
import type { DeploymentView } from './deployment-read.ts'
import type { InstanceView } from './instance-read.ts'
import type { NodeRow } from './loader.ts'
import type { OperationView } from './operation-read.ts'
import type { ResourceView } from './resource-read.ts'
import type { StackView } from './stack-read.ts'
import type { Database } from './transition.ts'
import { textParam } from './transition-statement.ts'

export interface StuckRow {
  readonly entity: string
  readonly id: string
  readonly state: string
  readonly since: Date
}

const literal = (name: string) => sql.raw(quoted([name]))

const passing = machines.flatMap((machine) =>
  Object.entries(machine.states).flatMap(([state, declared]) =>
    declared.kind === 'passing' ? [{ machine, state, deadlineMs: declared.deadlineMs }] : [],
  ),
)

const overdue = sql.join(
  passing.map(({ machine, state, deadlineMs }) => {
    const own = machine.table === 'team' ? sql`id` : sql`team_id`
    const limitMs = sql`coalesce(${textParam('olderThanMs')}::float8, ${sql.raw(String(deadlineMs))})`
    return sql`select ${literal(machine.entity)} as entity, id, state, state_changed_at from ${sql.identifier(machine.table)}
      where ${own} = ${textParam('teamId')} and state = ${literal(state)}
        and state_changed_at < clock_timestamp() - ${limitMs} * interval '1 millisecond'`
  }),
  sql` union all `,
)

/** The `limit` rows of the team that are stuck for longest. Without `olderThanMs` each state's own deadline counts. */
export async function stuck(
  db: Database,
  teamId: string,
  olderThanMs: number | null,
  limit: number,
): Promise<StuckRow[]> {
  const statement = statementOf(db, 'read:stuck', () =>
    db
      .select({
        entity: sql<string>`s.entity`,
        id: sql<string>`s.id`,
        state: sql<string>`s.state`,
        since: sql<Date>`s.state_changed_at`.mapWith((text: string) => new Date(text)),
      })
      .from(sql`(${overdue}) s`)
      .orderBy(sql`s.state_changed_at`, sql`s.id`)
      .limit(sql.placeholder('limit'))
      .prepare('read:stuck'),
  )
  return statement.execute({ teamId, olderThanMs: olderThanMs === null ? null : String(olderThanMs), limit })
}

/** The calls that would be accepted now and lead out of it; advice where no call does. `subject` is that of an operation. */
export function waysOut(actor: Actor, entity: string, row: NodeRow | null, subject: Subject | null): Remedy[] {
  const open = (actions: readonly AllowedAction[], action: string) =>
    actions.some((each) => each.action === action && each.allowed)
  const ways: Remedy[] = []
  if (entity === 'Operation' && row) {
    const actions = operationActions(actor, row as OperationView, subject)
    if (open(actions, 'cancelOperation'))
      ways.push(callInstead('cancelOperation', { id: row.id }, 'Take it back: it has not begun.'))
    if (open(actions, 'retryOperation'))
      ways.push(callInstead('retryOperation', { id: row.id }, 'Repeat it as a new operation.'))
  }
  if (entity === 'Instance' && row) {
    const actions = instanceActions(actor, row as InstanceView)
    if (open(actions, 'heartbeatInstance'))
      ways.push(callInstead('heartbeatInstance', { id: row.id }, 'Say by a heartbeat that it is well.'))
    if (open(actions, 'removeInstance'))
      ways.push(callInstead('removeInstance', { id: row.id }, 'Take it off the list: it will not come back.'))
  }
  const moved = entity === 'Operation' ? subject : (row as Subject | null)
  if (moved && entityOfId(moved.id) === 'Resource') {
    if (open(resourceActions(actor, moved as ResourceView), 'deleteResource'))
      ways.push(callInstead('deleteResource', { id: moved.id }, 'Deprovision it for good.'))
  }
  if (moved && entityOfId(moved.id) === 'Stack') {
    const { id } = moved
    const actions = stackActions(actor, moved as StackView)
    if (open(actions, 'redeployStack'))
      ways.push(callInstead('redeployStack', { id }, 'Roll it out again: that supersedes the work that hangs.'))
    if (open(actions, 'deleteStack')) ways.push(callInstead('deleteStack', { id }, 'Tear it down for good.'))
  }
  if (moved && entityOfId(moved.id) === 'Deployment') {
    const deployment = moved as DeploymentView
    const { id } = deployment
    const actions = deploymentActions(actor, deployment)
    if (open(actions, 'redeployDeployment'))
      ways.push(callInstead('redeployDeployment', { id }, 'Roll it out again: that supersedes the work that hangs.'))
    if (open(actions, 'deleteDeployment')) ways.push(callInstead('deleteDeployment', { id }, 'Tear it down for good.'))
  }
  if (ways.length > 0) return ways
  return [
    advice(
      'It is retried until it is done and no call is needed; should it stay, look at the logs of the worker under its id.',
    ),
  ]
}
