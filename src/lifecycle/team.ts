// The moves of a team: everything belongs to one, and nothing of it outlives it.
import { declareMachine } from './machine.ts'

const days = (n: number) => n * 86_400_000

export const teamMachine = declareMachine({
  entity: 'Team',
  table: 'team',
  states: {
    ACTIVE: { kind: 'resting', description: 'In use.' },
    DELETION_REQUESTED: {
      kind: 'passing',
      deadlineMs: days(8),
      owner: 'teardown',
      description: 'To be deleted when the restore window ends; can be restored until then.',
    },
    DELETING: {
      kind: 'passing',
      deadlineMs: days(1),
      owner: 'teardown',
      description: 'What it owns is being torn down.',
    },
    DELETED: { kind: 'terminal', description: 'Nothing of it is left.' },
  },
  moves: {
    createTeam: {
      from: 'birth',
      to: 'ACTIVE',
      by: ['caller', 'system'],
      refusal: 'NameTaken',
      description: 'Make a team.',
    },
    deleteTeam: {
      from: ['ACTIVE'],
      to: 'DELETION_REQUESTED',
      by: ['caller'],
      refusal: 'IllegalState',
      description: 'Ask for its deletion; a restore window begins.',
    },
    restoreTeam: {
      from: ['DELETION_REQUESTED'],
      to: 'ACTIVE',
      by: ['caller'],
      refusal: 'IllegalState',
      description: 'Take the deletion back.',
    },
    setSelfApproval: {
      from: ['ACTIVE'],
      to: 'same',
      by: ['caller'],
      refusal: 'IllegalState',
      description: 'Say whether the member who asks for a promotion may approve it.',
    },
    beginTeamDeletion: {
      from: ['DELETION_REQUESTED'],
      to: 'DELETING',
      by: ['teardown'],
      refusal: 'IllegalState',
      guard: 'the restore window is over',
      description: 'The restore window is over.',
    },
    markTeamDeleted: {
      from: ['DELETING'],
      to: 'DELETED',
      by: ['teardown'],
      refusal: 'IllegalState',
      guard: 'nothing that it owned is left',
      description: 'Nothing of it is left.',
    },
  },
})

export type TeamState = keyof typeof teamMachine.states
