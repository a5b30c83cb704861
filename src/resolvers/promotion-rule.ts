// The rules of a promotion: one statement locks the approval, then source and target in the order of their ids, and from what
// the locks show either uses up the approval, changes or makes the target and accepts its roll-out, or does nothing at all.
import { and, eq, type SQL, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import { promotionApproval } from '../db/promotion-approval.ts'
import { resource } from '../db/resource.ts'
import { secret } from '../db/secret.ts'
import { stack } from '../db/stack.ts'
import { promotionApprovalMachine } from '../lifecycle/promotion-approval.ts'
import { liveResourceStates } from '../lifecycle/resource.ts'
import { type SecretState, secretMachine } from '../lifecycle/secret.ts'
import { stackMachine } from '../lifecycle/stack.ts'
import { mergedEnv } from './env.ts'
import { placesFor } from './stack-rule.ts'
import { defineBorn, defineRule, type Part } from './transition.ts'
import { intParam, jsonParam, listParam, textParam } from './transition-statement.ts'

const services = jsonParam('services')
const teamId = textParam('teamId')
const there = sql.raw(quoted(['ACTIVE'] satisfies SecretState[]))
const usable = sql.raw(quoted(liveResourceStates.filter((state) => state !== 'FAILED')))

/** Each secret that is copied still has the value that was planned, and stays so until this statement is done. */
const secretsAsPlanned = sql`(select count(*) from (select from ${secret} s
    join jsonb_to_recordset(${jsonParam('secretSources')}) as c(id text, revision int) on s.id = c.id and s.revision = c.revision
    where s.team_id = ${teamId} and s.state in (${there}) for share of s) s) = jsonb_array_length(${jsonParam('secretSources')})`

/** What the target's own variables refer to is still there. */
const referencesAsPlanned = sql`not exists (select from unnest(${listParam('secretsNeeded')}) n(id)
    where not exists (select from ${secret} s where s.id = n.id and s.team_id = ${teamId} and s.state in (${there})))
  and not exists (select from unnest(${listParam('resourcesNeeded')}) n(id)
    where not exists (select from ${resource} r where r.id = n.id and r.team_id = ${teamId} and r.state in (${usable})))`

/** Health may have changed since the plan; services and variables may not. */
const asPlanned = (found: typeof stack, version: string) => sql`${found.specVersion} = ${intParam(version)}`

const approval: Part<typeof promotionApproval> = {
  table: promotionApproval,
  machine: promotionApprovalMachine,
  action: 'promoteStack',
  where: and(eq(promotionApproval.id, textParam('id')), eq(promotionApproval.teamId, teamId)) as SQL,
  guard: (found) => sql`${found.kind} = 'STACK' and ${found.subjectId} = ${textParam('sourceId')}
    and ${found.toEnvironment} = ${textParam('toEnvironment')} and ${found.planDigest} = ${textParam('digest')}
    and ${found.expiresAt} > clock_timestamp()`,
  set: () => ({ operationId: sql`(${listParam('operationIds')})[1]` }),
}

const source: Part<typeof stack> = {
  table: stack,
  machine: stackMachine,
  action: 'sendStack',
  where: and(eq(stack.id, textParam('sourceId')), eq(stack.teamId, teamId)) as SQL,
  guard: (found) => sql`${asPlanned(found, 'sourceSpec')} and ${secretsAsPlanned} and ${referencesAsPlanned}
    and (${intParam('seenVersion')} is null or ${found.version} = ${intParam('seenVersion')})`,
}

const target: Part<typeof stack> = {
  table: stack,
  machine: stackMachine,
  action: 'promoteStack',
  where: and(eq(stack.id, textParam('targetId')), eq(stack.teamId, teamId)) as SQL,
  guard: (found) => asPlanned(found, 'targetSpec'),
  set: (found) => ({
    services,
    placed: sql`${placesFor(services)} || ${found.placed}`,
    env: mergedEnv(found),
    envRevision: sql`${found.envRevision} + 1`,
    specVersion: sql`${found.specVersion} + 1`,
  }),
}

const newTarget = defineBorn({
  table: stack,
  machine: stackMachine,
  action: 'createStack',
  takes: [{ kind: 'stacks' }],
  values: () => ({
    id: textParam('targetId'),
    teamId,
    environment: textParam('toEnvironment'),
    name: textParam('name'),
    services,
    placed: placesFor(services),
    env: mergedEnv({ env: sql`'{}'::jsonb`, envRevision: sql`0` }),
    envRevision: sql`1`,
    incarnation: textParam('incarnation'),
  }),
})

/** Sealed again for their new place; one that is there already is a violation of its name, never overwritten. */
const copiedSecrets = defineBorn({
  table: secret,
  machine: secretMachine,
  action: 'createSecret',
  each: sql`jsonb_to_recordset(${jsonParam('secretCopies')}) as c(id text, name text, value text)`,
  takes: [{ kind: 'secrets' }],
  values: () => ({
    id: sql`c.id`,
    teamId,
    environment: textParam('toEnvironment'),
    name: sql`c.name`,
    value: sql`c.value`,
    changedAt: sql`clock_timestamp()`,
    changedBy: textParam('actorId'),
  }),
})

const data = () =>
  sql`jsonb_build_object('from', ${textParam('sourceId')}, 'to', ${textParam('targetId')}, 'digest', ${textParam('digest')})`
const called = true

/** Into a stack that is there, under an approval. */
export const promoteInto = defineRule({
  name: 'promoteStack:into',
  subject: approval,
  reads: source as never,
  also: target,
  bears: [copiedSecrets],
  data,
  called,
})

/** Into an environment that has no such stack yet, under an approval. */
export const promoteNew = defineRule({
  name: 'promoteStack:new',
  subject: approval,
  reads: source as never,
  bears: [newTarget, copiedSecrets],
  data,
  called,
})

/** The same where no approval is needed: the source itself is what the promotion starts from. */
export const promoteFreelyInto = defineRule({
  name: 'promoteStack:freely-into',
  subject: source,
  also: target,
  bears: [copiedSecrets],
  data,
  called,
})
export const promoteFreelyNew = defineRule({
  name: 'promoteStack:freely-new',
  subject: source,
  bears: [newTarget, copiedSecrets],
  data,
  called,
})
