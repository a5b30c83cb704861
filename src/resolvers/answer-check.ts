// Whether what callers were promised is what happened: an approval is used once and launches something, and what a call was
// answered under its idempotency key is what the log tells of it.
import { sql } from 'drizzle-orm'
import { machines } from '../lifecycle/machines.ts'
import type { PromotionApprovalState } from '../lifecycle/promotion-approval.ts'
import { type Check, names } from './check.ts'

const executed = names(['EXECUTED'] satisfies PromotionApprovalState[])
/** What is made or changed under an approval. */
const targets = names(['Stack', 'Resource'])

/**
 * The event that uses an approval up is older than all that its statement writes beside it; so where it is kept all of that is,
 * and where it was trimmed nothing more is asked than that the approval names its operation.
 */
const approvals: Check = {
  name: 'approvals',
  steps: {
    approval: sql`select *, state in (${executed}) as is_used from promotion_approval`,
    used: sql`select subject_id, id, operation_id, transition_id from event
      where subject_type = 'PromotionApproval' and to_state in (${executed}) and from_state <> to_state`,
    launched: sql`select subject_id as id, transition_id from event
      where subject_type = 'Operation' and from_state is null and transition_id in (select transition_id from used)`,
    changed: sql`select distinct transition_id from event
      where subject_type in (${targets}) and transition_id in (select transition_id from used)`,
  },
  looked: sql`select count(*) || ' approvals, ' || count(*) filter (where is_used) || ' of them used' from approval`,
  flaws: sql`select format('%s: %s', a.id, why) as line
      from approval a left join used u on u.subject_id = a.id left join launched l on l.id = u.operation_id
        left join changed c on c.transition_id = u.transition_id, lateral (select case
        when not a.is_used and a.operation_id is not null
          then format('is %s, and names the operation %s', a.state, a.operation_id)
        when not a.is_used then null
        when a.operation_id is null then 'is burnt: it is used and names no operation'
        when u.id is null then null
        when u.operation_id is distinct from a.operation_id
          then format('names the operation %s, and event %s launched %s', a.operation_id, u.id, coalesce(u.operation_id, 'none'))
        when l.id is null or l.transition_id <> u.transition_id
          then format('is burnt: event %s uses it, and the operation %s was not launched by it', u.id, u.operation_id)
        when c.transition_id is null then format('is burnt: event %s uses it, and changes nothing', u.id)
      end as why) flaw where why is not null
    union all
    select format('%s: is used %s times, by events %s', subject_id, count(*), string_agg(id::text, ', ' order by id)) as line
      from used group by subject_id having count(*) > 1
    union all
    select format('%s: is launched by %s approvals: %s', operation_id, count(*), string_agg(id, ', ' order by id)) as line
      from approval where operation_id is not null group by operation_id having count(*) > 1`,
}

/** Calls that may have won without an event: what they do is told only when a state changes by it. */
const untold = machines.flatMap(({ moves }) =>
  Object.entries(moves).flatMap(([kind, move]) => (move.untold === undefined ? [] : [kind])),
)

/** Of keys in their time of keeping: whatever they speak of is kept for longer. */
const keys: Check = {
  name: 'keys',
  steps: {
    answered: sql`select *, actor_id || ' ' || mutation || ' ' || left(key, 40) as call from idempotency_key
      where created_at > now() - interval '7 days'`,
  },
  looked: sql`select count(*) || ' idempotency keys' from answered`,
  flaws: sql`select format('%s: %s', call, why) as line from answered k left join operation o on o.id = k.operation_id, lateral (select case
        when k.operation_id is not null and o.id is null then format('was answered with the operation %s, which is not there', k.operation_id)
        when o.actor ->> 'id' <> k.actor_id then format('was answered with the operation %s, which %s asked for', o.id, o.actor ->> 'id')
        when k.mutation not in (${names(untold)}) and not exists (select 1 from event e where e.subject_id = k.subject_id and e.actor_id = k.actor_id
            and (k.operation_id is null or e.operation_id = k.operation_id)
            and e.occurred_at between k.created_at and k.created_at + interval '1 minute')
          then format('was answered with %s%s, and no event tells that', k.subject_id, ' and ' || k.operation_id)
      end as why) flaw where why is not null
    union all
    select format('%s: was answered to %s calls: %s', operation_id, count(*), string_agg(call, ', ' order by call)) as line
      from answered where operation_id is not null group by operation_id having count(*) > 1`,
}

export const answerChecks: readonly Check[] = [approvals, keys]
