// The moves of a member: a person in a team, with a role. A team has an owner as long as it lives.
import { declareMachine } from './machine.ts'

/** What a member may do at most, from most to least. */
export const memberRoles = ['owner', 'admin', 'developer', 'viewer'] as const
export type MemberRole = (typeof memberRoles)[number]

export const memberMachine = declareMachine({
  entity: 'Member',
  table: 'member',
  states: {
    ACTIVE: { kind: 'resting', description: 'Acts for the team within its role, by any of its tokens.' },
    REMOVED: { kind: 'terminal', description: 'Acts for the team no more; its tokens are dead.' },
  },
  moves: {
    joinTeam: {
      from: 'birth',
      to: 'ACTIVE',
      by: ['caller', 'system'],
      refusal: 'IllegalState',
      guard: 'the plan has room, and nobody of that identity is a member',
      description: 'Come into the team: by making it, or by accepting an invitation.',
    },
    setMemberRole: {
      from: ['ACTIVE'],
      to: 'same',
      by: ['caller'],
      refusal: 'IllegalState',
      guard: 'an owner is left',
      description: 'Give another role; it counts from the next request on.',
    },
    removeMember: {
      from: ['ACTIVE'],
      to: 'REMOVED',
      by: ['caller', 'teardown'],
      refusal: 'IllegalState',
      guard: 'an owner is left, unless the team itself is being deleted',
      description: 'Take out of the team; its tokens are dead at once.',
    },
  },
})

export type MemberState = keyof typeof memberMachine.states
