// The rules of a twin: one statement locks the approval and then the source, and from what the locks show either uses up the
// approval, makes the twin and accepts its provision, or does nothing at all. A name that is taken, or a plan without room,
// aborts it as a whole: the approval stays as it is.
import { and, eq, type SQL, sql } from 'drizzle-orm'
import { promotionApproval } from '../db/promotion-approval.ts'
import { resource } from '../db/resource.ts'
import { promotionApprovalMachine } from '../lifecycle/promotion-approval.ts'
import { resourceMachine } from '../lifecycle/resource.ts'
import { inTime } from './promotion-decision-rule.ts'
import { defineBorn, defineRule, type Part } from './transition.ts'
import { intParam, listParam, textParam } from './transition-statement.ts'

const teamId = textParam('teamId')
const data = () => sql`jsonb_build_object('from', ${textParam('sourceId')}, 'to', ${textParam('twinId')})`

const approval: Part<typeof promotionApproval> = {
  table: promotionApproval,
  machine: promotionApprovalMachine,
  action: 'twinResource',
  where: and(eq(promotionApproval.id, textParam('id')), eq(promotionApproval.teamId, teamId)) as SQL,
  guard: (found) => sql`${found.kind} = 'TWIN' and ${found.subjectId} = ${textParam('sourceId')}
    and ${found.toEnvironment} = ${textParam('toEnvironment')} and ${found.planDigest} = ${textParam('digest')}
    and ${inTime(found)}`,
  set: () => ({ operationId: sql`(${listParam('operationIds')})[1]` }),
}

/** It must still be there; what it holds and how it is do not matter to a twin. */
const source: Part<typeof resource> = {
  table: resource,
  machine: resourceMachine,
  action: 'sendResource',
  where: and(eq(resource.id, textParam('sourceId')), eq(resource.teamId, teamId)) as SQL,
  guard: (found) => sql`(${intParam('seenVersion')} is null or ${found.version} = ${intParam('seenVersion')})`,
}

/** Of the source it has the type, the name and the limit; its password is its own. A time limit is not taken over. */
const twin = (of: SQL) =>
  defineBorn({
    table: resource,
    machine: resourceMachine,
    action: 'twinResource',
    takes: [{ kind: 'resources' }],
    values: () => ({
      id: textParam('twinId'),
      teamId,
      environment: textParam('toEnvironment'),
      name: sql`(select s.name from ${of} s)`,
      type: sql`(select s.type from ${of} s)`,
      incarnation: textParam('incarnation'),
      password: textParam('password'),
      limitBytes: sql`(select s.limit_bytes from ${of} s)`,
    }),
  })

export const twinResource = defineRule({
  name: 'twinResource',
  subject: approval,
  reads: source as never,
  bears: [twin(sql`found_read`)],
  data,
  called: true,
})

/** The same where no approval is needed: the source itself is what the twin starts from. */
export const twinFreely = defineRule({
  name: 'twinResource:freely',
  subject: source,
  bears: [twin(sql`found`)],
  data,
  called: true,
})
