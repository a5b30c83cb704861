// What a delivery may do, written out by hand. Delivering again is the birth of another one.
import type { ExpectedLifecycle } from './expected.ts'

export const webhookDeliveryStates = ['PENDING', 'SENDING', 'DELIVERED', 'DEAD', 'DROPPED'] as const

export const expectedWebhookDelivery: ExpectedLifecycle<(typeof webhookDeliveryStates)[number]> = {
  passing: ['PENDING', 'SENDING'],
  resting: [],
  terminal: ['DELIVERED', 'DEAD', 'DROPPED'],
  births: ['PENDING'],
  pairs: {
    PENDING: ['SENDING', 'DROPPED'],
    SENDING: ['PENDING', 'DELIVERED', 'DEAD', 'DROPPED'],
    DELIVERED: [],
    DEAD: [],
    DROPPED: [],
  },
}

export const webhookDeliveryGrid = `
action           refusal effect PEN  SEN  DLV DEA DRO
claimDelivery    refused -      SEN~ SEN~ -   -   -
markDelivered    refused -      -    DLV~ -   -   -
postponeDelivery refused -      -    PEN~ -   -   -
deferDelivery    refused -      PEN~ -    -   -   -
buryDelivery     refused -      -    DEA~ -   -   -
dropDelivery     refused -      DRO~ DRO~ -   -   -
`
