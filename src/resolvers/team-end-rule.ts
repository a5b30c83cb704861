// How a team ends, as rules for the loop `teardown`. Once its restore window is over its plan is closed in the same statement,
// so that nothing is born into it any more, however long ago it was asked for: from then on a snapshot that shows nothing left
// is true for good. What it owns ends through the gates that callers' deletes go through, with the same effects.
import { type SQL, type SQLWrapper, sql } from 'drizzle-orm'
import { apiToken } from '../db/api-token.ts'
import { quoted } from '../db/columns.ts'
import { deployment } from '../db/deployment.ts'
import { instance } from '../db/instance.ts'
import { invitation } from '../db/invitation.ts'
import { member } from '../db/member.ts'
import { promotionApproval } from '../db/promotion-approval.ts'
import { resource } from '../db/resource.ts'
import { secret } from '../db/secret.ts'
import { stack } from '../db/stack.ts'
import type { SubjectTable } from '../db/tables.ts'
import { team } from '../db/team.ts'
import { webhook } from '../db/webhook.ts'
import { statesOfKind } from '../lifecycle/machine.ts'
import { machineOf } from '../lifecycle/machines.ts'
import { type MemberState, memberMachine } from '../lifecycle/member.ts'
import { type TeamState, teamMachine } from '../lifecycle/team.ts'
import { revokeRule } from './api-token.ts'
import { deleteDeployment } from './deployment-rule.ts'
import { isExternal, removeInstance } from './instance-external-rule.ts'
import { withdrawInvitation } from './invitation-rule.ts'
import { removeMember } from './member-rule.ts'
import { withdrawPromotion } from './promotion-decision-rule.ts'
import { deleteResource } from './resource-rule.ts'
import { deleteSecret } from './secret-rule.ts'
import { deleteStack } from './stack-rule.ts'
import { defineRule, type Rule, startsFrom } from './transition.ts'
import { intParam } from './transition-statement.ts'
import { deleteWebhook } from './webhook-rule.ts'

const part = { table: team, machine: teamMachine } as const
const named = (...states: readonly string[]) => sql.raw(quoted(states))
const ended = named('DELETING' satisfies TeamState)
const batch = (orderBy: SQLWrapper) => ({ orderBy: sql`${orderBy}`, limit: intParam('limit') })

const isOver = (row: typeof team) => sql`${row.deletionAt} <= now()`

export const beginTeamDeletion = defineRule({
  name: 'beginTeamDeletion',
  subject: {
    ...part,
    action: 'beginTeamDeletion',
    where: sql`${team.state} in (${named('DELETION_REQUESTED' satisfies TeamState)}) and ${isOver(team)}`,
    batch: batch(team.deletionAt),
    guard: isOver,
  },
  closesPlan: true,
})

const ofEndedTeam = (teamId: SQLWrapper) => sql`${teamId} in (select w.id from ${team} w where w.state in (${ended}))`

/** The same gate, for what ended teams still have; a team never comes back from there, so there is nothing more to ask. */
function ofEnded<T extends SubjectTable>(gate: Rule<T>, which: SQL = ofEndedTeam(gate.subject.table.teamId)): Rule<T> {
  const { table, machine, action, set } = gate.subject
  return defineRule<T>({
    name: `${gate.name}.ofEnded`,
    subject: {
      table,
      machine,
      action,
      where: sql`${table.state} in (${named(...startsFrom(gate))}) and ${which}`,
      batch: batch(table.id),
      ...(set ? { set } : {}),
    },
    ...(gate.releases ? { releases: gate.releases } : {}),
    ...(gate.data ? { data: gate.data } : {}),
  })
}

const removed = named('REMOVED' satisfies MemberState)

/** What a team owns, and its members leave it only when all of that is gone. Tokens of a removed member end here, too. */
export const endWhatItOwns = [
  ofEnded(deleteDeployment),
  ofEnded(deleteResource),
  ofEnded(deleteStack),
  ofEnded(deleteSecret),
  // What Pawl runs goes with what it is part of.
  ofEnded(removeInstance, sql`${ofEndedTeam(instance.teamId)} and ${isExternal(instance)}`),
  ofEnded(deleteWebhook),
  ofEnded(withdrawPromotion),
  ofEnded(withdrawInvitation),
  ofEnded(
    revokeRule,
    sql`(${ofEndedTeam(apiToken.teamId)} or exists (select 1 from ${member} m where m.id = ${apiToken.memberId} and m.state in (${removed})))`,
  ),
] as unknown as readonly Rule[]

const owned = {
  Deployment: deployment,
  Resource: resource,
  Stack: stack,
  Secret: secret,
  Webhook: webhook,
  Instance: instance,
  PromotionApproval: promotionApproval,
  Invitation: invitation,
  ApiToken: apiToken,
}

/** Whether something of a team is in a state that is not the last of its lifecycle. */
const ownsSomething = (teamId: SQLWrapper, tables: Readonly<Record<string, SubjectTable>>): SQL =>
  sql`(${sql.join(
    Object.entries(tables).map(([entity, table]) => {
      const machine = machineOf(entity)
      const live = [...statesOfKind(machine, 'passing'), ...statesOfKind(machine, 'resting')]
      return sql`exists (select 1 from ${table} x where x.team_id = ${teamId} and x.state in (${named(...live)}))`
    }),
    sql` or `,
  )})`

export const removeLastMembers = ofEnded(
  removeMember,
  sql`${ofEndedTeam(member.teamId)} and not ${ownsSomething(member.teamId, owned)}`,
) as unknown as Rule

export const markTeamDeleted = defineRule({
  name: 'markTeamDeleted',
  subject: {
    ...part,
    action: 'markTeamDeleted',
    where: sql`${team.state} in (${ended}) and not ${ownsSomething(team.id, { ...owned, [memberMachine.entity]: member })}`,
    batch: batch(team.stateChangedAt),
  },
}) as unknown as Rule
