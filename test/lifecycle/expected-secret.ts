// What a secret may do, written out by hand.
import type { ExpectedLifecycle } from './expected.ts'

export const secretStates = ['ACTIVE', 'DELETED'] as const

export const expectedSecret: ExpectedLifecycle<(typeof secretStates)[number]> = {
  passing: [],
  resting: ['ACTIVE'],
  terminal: ['DELETED'],
  births: ['ACTIVE'],
  pairs: { ACTIVE: ['DELETED'], DELETED: [] },
}

export const secretGrid = `
action       refusal              effect ACT DEL
setSecret    refused              -      ACT -
deleteSecret SecretAlreadyDeleted -      DEL -
`
