// The moves of a delivery: one event that one webhook is to be told of. Delivered at least once, in order per subject.
import { declareMachine } from './machine.ts'

const minutes = (n: number) => n * 60_000
const hours = (n: number) => n * 60 * 60_000
const claim = 'the claim'

export const webhookDeliveryMachine = declareMachine({
  entity: 'WebhookDelivery',
  table: 'webhook_delivery',
  states: {
    PENDING: {
      kind: 'passing',
      deadlineMs: hours(24),
      owner: 'deliver',
      description: 'Waits for its turn, or to be tried again.',
    },
    SENDING: {
      kind: 'passing',
      deadlineMs: minutes(5),
      owner: 'deliver',
      description: 'A worker is sending it, under a lease.',
    },
    DELIVERED: { kind: 'terminal', description: 'Its receiver has answered 2xx.' },
    DEAD: { kind: 'terminal', description: 'Its attempts are used up; `redeliverWebhookEvent` tries again.' },
    DROPPED: { kind: 'terminal', description: 'Its webhook was disabled or deleted before it was delivered.' },
  },
  moves: {
    queueDelivery: {
      from: 'birth',
      to: 'PENDING',
      by: ['deliver'],
      refusal: 'IllegalState',
      untold: 'always',
      description: 'Stored together with the cursor of its webhook.',
    },
    redeliverWebhookEvent: {
      from: 'birth',
      to: 'PENDING',
      by: ['caller'],
      refusal: 'IllegalState',
      guard: 'the delivery that it repeats has ended',
      description: 'Deliver the same event once more, under the same id.',
    },
    claimDelivery: {
      from: ['PENDING', 'SENDING'],
      to: 'SENDING',
      by: ['deliver'],
      refusal: 'IllegalState',
      guard: 'it is due (for SENDING: the lease is over), and no earlier one of its webhook and subject is open',
      untold: 'always',
      description: 'A worker takes it, with a new claim token.',
    },
    markDelivered: {
      from: ['SENDING'],
      to: 'DELIVERED',
      by: ['deliver'],
      refusal: 'IllegalState',
      guard: claim,
      untold: 'always',
      description: 'Its receiver has answered 2xx.',
    },
    postponeDelivery: {
      from: ['SENDING'],
      to: 'PENDING',
      by: ['deliver'],
      refusal: 'IllegalState',
      guard: claim,
      untold: 'always',
      description: 'It did not arrive: tried again later.',
    },
    deferDelivery: {
      from: ['PENDING'],
      to: 'same',
      by: ['deliver'],
      refusal: 'IllegalState',
      guard: 'an earlier one of its webhook and subject is postponed in the same statement',
      untold: 'always',
      description: 'Its turn comes no sooner than that of the one before it.',
    },
    buryDelivery: {
      from: ['SENDING'],
      to: 'DEAD',
      by: ['deliver'],
      refusal: 'IllegalState',
      guard: 'the claim, or its lease is over and no attempt is left',
      untold: 'always',
      description: 'Its attempts are used up.',
    },
    dropDelivery: {
      from: ['PENDING', 'SENDING'],
      to: 'DROPPED',
      by: ['deliver'],
      refusal: 'IllegalState',
      guard: 'its webhook is not ACTIVE',
      untold: 'always',
      description: 'Its webhook does not want it any more.',
    },
  },
})

export type WebhookDeliveryState = keyof typeof webhookDeliveryMachine.states
