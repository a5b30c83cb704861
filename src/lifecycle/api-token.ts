// The moves of an API token: it works until it is revoked or expires, and never again after that.
import { declareMachine } from './machine.ts'

export const apiTokenMachine = declareMachine({
  entity: 'ApiToken',
  table: 'api_token',
  states: {
    ACTIVE: { kind: 'resting', description: 'Accepted, until its expiry.' },
    REVOKED: { kind: 'terminal', description: 'Taken back by somebody.' },
    EXPIRED: { kind: 'terminal', description: 'Its time is over.' },
  },
  moves: {
    createApiToken: {
      from: 'birth',
      to: 'ACTIVE',
      by: ['caller', 'system'],
      refusal: 'IllegalState',
      description: 'Make a token; its plaintext is shown once.',
    },
    revokeApiToken: {
      from: ['ACTIVE'],
      to: 'REVOKED',
      by: ['caller', 'teardown'],
      refusal: 'TokenAlreadyRevoked',
      description: 'Take it back, at once and for good.',
    },
    expireApiToken: {
      from: ['ACTIVE'],
      to: 'EXPIRED',
      by: ['expire'],
      refusal: 'IllegalState',
      guard: 'its expiry has passed',
      description: 'Its time is over.',
    },
  },
})

export type ApiTokenState = keyof typeof apiTokenMachine.states
