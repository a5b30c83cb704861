// For each mutation an input that the team could well send. A mutation without a row fails the sweeps: whoever adds one
// says here what it takes, and it is swept.
import type { Objects } from './maker.ts'

/** `of` holds an object of each type; `nth` makes names that are taken once. */
type Made = (of: Objects, nth: number) => Readonly<Record<string, unknown>>

const byId =
  (type: string, more: Readonly<Record<string, unknown>> = {}): Made =>
  (of) => ({ id: of[type], ...more })

export const validInputs: Readonly<Record<string, Made>> = {
  deploy: (_, nth) => ({ name: `made-${nth}`, image: 'hello', env: [{ key: 'A', value: '1' }], ttlHours: 1 }),
  redeployDeployment: byId('Deployment', { image: 'hello' }),
  stopDeployment: byId('Deployment'),
  startDeployment: byId('Deployment'),
  deleteDeployment: byId('Deployment'),
  mergeDeploymentEnv: byId('Deployment', { set: [{ key: 'A', value: '1' }], unset: ['B'], expect: [] }),
  setDeploymentTtl: byId('Deployment', { ttlHours: 1 }),
  makeDeploymentPermanent: byId('Deployment'),
  createResource: (_, nth) => ({ type: 'POSTGRES', name: `made-${nth}`, ttlHours: 1 }),
  deleteResource: byId('Resource'),
  pauseResource: byId('Resource'),
  resumeResource: byId('Resource'),
  rotateResourceCredentials: byId('Resource'),
  setResourceTtl: byId('Resource', { ttlHours: 1 }),
  createStack: (_, nth) => ({ name: `made-${nth}`, services: [{ name: 'web', image: 'hello' }] }),
  redeployStack: byId('Stack', { services: [{ name: 'web', image: 'hello' }] }),
  deleteStack: byId('Stack'),
  mergeStackEnv: byId('Stack', { set: [{ key: 'A', value: '1' }], unset: ['B'], expect: [] }),
  requestPromotion: (of) => ({ stackId: of.Stack, toEnvironment: 'production' }),
  requestTwin: (of) => ({ resourceId: of.Resource, toEnvironment: 'production' }),
  approvePromotion: byId('PromotionApproval'),
  rejectPromotion: byId('PromotionApproval'),
  withdrawPromotion: byId('PromotionApproval'),
  promoteStack: (of) => ({ stackId: of.Stack, toEnvironment: 'production', approvalId: of.PromotionApproval }),
  twinResource: (of) => ({ resourceId: of.Resource, toEnvironment: 'production', approvalId: of.PromotionApproval }),
  setSecret: (_, nth) => ({ name: `MADE_${nth}`, environment: 'development', value: 'x' }),
  deleteSecret: byId('Secret'),
  createWebhook: (_, nth) => ({ url: `https://hooks.example/made-${nth}`, filter: { subjectTypes: ['Deployment'] } }),
  updateWebhook: byId('Webhook', { url: 'https://hooks.example/', filter: { kinds: ['deploy'] }, rotateSecret: true }),
  deleteWebhook: byId('Webhook'),
  redeliverWebhookEvent: byId('WebhookDelivery'),
  registerInstance: (of, nth) => ({ name: `made-${nth}`, deploymentId: of.Deployment, heartbeatSeconds: 60 }),
  heartbeatInstance: byId('Instance', { healthy: false, reason: 'x' }),
  removeInstance: byId('Instance'),
  retryOperation: byId('Operation'),
  cancelOperation: byId('Operation'),
  createApiToken: (_, nth) => ({ name: `made ${nth}`, scopes: ['admin'] }),
  revokeApiToken: byId('ApiToken'),
  createTeam: (_, nth) => ({ name: `made-${nth}` }),
  deleteTeam: byId('Team'),
  restoreTeam: byId('Team'),
  setSelfApproval: (of) => ({ teamId: of.Team, policy: 'NEVER' }),
  inviteMember: (_, nth) => ({ email: `made-${nth}@example.test`, role: 'DEVELOPER' }),
  acceptInvitation: () => ({ token: 'pawl_x' }),
  withdrawInvitation: byId('Invitation'),
  setMemberRole: byId('Member', { role: 'VIEWER' }),
  removeMember: byId('Member'),
}
