// Whether what is stored is explained by the event log, and whether what is kept twice is the same both times.
import { type SQL, sql } from 'drizzle-orm'
import type { UsageKind } from '../db/team.ts'
import { liveDeploymentStates } from '../lifecycle/deployment.ts'
import { liveInstanceStates } from '../lifecycle/instance.ts'
import { type Machine, statesOfKind } from '../lifecycle/machine.ts'
import { machines } from '../lifecycle/machines.ts'
import { memberMachine } from '../lifecycle/member.ts'
import { liveResourceStates } from '../lifecycle/resource.ts'
import { secretMachine } from '../lifecycle/secret.ts'
import { liveStackStates } from '../lifecycle/stack.ts'
import { webhookMachine } from '../lifecycle/webhook.ts'
import { allOf as all, type Check, names } from './check.ts'
import { trimmed } from './event-check.ts'

/** Entities whose every state is told: none of their moves comes to another one without an event. */
const explained = machines.filter(({ moves }) =>
  Object.values(moves).every(
    ({ untold, from, to }) =>
      untold !== 'always' || (from !== 'birth' && (to === 'same' || from.every((state) => state === to))),
  ),
)
const untoldVersions = explained.filter(({ moves }) => Object.values(moves).some(({ untold }) => untold !== undefined))

const living = explained.map(
  ({
    entity,
    table,
  }) => sql`select ${names([entity])} as entity, id, ${sql.raw(table === 'team' ? 'id' : 'team_id')} as team_id,
    state, version, generation from ${sql.identifier(table)}`,
)
const ended = explained.flatMap((machine) =>
  statesOfKind(machine, 'terminal').map((state) => sql`(${names([machine.entity])}, ${names([state])})`),
)

/** The last event of every row tells its state, its version and its generation; what is gone had ended. */
const rows: Check = {
  name: 'rows',
  steps: {
    living: all(living),
    last: sql`select distinct on (subject_id) * from event where subject_type in (${names(explained.map(({ entity }) => entity))})
      order by subject_id, id desc`,
  },
  looked: sql`select count(*) || ' rows' from living`,
  flaws: sql`select format('%s: %s', r.id, why) as line
      from living r left join last e on e.subject_id = r.id, lateral (select case
        when e.id is null and ${trimmed} = 0 then format('is %s, and no event tells of it', r.state)
        when e.id is null then null
        when (e.subject_type, e.team_id) <> (r.entity, r.team_id) then 'its events are of another type or team'
        when e.to_state <> r.state then format('is %s, and event %s has led to %s', r.state, e.id, e.to_state)
        when e.generation <> r.generation then format('is of generation %s, and event %s of %s', r.generation, e.id, e.generation)
        when e.version > r.version or e.version < r.version and r.entity not in (${names(untoldVersions.map(({ entity }) => entity))})
          then format('is of version %s, and event %s of %s', r.version, e.id, e.version)
      end as why) flaw where why is not null
    union all
    select format('%s: is gone, and event %s has led to %s', e.subject_id, e.id, e.to_state) from last e
      where not exists (select 1 from living r where r.id = e.subject_id) and (e.subject_type, e.to_state) not in (${sql.join(ended, sql`, `)})`,
}

const notEnded = (machine: Machine) =>
  Object.keys(machine.states).filter((state) => machine.states[state]?.kind !== 'terminal')
const of = (table: string, states: readonly string[], more = sql`true`) =>
  sql`select team_id from ${sql.identifier(table)} where state in (${names(states)}) and ${more}`

/** What each counter of a plan counts. */
const counted: Readonly<Record<UsageKind, SQL>> = {
  deployments: of('deployment', liveDeploymentStates),
  resources: of('resource', liveResourceStates),
  stacks: of('stack', liveStackStates),
  secrets: of('secret', notEnded(secretMachine)),
  members: of('member', notEnded(memberMachine)),
  owners: of('member', notEnded(memberMachine), sql`role = 'owner'`),
  instances: of('instance', liveInstanceStates, sql`runtime = 'EXTERNAL'`),
  webhooks: of('webhook', notEnded(webhookMachine)),
}

/** Every counter of a plan says how many there are. */
const counters: Check = {
  name: 'counters',
  steps: {
    counted: sql`select team_id, kind, count(*) as n from (${all(
      Object.entries(counted).map(([kind, of]) => sql`select c.team_id, ${names([kind])} as kind from (${of}) c`),
    )}) c group by 1, 2`,
  },
  looked: sql`select count(*) || ' counters of plans' from plan_usage`,
  flaws: sql`select format('%s: its counter of %s says %s, and there are %s', team_id, kind, coalesce(used::text, 'nothing'), coalesce(n, 0)) as line
    from plan_usage full join counted using (team_id, kind) where used is distinct from coalesce(n, 0) order by team_id, kind`,
}

const named: Readonly<Record<string, readonly string[]>> = {
  deployment: liveDeploymentStates,
  resource: liveResourceStates,
  stack: liveStackStates,
  secret: notEnded(secretMachine),
}

/** Of what lives no two of a kind have the same name in an environment of a team. */
const distinct: Check = {
  name: 'names',
  steps: {
    named: all(
      Object.entries(named).map(
        ([table, states]) => sql`select ${names([table])} as what, team_id, environment, name, id
          from ${sql.identifier(table)} where state in (${names(states)})`,
      ),
    ),
  },
  looked: sql`select count(*) || ' names that are held' from named`,
  flaws: sql`select format('%s: %s of %s live under the name %s in %s: %s', team_id, count(*), what, name, environment,
      string_agg(id, ', ' order by id)) as line
    from named group by what, team_id, environment, name having count(*) > 1 order by 1`,
}

export const rowChecks: readonly Check[] = [rows, counters, distinct]
