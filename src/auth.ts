// Who is asking and what they may do. Pure: no database, no clock, no environment. Deny by default: an action without a
// row in the table below may be done by nobody.
import { type MemberRole, memberRoles } from './lifecycle/member.ts'

export const scopes = ['read', 'deploy', 'resource', 'stack', 'promote', 'approve', 'env:read', 'admin'] as const
export type Scope = (typeof scopes)[number]

/** How grave an action is; a token may be given some classes and not others. */
export const actionClasses = ['read', 'reversible', 'creating', 'irreversible'] as const
export type ActionClass = (typeof actionClasses)[number]

export const roles = memberRoles
export type Role = MemberRole

/** What each role may be given at most. A token has what its scopes and its member's role have in common. */
export const scopesOfRole: Readonly<Record<Role, readonly Scope[]>> = {
  owner: scopes,
  admin: scopes,
  developer: ['read', 'deploy', 'resource', 'stack', 'promote', 'env:read'],
  viewer: ['read'],
}

export interface Actor {
  /**
   * By which credential: an API token; an OIDC identity that is a member, or one that is none (yet); an invitation that is
   * being accepted.
   */
  readonly kind: 'token' | 'member' | 'identity' | 'invitation'
  /** The id of the token, member or invitation, or the identity: what events, operations and idempotency keys name. */
  readonly id: string
  /** For an identity that is no member no team's id: it sees nothing. */
  readonly teamId: string
  /** The member behind it; null for an invitation and for an identity that is no member. */
  readonly memberId: string | null
  readonly role: Role | null
  /** In effect: those of the token that the member's role has. */
  readonly scopes: ReadonlySet<Scope>
  readonly classes: ReadonlySet<ActionClass>
  /** Of an OIDC caller: who it is, as a new member would be known. */
  readonly person?: { readonly identity: string; readonly name: string | null }
  /** Its team is being deleted and can be restored until then; meanwhile it is read and restored, nothing else. */
  readonly teamEndsAt?: Date
  /** When its credential runs out by itself, by the clock of this process. */
  readonly goodUntil?: Date
}

interface Need {
  /** Null: whoever is let in has it; what it takes is a secret of its own, in the input or as the credential. */
  readonly scope: Scope | null
  readonly class: ActionClass
  /** Only an owner may. */
  readonly role?: 'owner'
}
const need = (scope: Scope | null, of: ActionClass, role?: 'owner'): Need => ({
  scope,
  class: of,
  ...(role ? { role } : {}),
})

/** What each action of a caller needs. `read` covers every query that is not named here. */
const needs = {
  read: need('read', 'read'),
  readResourceConnection: need('resource', 'read'),
  readEnvValues: need('env:read', 'read'),
  // An address may hold a secret of its receiver.
  readWebhookUrl: need('admin', 'read'),
  deploy: need('deploy', 'creating'),
  redeployDeployment: need('deploy', 'reversible'),
  startDeployment: need('deploy', 'reversible'),
  stopDeployment: need('deploy', 'reversible'),
  deleteDeployment: need('deploy', 'irreversible'),
  mergeDeploymentEnv: need('deploy', 'reversible'),
  setDeploymentTtl: need('deploy', 'reversible'),
  makeDeploymentPermanent: need('deploy', 'reversible'),
  createResource: need('resource', 'creating'),
  deleteResource: need('resource', 'irreversible'),
  pauseResource: need('resource', 'reversible'),
  resumeResource: need('resource', 'reversible'),
  rotateResourceCredentials: need('resource', 'irreversible'),
  setResourceTtl: need('resource', 'reversible'),
  createStack: need('stack', 'creating'),
  redeployStack: need('stack', 'reversible'),
  deleteStack: need('stack', 'irreversible'),
  mergeStackEnv: need('stack', 'reversible'),
  requestPromotion: need('promote', 'creating'),
  requestTwin: need('promote', 'creating'),
  approvePromotion: need('approve', 'reversible'),
  rejectPromotion: need('approve', 'reversible'),
  withdrawPromotion: need('promote', 'reversible'),
  promoteStack: need('promote', 'irreversible'),
  twinResource: need('promote', 'creating'),
  setSecret: need('deploy', 'irreversible'),
  deleteSecret: need('deploy', 'irreversible'),
  registerInstance: need('deploy', 'creating'),
  heartbeatInstance: need('deploy', 'reversible'),
  removeInstance: need('deploy', 'irreversible'),
  // And the scope of the operation's subject: subjectScope.
  retryOperation: need('read', 'reversible'),
  cancelOperation: need('read', 'reversible'),
  createApiToken: need('admin', 'creating'),
  revokeApiToken: need('admin', 'irreversible'),
  createTeam: need('admin', 'creating'),
  deleteTeam: need('admin', 'irreversible', 'owner'),
  restoreTeam: need('admin', 'reversible', 'owner'),
  setSelfApproval: need('admin', 'reversible', 'owner'),
  inviteMember: need('admin', 'creating'),
  acceptInvitation: need(null, 'creating'),
  withdrawInvitation: need('admin', 'irreversible'),
  // And the role owner where an owner is made, demoted or removed: lackingForOwner.
  setMemberRole: need('admin', 'reversible'),
  removeMember: need('admin', 'irreversible'),
  createWebhook: need('admin', 'creating'),
  updateWebhook: need('admin', 'reversible'),
  deleteWebhook: need('admin', 'irreversible'),
  redeliverWebhookEvent: need('admin', 'reversible'),
} as const satisfies Record<string, Need>
export type Action = keyof typeof needs

