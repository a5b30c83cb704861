// The moves of an instance: one running unit of a deployment or of a stack's service, or one that runs elsewhere and reports
// by heartbeats. Its run changes with every start and has a new id of the provider each time; the instance stays.
import { allBut, declareMachine } from './machine.ts'

export const instanceRuntimes = ['PROCESS', 'DOCKER', 'EXTERNAL'] as const
/** What runs it; EXTERNAL is not ours to start. */
export type InstanceRuntime = (typeof instanceRuntimes)[number]

const minutes = (n: number) => n * 60_000

const states = {
  STARTING: {
    kind: 'passing',
    deadlineMs: minutes(15),
    owner: 'reconcile-instances',
    description: 'It is being started, or has not sent its first heartbeat yet.',
  },
  ONLINE: { kind: 'resting', description: 'It runs and is well.' },
  DEGRADED: { kind: 'resting', description: 'It runs, and its health check has failed several times in a row.' },
  OFFLINE: { kind: 'resting', description: 'Its run is gone, or its heartbeats have ceased; stateReason says which.' },
  REMOVED: { kind: 'terminal', description: 'It is no part of anything any more and never comes back.' },
} as const

const live = allBut(states, 'REMOVED')
const captured = 'the very run that was asked about; never of runtime EXTERNAL'
const external = 'its runtime is EXTERNAL'

export const instanceMachine = declareMachine({
  entity: 'Instance',
  table: 'instance',
  states,
  moves: {
    registerInstance: {
      from: 'birth',
      to: 'STARTING',
      by: ['caller', 'runner'],
      refusal: 'IllegalState',
      guard:
        'no instance of the team that is still kept has that id of the provider, and the plan has room; removed ones are kept for 7 days',
      description: 'A runner starts a unit; or what runs elsewhere makes itself known.',
    },
    markInstanceOnline: {
      from: ['STARTING'],
      to: 'ONLINE',
      by: ['runner', 'reconcile-instances'],
      refusal: 'IllegalState',
      guard: 'the generation and the claim of the operation that starts it; or the very run that was asked about',
      description: 'Its run has passed its health check.',
    },
    degradeInstance: {
      from: ['ONLINE'],
      to: 'DEGRADED',
      by: ['reconcile-instances'],
      refusal: 'IllegalState',
      guard: captured,
      description: 'Its health check has failed several times in a row.',
    },
    recoverInstance: {
      from: ['DEGRADED'],
      to: 'ONLINE',
      by: ['reconcile-instances'],
      refusal: 'IllegalState',
      guard: captured,
      description: 'Its health check has passed several times in a row again.',
    },
    offlineInstance: {
      from: ['STARTING', 'ONLINE', 'DEGRADED'],
      to: 'OFFLINE',
      by: ['reconcile-instances', 'runner'],
      refusal: 'IllegalState',
      guard: `${captured}; or its last heartbeat is too old; or what it is part of has failed; or the claim of the operation that could not start it`,
      description: 'Its run is gone, could not be started, or is not heard of any more.',
    },
    restartInstance: {
      from: ['OFFLINE'],
      to: 'STARTING',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: 'the claim of the operation; never of runtime EXTERNAL',
      description: 'It is started again, as a new run with a new id.',
    },
    heartbeatInstance: {
      from: live,
      to: 'ONLINE',
      by: ['caller'],
      refusal: 'IllegalState',
      guard: external,
      untold: 'unchanged',
      description: 'It says that it is well.',
    },
    reportInstanceDegraded: {
      from: live,
      to: 'DEGRADED',
      by: ['caller'],
      refusal: 'IllegalState',
      guard: external,
      untold: 'unchanged',
      description: 'It says that it runs and is not well: a heartbeat with `healthy: false`.',
    },
    removeInstance: {
      from: live,
      to: 'REMOVED',
      by: ['caller', 'runner', 'reconcile-instances', 'teardown'],
      refusal: 'IllegalState',
      guard: 'for callers: its runtime is EXTERNAL',
      description: 'What it was part of has moved on or ended, or it says that it will not come back.',
    },
  },
})

export type InstanceState = keyof typeof instanceMachine.states
export type InstanceAction = keyof typeof instanceMachine.moves
/** How long one may be STARTING. */
export const startingDeadlineMs = states.STARTING.deadlineMs
/** Heartbeats that may be missed before it counts as lost. */
export const missedHeartbeats = 3
/** The states in which it is asked about, or its heartbeats are waited for. */
export const watchedInstanceStates: readonly InstanceState[] = allBut(states, 'OFFLINE', 'REMOVED')
/** The states in which an instance may run. */
export const liveInstanceStates: readonly InstanceState[] = live
