// What an API token may do, written out by hand.
import type { ExpectedLifecycle } from './expected.ts'

export const apiTokenStates = ['ACTIVE', 'REVOKED', 'EXPIRED'] as const

export const expectedApiToken: ExpectedLifecycle<(typeof apiTokenStates)[number]> = {
  passing: [],
  resting: ['ACTIVE'],
  terminal: ['REVOKED', 'EXPIRED'],
  births: ['ACTIVE'],
  pairs: { ACTIVE: ['REVOKED', 'EXPIRED'], REVOKED: [], EXPIRED: [] },
}

export const apiTokenGrid = `
action         refusal             effect ACT REV EXP
revokeApiToken TokenAlreadyRevoked -      REV -   -
expireApiToken refused             -      EXP -   -
`
