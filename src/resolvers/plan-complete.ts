// The counters that a team lacks which a release made that did not count everything yet: without its counter nothing can be taken.
import { sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { instance } from '../db/instance.ts'
import { planUsage, team } from '../db/team.ts'
import { webhook } from '../db/webhook.ts'
import { liveInstanceStates } from '../lifecycle/instance.ts'
import { statesOfKind } from '../lifecycle/machine.ts'
import { webhookMachine } from '../lifecycle/webhook.ts'
import { plans } from '../plans.ts'
import { ofUsableTeam } from './team-rule.ts'
import type { Database } from './transition.ts'

const liveInstance = sql.raw(quoted(liveInstanceStates))
const liveWebhook = sql.raw(quoted(statesOfKind(webhookMachine, 'resting')))

/**
 * Gives teams that are in use the counters that they lack, each with what is there already. The team is locked until then: one
 * whose deletion begins has its plan closed, and none is opened behind that.
 */
export async function completePlans(db: Database): Promise<void> {
  const caps = Object.entries(plans).flatMap(([plan, kinds]) =>
    Object.entries(kinds).map(([kind, cap]) => ({ plan, kind, cap })),
  )
  await db.execute(sql`/* completePlans */ with caps as (
      select * from jsonb_to_recordset(${JSON.stringify(caps)}::text::jsonb) as c(plan text, kind text, cap int)),
    short as (select id, plan from ${team} where ${ofUsableTeam} and exists (select 1 from caps c where c.plan = ${team.plan}
        and not exists (select 1 from ${planUsage} u where u.team_id = ${team.id} and u.kind = c.kind))
      order by id for share of team)
    insert into ${planUsage} (team_id, kind, cap, used) select s.id, c.kind, c.cap, case c.kind
      when 'instances' then (select count(*) from ${instance} i
        where i.team_id = s.id and i.runtime = 'EXTERNAL' and i.state in (${liveInstance}))
      when 'webhooks' then (select count(*) from ${webhook} w where w.team_id = s.id and w.state in (${liveWebhook})) else 0 end
      from short s join caps c using (plan) on conflict do nothing`)
}
