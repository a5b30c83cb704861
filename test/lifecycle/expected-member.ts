// What a member and an invitation may do, written out by hand.
import type { ExpectedLifecycle } from './expected.ts'

export const memberStates = ['ACTIVE', 'REMOVED'] as const

export const expectedMember: ExpectedLifecycle<(typeof memberStates)[number]> = {
  passing: [],
  resting: ['ACTIVE'],
  terminal: ['REMOVED'],
  births: ['ACTIVE'],
  pairs: { ACTIVE: ['REMOVED'], REMOVED: [] },
}

export const memberGrid = `
action        refusal      effect ACT REM
setMemberRole IllegalState -      ACT -
removeMember  IllegalState -      REM -
`

export const invitationStates = ['PENDING', 'ACCEPTED', 'WITHDRAWN', 'EXPIRED'] as const

export const expectedInvitation: ExpectedLifecycle<(typeof invitationStates)[number]> = {
  passing: ['PENDING'],
  resting: [],
  terminal: ['ACCEPTED', 'WITHDRAWN', 'EXPIRED'],
  births: ['PENDING'],
  pairs: { PENDING: ['ACCEPTED', 'WITHDRAWN', 'EXPIRED'], ACCEPTED: [], WITHDRAWN: [], EXPIRED: [] },
}

export const invitationGrid = `
action             refusal      effect PEN ACC WIT EXP
acceptInvitation   IllegalState -      ACC -   -   -
withdrawInvitation IllegalState -      WIT -   -   -
expireInvitation   refused      -      EXP -   -   -
`
