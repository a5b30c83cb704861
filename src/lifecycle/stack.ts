// The moves of a stack: several services deployed as one, from the wish to have them to their last trace.
import { allBut, declareMachine } from './machine.ts'

const minutes = (n: number) => n * 60_000

const states = {
  BUILDING: {
    kind: 'passing',
    deadlineMs: minutes(10),
    owner: 'dispatch',
    description: 'Accepted; the images of its services are being looked up and made ready.',
  },
  DEPLOYING: {
    kind: 'passing',
    deadlineMs: minutes(10),
    owner: 'dispatch',
    description: 'Its services are being started; each of them tells how far it is.',
  },
  HEALTHY: { kind: 'resting', description: 'Every service runs and has passed its health check.' },
  FAILED: {
    kind: 'resting',
    description: 'At least one service did not become healthy; stateReason says which and why. The others may run.',
  },
  DELETING: {
    kind: 'passing',
    deadlineMs: minutes(10),
    owner: 'teardown',
    description: 'Deletion was asked for; its services are being torn down and never come back.',
  },
  DELETED: { kind: 'terminal', description: 'Torn down: the driver has said that nothing of it is left.' },
} as const

const live = allBut(states, 'DELETING', 'DELETED')
/** Where services may run; in a FAILED stack those that did not fail. */
const running = ['HEALTHY', 'FAILED'] as const
const claim = 'the generation and the claim of the operation'

export const stackMachine = declareMachine({
  entity: 'Stack',
  table: 'stack',
  states,
  moves: {
    createStack: {
      from: 'birth',
      to: 'BUILDING',
      by: ['caller'],
      refusal: 'NameTaken',
      effect: 'stack.roll_out',
      guard: 'the name is free in its environment and the plan has room',
      description: 'Make a stack and roll it out.',
    },
    redeployStack: {
      from: live,
      to: 'BUILDING',
      by: ['caller'],
      refusal: 'StackDeleting',
      newGeneration: true,
      effect: 'stack.roll_out',
      guard: 'every reference of its variables resolves',
      description: 'Roll it out again, perhaps with other services; supersedes a roll-out that still runs.',
    },
    promoteStack: {
      from: live,
      to: 'BUILDING',
      by: ['caller'],
      refusal: 'StackDeleting',
      newGeneration: true,
      effect: 'stack.roll_out',
      guard: 'the approval is used up in the same statement; source and target are as they were planned',
      description: 'Take services and variables over from the stack of the family in another environment.',
    },
    sendStack: {
      from: live,
      to: 'same',
      by: ['caller'],
      refusal: 'StackDeleting',
      guard: 'its services and variables are as they were planned',
      description: 'Be the source of a promotion that needs no approval.',
    },
    rollOutStack: {
      from: ['BUILDING'],
      to: 'DEPLOYING',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: claim,
      description: 'The images are ready; the services are being started.',
    },
    progressStack: {
      from: ['DEPLOYING'],
      to: 'same',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: claim,
      description: 'A service has become healthy, or cannot.',
    },
    markStackHealthy: {
      from: ['DEPLOYING'],
      to: 'HEALTHY',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: claim,
      description: 'Every service has passed its health check.',
    },
    markStackFailed: {
      from: ['BUILDING', 'DEPLOYING'],
      to: 'FAILED',
      by: ['runner', 'caller'],
      refusal: 'IllegalState',
      guard: `${claim}; or the operation is cancelled with it`,
      description: 'A service cannot become healthy, or the roll-out was cancelled.',
    },
    restartStack: {
      from: running,
      to: 'same',
      by: ['reconcile-instances', 'runner'],
      refusal: 'IllegalState',
      effect: 'stack.restart',
      guard:
        'the run that was asked about is still the one that is known; its instance goes OFFLINE in the same statement',
      description: 'The run of a service is gone without having been stopped: start it again.',
    },
    beginStackRestart: {
      from: running,
      to: 'same',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: claim,
      description: 'Instances of it are being started again.',
    },
    markStackRestarted: {
      from: running,
      to: 'same',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: claim,
      description: 'What was started again has passed its health check.',
    },
    giveUpStack: {
      from: running,
      to: 'FAILED',
      by: ['reconcile-instances', 'runner'],
      refusal: 'IllegalState',
      guard:
        'the run that was asked about is still the one that is known, or the claim of the operation that restarts it',
      description: 'The run of a service is gone again and again: a crash loop, which is not restarted any more.',
    },
    mergeStackEnv: {
      from: live,
      to: 'same',
      by: ['caller'],
      refusal: 'StackDeleting',
      guard: 'every expected revision, and the size after the merge',
      description: 'Set and unset environment variables; they reach the services at the next roll-out.',
    },
    deleteStack: {
      from: live,
      to: 'DELETING',
      by: ['caller', 'teardown'],
      refusal: 'StackAlreadyDeleted',
      newGeneration: true,
      effect: 'stack.tear_down',
      description: 'Tear it down for good, whether a caller asks or its team is deleted.',
    },
    continueStack: {
      from: ['BUILDING', 'DEPLOYING'],
      to: 'same',
      by: ['sweep'],
      refusal: 'IllegalState',
      effect: 'stack.roll_out',
      guard: 'its deadline has passed and no operation of it is live',
      description: 'Queue a roll-out again that has lost its operation.',
    },
    tearDownStack: {
      from: ['DELETING'],
      to: 'same',
      by: ['teardown'],
      refusal: 'IllegalState',
      effect: 'stack.tear_down',
      guard: 'no operation of it is live',
      description: 'Queue a teardown again that has lost its operation.',
    },
    markStackDeleted: {
      from: ['DELETING'],
      to: 'DELETED',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: `${claim}; the driver has said that every service is gone`,
      description: 'Nothing of it is left.',
    },
  },
})

export type StackState = keyof typeof stackMachine.states
export type StackAction = keyof typeof stackMachine.moves
/** The states in which a stack holds its name and counts against the plan. */
export const liveStackStates: readonly StackState[] = live
