// What an instance may do, written out by hand. Callers are told IllegalState; `refused` is for runners and loops.
import type { ExpectedLifecycle } from './expected.ts'

export const instanceStates = ['STARTING', 'ONLINE', 'DEGRADED', 'OFFLINE', 'REMOVED'] as const

export const expectedInstance: ExpectedLifecycle<(typeof instanceStates)[number]> = {
  passing: ['STARTING'],
  resting: ['ONLINE', 'DEGRADED', 'OFFLINE'],
  terminal: ['REMOVED'],
  births: ['STARTING'],
  pairs: {
    STARTING: ['ONLINE', 'DEGRADED', 'OFFLINE', 'REMOVED'],
    ONLINE: ['DEGRADED', 'OFFLINE', 'REMOVED'],
    DEGRADED: ['ONLINE', 'OFFLINE', 'REMOVED'],
    OFFLINE: ['STARTING', 'ONLINE', 'DEGRADED', 'REMOVED'],
    REMOVED: [],
  },
}

export const instanceGrid = `
action                 refusal      effect STA ONL  DEG  OFF REM
markInstanceOnline     refused      -      ONL -    -    -   -
degradeInstance        refused      -      -   DEG  -    -   -
recoverInstance        refused      -      -   -    ONL  -   -
offlineInstance        refused      -      OFF OFF  OFF  -   -
restartInstance        refused      -      -   -    -    STA -
heartbeatInstance      IllegalState -      ONL ONL~ ONL  ONL -
reportInstanceDegraded IllegalState -      DEG DEG  DEG~ DEG -
removeInstance         IllegalState -      REM REM  REM  REM -
`
