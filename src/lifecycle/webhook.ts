// The moves of a webhook: an address that is told, in order, what happens in a team.
import { declareMachine } from './machine.ts'

export const webhookMachine = declareMachine({
  entity: 'Webhook',
  table: 'webhook',
  states: {
    ACTIVE: { kind: 'resting', description: 'Told of every event that its filter wants.' },
    DISABLED: { kind: 'resting', description: 'Told of nothing; what happens meanwhile is not told later.' },
    DELETED: { kind: 'terminal', description: 'Told of nothing any more; its secret is erased.' },
  },
  moves: {
    createWebhook: {
      from: 'birth',
      to: 'ACTIVE',
      by: ['caller'],
      refusal: 'AddressRefused',
      guard: 'the address may be called, and the plan has room',
      description: 'Tell an address of what happens from now on.',
    },
    updateWebhook: {
      from: ['ACTIVE', 'DISABLED'],
      to: 'same',
      by: ['caller'],
      refusal: 'IllegalState',
      description: 'Change its address or its filter, or give it a new secret.',
    },
    enableWebhook: {
      from: ['ACTIVE', 'DISABLED'],
      to: 'ACTIVE',
      by: ['caller'],
      refusal: 'IllegalState',
      description: 'Tell it of what happens from now on: `updateWebhook` with `enabled: true`.',
    },
    disableWebhook: {
      from: ['ACTIVE', 'DISABLED'],
      to: 'DISABLED',
      by: ['caller', 'deliver'],
      refusal: 'IllegalState',
      description:
        'Tell it of nothing: `updateWebhook` with `enabled: false`, or its receiver answered 410 Gone, or none of the last deliveries has arrived.',
    },
    fanOutWebhook: {
      from: ['ACTIVE'],
      to: 'same',
      by: ['deliver'],
      refusal: 'IllegalState',
      guard: 'its team has events behind its cursor',
      untold: 'always',
      description: 'Store what it is to be told of, and move its cursor, in one statement.',
    },
    deleteWebhook: {
      from: ['ACTIVE', 'DISABLED'],
      to: 'DELETED',
      by: ['caller', 'teardown'],
      refusal: 'IllegalState',
      description: 'Tell it of nothing any more, and erase its secret.',
    },
  },
})

export type WebhookState = keyof typeof webhookMachine.states
