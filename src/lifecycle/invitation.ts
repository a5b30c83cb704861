// The moves of an invitation: a token by which somebody may become a member, once, for a week.
import { declareMachine } from './machine.ts'

const days = (n: number) => n * 86_400_000

export const invitationMachine = declareMachine({
  entity: 'Invitation',
  table: 'invitation',
  states: {
    PENDING: {
      kind: 'passing',
      deadlineMs: days(8),
      owner: 'expire',
      description: 'Can be accepted, until its expiry.',
    },
    ACCEPTED: { kind: 'terminal', description: 'Somebody has become a member by it.' },
    WITHDRAWN: { kind: 'terminal', description: 'Taken back by somebody.' },
    EXPIRED: { kind: 'terminal', description: 'Its time is over.' },
  },
  moves: {
    inviteMember: {
      from: 'birth',
      to: 'PENDING',
      by: ['caller'],
      refusal: 'IllegalState',
      description: 'Make an invitation; its token is shown once.',
    },
    acceptInvitation: {
      from: ['PENDING'],
      to: 'ACCEPTED',
      by: ['caller'],
      refusal: 'IllegalState',
      guard: 'its expiry has not passed; the member joins in the same statement',
      description: 'Become a member by it.',
    },
    withdrawInvitation: {
      from: ['PENDING'],
      to: 'WITHDRAWN',
      by: ['caller', 'teardown'],
      refusal: 'IllegalState',
      description: 'Take it back.',
    },
    expireInvitation: {
      from: ['PENDING'],
      to: 'EXPIRED',
      by: ['expire'],
      refusal: 'IllegalState',
      guard: 'its expiry has passed',
      description: 'Its time is over.',
    },
  },
})

export type InvitationState = keyof typeof invitationMachine.states