/** The scope that it takes to act on the operations of a type of subject. */
export const subjectScope = { Deployment: 'deploy', Resource: 'resource', Stack: 'stack' } as const satisfies Record<
  string,
  Scope
>

/** What an action needs; null for an action that no caller may ever take. */
export const needOf = (action: string): Need | null => (Object.hasOwn(needs, action) ? needs[action as Action] : null)

/** What a caller lacks for an action. */
export type Lack =
  | { readonly kind: 'action class'; readonly name: string }
  | { readonly kind: 'role'; readonly name: Role }
  /** `ofRole`: no token would do, for it is the caller's role that has not got the scope. */
  | { readonly kind: 'scope'; readonly name: string; readonly ofRole?: Role }
  /** Its team is not in use any more, until somebody restores it. */
  | { readonly kind: 'team in use'; readonly name: string; readonly teamId: string; readonly endsAt: Date }

/** Null when the actor may; else the first thing that is missing: scope, action class, role, a team that is in use. */
export function lacking(actor: Actor, action: Action): Lack | null {
  const { scope, class: of, role }: Need = needs[action]
  const ofScope = scope === null ? null : lackingScope(actor, scope)
  if (ofScope) return ofScope
  if (!actor.classes.has(of)) return { kind: 'action class', name: of }
  if (role !== undefined && actor.role !== role) return { kind: 'role', name: role }
  const { teamId, teamEndsAt: endsAt } = actor
  // That its deletion was asked for already is told by deleteTeam itself.
  if (endsAt && of !== 'read' && action !== 'restoreTeam' && action !== 'deleteTeam')
    return { kind: 'team in use', name: 'ACTIVE', teamId, endsAt }
  return null
}

/** Owners are made, demoted and removed by owners alone. */
export const lackingForOwner = (actor: Actor, ...ofWhom: readonly Role[]): Lack | null =>
  ofWhom.includes('owner') && actor.role !== 'owner' ? { kind: 'role', name: 'owner' } : null

/** Nobody gives a role that is more than what it has itself in effect: every scope of it, and all classes of actions. */
export function lackingToGive(actor: Actor, role: Role): Lack | null {
  const ofOwner = lackingForOwner(actor, role)
  if (ofOwner) return ofOwner
  for (const scope of scopesOfRole[role]) {
    const lack = lackingScope(actor, scope)
    if (lack) return lack
  }
  const beyond = actionClasses.find((each) => !actor.classes.has(each))
  return beyond === undefined ? null : { kind: 'action class', name: beyond }
}

/** What a caller is told that it lacks. */
export function toldLack(lack: Lack): string {
  switch (lack.kind) {
    case 'team in use':
      return `The team is being deleted: until ${lack.endsAt.toISOString()} it can be read, and restored by an owner.`
    case 'role':
      return `The caller lacks the role ${roleWord(lack.name)}.`
    case 'scope':
      if (lack.ofRole) return `The caller’s role ${roleWord(lack.ofRole)} does not have the scope ${lack.name}.`
  }
  return `The caller lacks the ${lack.kind} ${lack.name}.`
}

/** A role as the API spells it. */
export const roleWord = (role: Role): string => role.toUpperCase()

/** The same for a scope alone, where the action's own row does not tell it. */
export function lackingScope({ scopes, role }: Actor, scope: Scope): Lack | null {
  if (scopes.has(scope)) return null
  const ofRole = role !== null && !scopesOfRole[role].includes(scope) ? { ofRole: role } : {}
  return { kind: 'scope', name: scope, ...ofRole }
}

/** What a token may do in effect: its own scopes as far as its member's role has them. */
export const scopesInEffect = (given: readonly Scope[], role: Role): ReadonlySet<Scope> =>
  new Set(given.filter((scope) => scopesOfRole[role].includes(scope)))
