// What deployments and their operations are refused for.
import type { Case } from './pair.ts'
import { asInput, env, full, half, nowhere, refused } from './scene.ts'

const ofState = (state: string, more: object = {}) => ({ Deployment: { env: {}, name: 'app', state, ...more } })
const unresolved = { Deployment: { env: env(nowhere), state: 'STOPPED' } }
const named = { name: 'app' }
const again = { ...named, redeploy: true }

const deploy: readonly Case[] = [
  refused('deploy', 'NameTaken', 'by one that is HEALTHY', {
    but: ofState('HEALTHY'),
    input: named,
    again: { deploy: 'NameTaken' },
  }),
  refused('deploy', 'NameTaken', 'by one that is STOPPED', {
    but: ofState('STOPPED'),
    input: named,
    // “Start the one that is there, as it was; then it can be redeployed.”
    again: { startDeployment: { member: 'DeployPayload', input: { redeploy: true } } },
  }),
  refused('deploy', 'NameTaken', 'by one that is STOPPING', { but: ofState('STOPPING'), input: named }),
  refused('deploy', 'NotRedeployable', 'it is STOPPED', { but: ofState('STOPPED'), input: again }),
  refused('deploy', 'NotRedeployable', 'it is STOPPING', { but: ofState('STOPPING'), input: again }),
  refused('deploy', 'NotRedeployable', 'it is EXPIRED', { but: ofState('EXPIRED'), input: again }),
  refused('deploy', 'NothingToRedeploy', 'there is none', { input: { name: 'none', redeploy: true } }),
  refused('deploy', 'NothingToRedeploy', 'it is DELETED', { but: ofState('DELETED'), input: again }),
  refused('deploy', 'QuotaExceeded', 'no room', { also: full('deployments') }),
  refused('deploy', 'SecretUnresolved', 'references of a new one', { input: { env: asInput(nowhere) } }),
  refused('deploy', 'SecretUnresolved', 'references of the one that is there', {
    but: ofState('HEALTHY', { env: env(nowhere) }),
    input: { ...again, env: [] },
  }),
]

const byId: readonly Case[] = [
  refused('redeployDeployment', 'NotRedeployable', 'STOPPED', { but: ofState('STOPPED') }),
  refused('redeployDeployment', 'NotRedeployable', 'STOPPING', { but: ofState('STOPPING') }),
  refused('redeployDeployment', 'NotRedeployable', 'EXPIRED', {
    but: ofState('EXPIRED'),
    again: { deploy: 'NotRedeployable' },
  }),
  refused('redeployDeployment', 'NotRedeployable', 'DELETED', {
    but: ofState('DELETED'),
    again: { deploy: 'NotRedeployable' },
  }),
  refused('redeployDeployment', 'SecretUnresolved', 'references', { but: { Deployment: { env: env(nowhere) } } }),
  ...['FAILED', 'HEALTHY', 'STOPPING', 'EXPIRED', 'DELETED'].map((state) =>
    refused('startDeployment', 'IllegalState', state, {
      but: ofState(state),
      again: { redeployDeployment: 'IllegalState', deploy: 'IllegalState' },
    }),
  ),
  refused('startDeployment', 'SecretUnresolved', 'references', { but: unresolved }),
  ...['STOPPED', 'STOPPING', 'DELETING'].map((state) =>
    refused('stopDeployment', 'IllegalState', state, { but: ofState(state) }),
  ),
  ...['EXPIRED', 'DELETING', 'DELETED'].map((state) =>
    refused('deleteDeployment', 'DeploymentAlreadyDeleted', state, { but: ofState(state) }),
  ),
  refused('mergeDeploymentEnv', 'IllegalState', 'EXPIRED', { but: ofState('EXPIRED') }),
  refused('mergeDeploymentEnv', 'EnvConflict', 'another revision', {
    but: ofState('HEALTHY', { env: env({ A: '1' }), env_revision: 1 }),
    input: {
      expect: [
        { key: 'A', revision: 7 },
        { key: 'B', revision: 1 },
      ],
    },
  }),
  refused('mergeDeploymentEnv', 'EnvTooLarge', 'too much', {
    but: ofState('HEALTHY', { env: env({ BIG: half }), env_revision: 1 }),
    input: { set: [{ key: 'A', value: half }] },
  }),
  refused('setDeploymentTtl', 'NotExtendable', 'permanent', {
    but: ofState('HEALTHY', { ttl_policy: 'PERMANENT', expires_at: null }),
  }),
  refused('setDeploymentTtl', 'NotExtendable', 'DELETED', { but: ofState('DELETED') }),
  refused('makeDeploymentPermanent', 'NotExtendable', 'EXPIRED', { but: ofState('EXPIRED') }),
]

const running = { state: 'RUNNING', claim_token: 'theirs', claimed_by: 'a worker', attempt: 1 }
const operations: readonly Case[] = [
  refused('cancelOperation', 'IllegalState', 'RUNNING', {
    but: { Operation: running, Deployment: { env: {}, state: 'DEPLOYING' } },
    again: { stopDeployment: 'IllegalState' },
  }),
  refused('cancelOperation', 'IllegalState', 'SUCCEEDED', { but: { Operation: { state: 'SUCCEEDED' } } }),
  refused('cancelOperation', 'IllegalState', 'a teardown', { but: { Operation: { kind: 'deployment.tear_down' } } }),
  refused('retryOperation', 'IllegalState', 'SUCCEEDED', { but: { Operation: { state: 'SUCCEEDED' } } }),
  refused('retryOperation', 'IllegalState', 'RUNNING', {
    but: { Operation: running, Deployment: { env: {}, state: 'DEPLOYING' } },
    again: { stopDeployment: 'IllegalState' },
  }),
  refused('retryOperation', 'IllegalState', 'its subject has moved on', {
    but: { Operation: { state: 'FAILED' }, Deployment: { env: {}, state: 'HEALTHY' } },
  }),
  refused('retryOperation', 'SecretUnresolved', 'references', {
    but: { Operation: { state: 'FAILED' }, Deployment: { env: env(nowhere), state: 'FAILED' } },
  }),
]

export const deploymentCases: readonly Case[] = [...deploy, ...byId, ...operations]
