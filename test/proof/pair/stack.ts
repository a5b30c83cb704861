// What stacks, resources and secrets are refused for.
import type { Case } from './pair.ts'
import { asInput, env, full, half, nowhere, refused } from './scene.ts'

const stack = (state: string, more: object = {}) => ({
  Stack: { env: {}, name: 'shop', state, deleted_at: state.startsWith('DELET') ? new Date() : null, ...more },
})
const service = { name: 'web', image: 'hello', port: null, exposed: false }

export const stackCases: readonly Case[] = [
  refused('createStack', 'NameTaken', 'there is one', { but: stack('HEALTHY'), input: { name: 'shop' } }),
  refused('createStack', 'QuotaExceeded', 'no room', { also: full('stacks') }),
  refused('createStack', 'SecretUnresolved', 'references', { input: { env: asInput(nowhere) } }),
  ...['DELETING', 'DELETED'].map((state) =>
    refused('redeployStack', 'StackDeleting', state, {
      but: stack(state, { services: [service] }),
      again: { createStack: 'StackDeleting' },
    }),
  ),
  refused('redeployStack', 'SecretUnresolved', 'references', { but: stack('HEALTHY', { env: env(nowhere) }) }),
  ...['DELETING', 'DELETED'].map((state) =>
    refused('deleteStack', 'StackAlreadyDeleted', state, { but: stack(state) }),
  ),
  refused('mergeStackEnv', 'StackDeleting', 'DELETING', { but: stack('DELETING') }),
  refused('mergeStackEnv', 'EnvConflict', 'it is there', {
    but: stack('HEALTHY', { env: env({ A: '1' }), env_revision: 1 }),
    input: { expect: [{ key: 'A', absent: true }] },
  }),
  refused('mergeStackEnv', 'EnvTooLarge', 'too much', {
    but: stack('HEALTHY', { env: env({ BIG: half }), env_revision: 1 }),
    input: { set: [{ key: 'A', value: half }] },
  }),
]

const resource = (state: string, more: object = {}) => ({
  Resource: { name: 'db', state, deleted_at: state.startsWith('DELET') ? new Date() : null, ...more },
})
const unavailable = (mutation: string) =>
  refused(mutation, 'ResourceTypeUnavailable', 'no provisioner', {
    meanwhile: (stage) => async (asking) => {
      stage.unavailable = 'There are no resources of the type here: set PAWL_REDIS_URL.'
      return asking().finally(() => {
        stage.unavailable = null
      })
    },
  })

export const resourceCases: readonly Case[] = [
  refused('createResource', 'NameTaken', 'there is one', { but: resource('ACTIVE'), input: { name: 'db' } }),
  refused('createResource', 'QuotaExceeded', 'no room', { also: full('resources') }),
  ...['createResource', 'requestTwin', 'twinResource'].map(unavailable),
  ...['DELETING', 'DELETED'].map((state) =>
    refused('deleteResource', 'ResourceAlreadyDeleted', state, { but: resource(state) }),
  ),
  ...['PROVISIONING', 'PAUSED', 'RESUMING', 'SUSPENDED', 'FAILED', 'DELETED'].map((state) =>
    refused('pauseResource', 'IllegalState', state, { but: resource(state) }),
  ),
  ...['ACTIVE', 'PAUSING', 'DELETING'].map((state) =>
    refused('resumeResource', 'IllegalState', state, { but: resource(state) }),
  ),
  refused('rotateResourceCredentials', 'IllegalState', 'PAUSED', {
    but: resource('PAUSED'),
    again: {
      // “Let clients connect again, then rotate.”
      resumeResource: {
        member: 'RotateResourceCredentialsPayload',
        after: ({ sql }, { input }) =>
          sql`update resource set state = 'ACTIVE', version = version + 1 where id = ${String(input.id)}`,
      },
    },
  }),
  refused('rotateResourceCredentials', 'IllegalState', 'a rotation is under way', {
    but: resource('ACTIVE', { next_password: 'sealed' }),
  }),
  refused('setResourceTtl', 'IllegalState', 'DELETED', { but: resource('DELETED') }),
  refused('setSecret', 'QuotaExceeded', 'no room', { also: full('secrets') }),
  refused('deleteSecret', 'SecretAlreadyDeleted', 'by its id', {
    but: { Secret: { state: 'DELETED', value: null } },
  }),
  refused('deleteSecret', 'SecretAlreadyDeleted', 'by its name', {
    but: { Secret: { state: 'DELETED', value: null, name: 'GONE' } },
    input: { id: null, name: 'GONE' },
  }),
]
