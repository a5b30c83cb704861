// What a stack may do, written out by hand.
import type { ExpectedLifecycle } from './expected.ts'

export const stackStates = ['BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED', 'DELETING', 'DELETED'] as const

export const expectedStack: ExpectedLifecycle<(typeof stackStates)[number]> = {
  passing: ['BUILDING', 'DEPLOYING', 'DELETING'],
  resting: ['HEALTHY', 'FAILED'],
  terminal: ['DELETED'],
  births: ['BUILDING'],
  pairs: {
    BUILDING: ['DEPLOYING', 'FAILED', 'DELETING'],
    DEPLOYING: ['BUILDING', 'HEALTHY', 'FAILED', 'DELETING'],
    HEALTHY: ['BUILDING', 'FAILED', 'DELETING'],
    FAILED: ['BUILDING', 'DELETING'],
    DELETING: ['DELETED'],
    DELETED: [],
  },
}

export const stackGrid = `
action             refusal             effect    BUI  DEP  HEA  FAI  DLG  DLD
redeployStack      StackDeleting       roll_out  BUI+ BUI+ BUI+ BUI+ -    -
promoteStack       StackDeleting       roll_out  BUI+ BUI+ BUI+ BUI+ -    -
sendStack          StackDeleting       -         BUI  DEP  HEA  FAI  -    -
mergeStackEnv      StackDeleting       -         BUI  DEP  HEA  FAI  -    -
deleteStack        StackAlreadyDeleted tear_down DLG+ DLG+ DLG+ DLG+ -    -
rollOutStack       refused             -         DEP  -    -    -    -    -
progressStack      refused             -         -    DEP  -    -    -    -
markStackHealthy   refused             -         -    HEA  -    -    -    -
markStackFailed    refused             -         FAI  FAI  -    -    -    -
restartStack       refused             restart   -    -    HEA  FAI  -    -
beginStackRestart  refused             -         -    -    HEA  FAI  -    -
markStackRestarted refused             -         -    -    HEA  FAI  -    -
giveUpStack        refused             -         -    -    FAI  FAI  -    -
continueStack      refused             roll_out  BUI  DEP  -    -    -    -
tearDownStack      refused             tear_down -    -    -    -    DLG  -
markStackDeleted   refused             -         -    -    -    -    DLD  -
`
