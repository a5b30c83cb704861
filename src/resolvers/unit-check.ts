// Whether instances are as what they are part of: one that runs of each workload, of a generation that was wanted, and none of what
// has ended; and whether what webhooks are told is in order.
import { type SQL, sql } from 'drizzle-orm'
import type { DeploymentState } from '../lifecycle/deployment.ts'
import { type InstanceState, liveInstanceStates } from '../lifecycle/instance.ts'
import type { StackState } from '../lifecycle/stack.ts'
import type { WebhookDeliveryState } from '../lifecycle/webhook-delivery.ts'
import { type Check, names } from './check.ts'

const runs = names(['ONLINE', 'DEGRADED'] satisfies InstanceState[])
const healthy = names(['HEALTHY'] satisfies DeploymentState[])
const still = names(['STOPPED', 'DELETED'] satisfies (DeploymentState | StackState)[])
/** In which `reconcile-instances` removes what moves of an older version have left. */
const upgrade = sql.raw("interval '10 minutes'")

const told = (list: SQL) => sql`string_agg(${list}, ', ' order by ${list})`

const instances: Check = {
  name: 'instances',
  steps: {
    unit: sql`select * from instance where runtime <> 'EXTERNAL' and state in (${names(liveInstanceStates)})`,
    subject: sql`select id, generation, state, state_changed_at, instance_id, true as single from deployment
      union all select id, generation, state, state_changed_at, null, false from stack`,
  },
  looked: sql`select count(*) || ' instances that Pawl runs, ' || count(*) filter (where state in (${runs})) || ' of them running' from unit`,
  flaws: sql`select format('%s: %s instances of it run at once: %s', subject_id || coalesce(' ' || service, ''), count(*), ${told(sql`id`)}) as line
      from unit where state in (${runs}) group by subject_id, service having count(*) > 1
    union all
    select format('run %s: is that of %s instances: %s', instance_id, count(*), ${told(sql`id`)}) as line
      from unit where instance_id <> '' group by instance_id having count(*) > 1
    union all
    select format('%s: %s', u.id, why) as line from unit u left join subject s on s.id = u.subject_id, lateral (select case
        when s.id is null then format('is part of %s, which is not there', u.subject_id)
        when u.generation > s.generation then format('is of generation %s of %s, which has come to %s only', u.generation, s.id, s.generation)
        when s.state in (${still}) and s.state_changed_at < now() - ${upgrade} then format('is %s, and %s is %s', u.state, s.id, s.state)
        when s.single and s.state in (${healthy}) and u.generation <> s.generation
          then format('is %s and of generation %s, and %s is %s at generation %s', u.state, u.generation, s.id, s.state, s.generation)
        when s.single and s.state in (${healthy}) and u.instance_id is distinct from s.instance_id
          then format('is the run %s, and %s names %s', coalesce(u.instance_id, 'none'), s.id, coalesce(s.instance_id, 'none'))
      end as why) flaw where why is not null`,
}

const open = names(['PENDING', 'SENDING'] satisfies WebhookDeliveryState[])
const over = names(['DELIVERED', 'DEAD'] satisfies WebhookDeliveryState[])

/** In the order of the log for each object; what is redelivered comes after what it comes after. */
const deliveries: Check = {
  name: 'deliveries',
  steps: {
    first: sql`select * from webhook_delivery where redelivery_of is null`,
    ended: sql`select id, webhook_id, subject_id, state_changed_at, lag(id) over one as before, lag(state_changed_at) over one as ended_before
      from first where state in (${over}) window one as (partition by webhook_id, subject_id order by position)`,
    waiting: sql`select webhook_id, subject_id, min(position) as position from first where state in (${open}) group by 1, 2`,
    last: sql`select greatest((select max(position) from event), (select trimmed_through from event_horizon), 0) as position`,
  },
  looked: sql`select count(*) || ' deliveries to ' || (select count(*) from webhook) || ' webhooks' from webhook_delivery`,
  flaws: sql`select format('%s: has ended before %s, which comes before it', id, before) as line from ended where ended_before > state_changed_at
    union all
    select format('%s: is %s, and an earlier one of %s to %s still waits', d.id, d.state, d.subject_id, d.webhook_id) as line
      from first d join waiting w using (webhook_id, subject_id) where d.position > w.position and d.state in (${over})
    union all
    select format('%s: event at position %s is told %s times: %s', webhook_id, position, count(*), ${told(sql`id`)}) as line
      from first group by webhook_id, position having count(*) > 1
    union all
    select format('%s: is of position %s, and %s has come to %s only', d.id, d.position, w.id, w.cursor) as line
      from first d join webhook w on w.id = d.webhook_id where d.position > w.cursor
    union all
    select format('%s: has come to position %s, and the log to %s only', w.id, w.cursor, last.position) as line
      from webhook w, last where w.cursor > last.position`,
}

export const unitChecks: readonly Check[] = [instances, deliveries]
