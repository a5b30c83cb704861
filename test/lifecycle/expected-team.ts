// What a team may do, written out by hand.
import type { ExpectedLifecycle } from './expected.ts'

export const teamStates = ['ACTIVE', 'DELETION_REQUESTED', 'DELETING', 'DELETED'] as const

export const expectedTeam: ExpectedLifecycle<(typeof teamStates)[number]> = {
  passing: ['DELETION_REQUESTED', 'DELETING'],
  resting: ['ACTIVE'],
  terminal: ['DELETED'],
  births: ['ACTIVE'],
  pairs: {
    ACTIVE: ['DELETION_REQUESTED'],
    DELETION_REQUESTED: ['ACTIVE', 'DELETING'],
    DELETING: ['DELETED'],
    DELETED: [],
  },
}

export const teamGrid = `
action            refusal      effect ACT REQ DLG DLD
deleteTeam        IllegalState -      REQ -   -   -
restoreTeam       IllegalState -      -   ACT -   -
setSelfApproval   IllegalState -      ACT -   -   -
beginTeamDeletion refused      -      -   DLG -   -
markTeamDeleted   refused      -      -   -   DLD -
`
