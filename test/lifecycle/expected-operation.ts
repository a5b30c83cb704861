// What an operation may do, written out by hand. `supersedeOutdated` is the dispatcher's own pass, `supersedeOperation`
// the runner's ending; `retryOperation` leaves the operation as it is and queues another one.
import type { ExpectedLifecycle } from './expected.ts'

export const operationStates = [
  'PENDING',
  'RUNNING',
  'UNKNOWN',
  'SUCCEEDED',
  'FAILED',
  'SUPERSEDED',
  'CANCELLED',
] as const

export const expectedOperation: ExpectedLifecycle<(typeof operationStates)[number]> = {
  passing: ['PENDING', 'RUNNING', 'UNKNOWN'],
  resting: [],
  terminal: ['SUCCEEDED', 'FAILED', 'SUPERSEDED', 'CANCELLED'],
  births: ['PENDING'],
  pairs: {
    PENDING: ['RUNNING', 'SUPERSEDED', 'CANCELLED'],
    RUNNING: ['PENDING', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'SUPERSEDED'],
    UNKNOWN: ['RUNNING'],
    SUCCEEDED: [],
    FAILED: [],
    SUPERSEDED: [],
    CANCELLED: [],
  },
}

export const operationGrid = `
action               refusal      effect PEN RUN UNK SUC FAI SUP CAN
claimOperation       refused      -      RUN RUN RUN -   -   -   -
progressOperation    refused      -      -   RUN -   -   -   -   -
postponeOperation    refused      -      -   PEN -   -   -   -   -
markOperationUnknown refused      -      -   UNK -   -   -   -   -
succeedOperation     refused      -      -   SUC -   -   -   -   -
failOperation        refused      -      -   FAI -   -   -   -   -
supersedeOperation   refused      -      SUP SUP -   -   -   -   -
supersedeOutdated    refused      -      SUP SUP -   -   -   -   -
cancelOperation      IllegalState -      CAN -   -   -   -   -   -
retryOperation       IllegalState -      -   -   -   -   FAI -   -
`
