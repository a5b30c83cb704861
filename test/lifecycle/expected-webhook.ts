// What a webhook may do, written out by hand. `fanOutWebhook` and the disabling by a receiver that is gone are the loop's own.
import type { ExpectedLifecycle } from './expected.ts'

export const webhookStates = ['ACTIVE', 'DISABLED', 'DELETED'] as const

export const expectedWebhook: ExpectedLifecycle<(typeof webhookStates)[number]> = {
  passing: [],
  resting: ['ACTIVE', 'DISABLED'],
  terminal: ['DELETED'],
  births: ['ACTIVE'],
  pairs: { ACTIVE: ['DISABLED', 'DELETED'], DISABLED: ['ACTIVE', 'DELETED'], DELETED: [] },
}

export const webhookGrid = `
action         refusal      effect ACT  DIS DEL
updateWebhook  IllegalState -      ACT  DIS -
enableWebhook  IllegalState -      ACT  ACT -
disableWebhook IllegalState -      DIS  DIS -
fanOutWebhook  refused      -      ACT~ -   -
deleteWebhook  IllegalState -      DEL  DEL -
`
