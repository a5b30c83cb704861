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
  /** By which credential: an API token, an OIDC identity that is a member, or an invitation that is being accepted. */
  readonly kind: 'token' | 'member' | 'invitation'
  /** The id of the token, member or invitation: what events, operations and idempotency keys name. */
  readonly id: string
  readonly teamId: string
  /** The member behind it; null for an invitation, which nobody is behind yet. */
  readonly memberId: string | null
  readonly role: Role | null
  /** In effect: those of the token that the member's role has. */
  readonly scopes: ReadonlySet<Scope>
  readonly classes: ReadonlySet<ActionClass>
}

interface Need {
  readonly scope: Scope
  readonly class: ActionClass
  /** Only an owner may. */
  readonly role?: 'owner'
}
const need = (scope: Scope, of: ActionClass, role?: 'owner'): Need => ({ scope, class: of, ...(role ? { role } : {}) })

/** What each action of a caller needs. `read` covers every query that is not named here. */
const needs = {
  read: need('read', 'read'),
  readResourceConnection: need('resource', 'read'),
  readEnvValues: need('env:read', 'read'),
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
  setSecret: need('deploy', 'irreversible'),
  deleteSecret: need('deploy', 'irreversible'),
  // And the scope of the operation's subject: subjectScope.
  retryOperation: need('read', 'reversible'),
  cancelOperation: need('read', 'reversible'),
  createApiToken: need('admin', 'creating'),
  revokeApiToken: need('admin', 'irreversible'),
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
export interface Lack {
  readonly kind: 'scope' | 'action class' | 'role'
  readonly name: string
}

/** Null when the actor may; else the first thing that is missing: scope, then action class, then role. */
export function lacking(actor: Actor, action: Action): Lack | null {
  const { scope, class: of, role }: Need = needs[action]
  if (!actor.scopes.has(scope)) return { kind: 'scope', name: scope }
  if (!actor.classes.has(of)) return { kind: 'action class', name: of }
  if (role !== undefined && actor.role !== role) return { kind: 'role', name: role }
  return null
}

/** The same for a scope alone, where the action's own row does not tell it. */
export const lackingScope = (actor: Actor, scope: Scope): Lack | null =>
  actor.scopes.has(scope) ? null : { kind: 'scope', name: scope }

/** What a token may do in effect: its own scopes as far as its member's role has them. */
export const scopesInEffect = (given: readonly Scope[], role: Role): ReadonlySet<Scope> =>
  new Set(given.filter((scope) => scopesOfRole[role].includes(scope)))
