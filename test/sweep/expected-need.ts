// What it takes to ask for each thing, written out once more by hand from what is promised, as src/auth.ts has it or ought
// to. Not derived: it is the second opinion. A mutation without a row fails the sweep.

export interface Need {
  /** All of them; none: whoever is let in may ask. */
  readonly scopes: readonly string[]
  readonly class: 'read' | 'reversible' | 'creating' | 'irreversible'
  /** Every other class, too: who gives a role has all that it gives. */
  readonly allClasses?: true
  /** Owners alone. */
  readonly owner?: true
  /** Also while the team is being deleted, when it is read and nothing else. */
  readonly whileLeaving?: true
}

const need = (scopes: string, of: Need['class'], more: Omit<Need, 'scopes' | 'class'> = {}): Need => ({
  scopes: scopes === '' ? [] : scopes.split(' '),
  class: of,
  ...more,
})

export const allScopes = ['read', 'deploy', 'resource', 'stack', 'promote', 'approve', 'env:read', 'admin']
export const allClasses = ['read', 'reversible', 'creating', 'irreversible']

/** What a member's tokens may have at most. */
export const scopesOfRole: Readonly<Record<string, readonly string[]>> = {
  owner: allScopes,
  admin: allScopes,
  developer: ['read', 'deploy', 'resource', 'stack', 'promote', 'env:read'],
  viewer: ['read'],
}

/** Every query: to read is to read. */
export const query = need('read', 'read', { whileLeaving: true })

export const mutation: Readonly<Record<string, Need>> = {
  deploy: need('deploy', 'creating'),
  redeployDeployment: need('deploy', 'reversible'),
  stopDeployment: need('deploy', 'reversible'),
  startDeployment: need('deploy', 'reversible'),
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
  createWebhook: need('admin', 'creating'),
  updateWebhook: need('admin', 'reversible'),
  deleteWebhook: need('admin', 'irreversible'),
  redeliverWebhookEvent: need('admin', 'reversible'),
  registerInstance: need('deploy', 'creating'),
  heartbeatInstance: need('deploy', 'reversible'),
  removeInstance: need('deploy', 'irreversible'),
  // Of a deployment, as the one in valid-input.ts: the scope of what the operation works on is needed too.
  retryOperation: need('read deploy', 'reversible'),
  cancelOperation: need('read deploy', 'reversible'),
  createApiToken: need('admin', 'creating'),
  revokeApiToken: need('admin', 'irreversible'),
  createTeam: need('admin', 'creating'),
  // Told that it is being deleted already, which is no lack of the caller's.
  deleteTeam: need('admin', 'irreversible', { owner: true, whileLeaving: true }),
  restoreTeam: need('admin', 'reversible', { owner: true, whileLeaving: true }),
  setSelfApproval: need('admin', 'reversible', { owner: true }),
  // A developer, as in valid-input.ts: who gives a role has every scope of it.
  inviteMember: need('admin read deploy resource stack promote env:read', 'creating', { allClasses: true }),
  acceptInvitation: need('', 'creating'),
  withdrawInvitation: need('admin', 'irreversible'),
  // Of somebody who is no owner and becomes a viewer, as in valid-input.ts.
  setMemberRole: need('admin read', 'reversible', { allClasses: true }),
  removeMember: need('admin', 'irreversible'),
}
