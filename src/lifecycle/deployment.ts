// The moves of a deployment: one workload of a team in one environment, from the wish to have it to its last trace.
import { allBut, declareMachine, statesOf } from './machine.ts'

const minutes = (n: number) => n * 60_000

const states = {
  BUILDING: {
    kind: 'passing',
    deadlineMs: minutes(10),
    owner: 'dispatch',
    description: 'Accepted; the image is being looked up and made ready.',
  },
  DEPLOYING: {
    kind: 'passing',
    deadlineMs: minutes(10),
    owner: 'dispatch',
    description: 'The workload is being started and has not passed its health check yet.',
  },
  HEALTHY: { kind: 'resting', description: 'The workload runs and has passed its health check.' },
  FAILED: { kind: 'resting', description: 'The last attempt did not become healthy; stateReason says why.' },
  STOPPING: {
    kind: 'passing',
    deadlineMs: minutes(5),
    owner: 'dispatch',
    description: 'The workload is being stopped.',
  },
  STOPPED: { kind: 'resting', description: 'The workload does not run; it can be started again.' },
  EXPIRED: {
    kind: 'passing',
    deadlineMs: minutes(10),
    owner: 'teardown',
    description: 'Its time limit has passed; it is being torn down and never comes back.',
  },
  DELETING: {
    kind: 'passing',
    deadlineMs: minutes(10),
    owner: 'teardown',
    description: 'Deletion was asked for; it is being torn down and never comes back.',
  },
  DELETED: { kind: 'terminal', description: 'Torn down: the driver has said that nothing of it is left.' },
} as const

const ended = ['EXPIRED', 'DELETING', 'DELETED'] as const
const live = allBut(states, ...ended)
const workable = ['BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED'] as const

export const deploymentMachine = declareMachine({
  entity: 'Deployment',
  table: 'deployment',
  states,
  moves: {
    deploy: {
      from: 'birth',
      to: 'BUILDING',
      by: ['caller'],
      refusal: 'NameTaken',
      effect: 'deployment.roll_out',
      guard: 'the name is free in its environment, the plan has room, and every reference of its variables resolves',
      description: 'Make a deployment and roll it out.',
    },
    redeployDeployment: {
      from: workable,
      to: 'BUILDING',
      by: ['caller'],
      refusal: 'NotRedeployable',
      newGeneration: true,
      effect: 'deployment.roll_out',
      guard: 'every reference of its variables resolves',
      description: 'Roll it out again, perhaps with another image; supersedes a roll-out that still runs.',
    },
    startDeployment: {
      from: ['STOPPED'],
      to: 'BUILDING',
      by: ['caller'],
      refusal: 'IllegalState',
      newGeneration: true,
      effect: 'deployment.roll_out',
      guard: 'every reference of its variables resolves',
      description: 'Start a stopped deployment again.',
    },
    rollOutDeployment: {
      from: ['BUILDING'],
      to: 'DEPLOYING',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: 'the generation and the claim of the operation',
      description: 'The image is ready; the workload is being started.',
    },
    markDeploymentHealthy: {
      from: ['DEPLOYING'],
      to: 'HEALTHY',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: 'the generation and the claim of the operation',
      description: 'The workload has passed its health check.',
    },
    markDeploymentFailed: {
      from: ['BUILDING', 'DEPLOYING'],
      to: 'FAILED',
      by: ['runner', 'caller'],
      refusal: 'IllegalState',
      guard: 'the generation and the claim of the operation; or the operation is cancelled with it',
      description: 'The roll-out cannot succeed, or was cancelled.',
    },
    restartDeployment: {
      from: ['HEALTHY'],
      to: 'same',
      by: ['reconcile-instances', 'runner'],
      refusal: 'IllegalState',
      effect: 'deployment.restart',
      guard:
        'the run that was asked about is still the one that is known; its instance goes OFFLINE in the same statement',
      description: 'Its run is gone without having been stopped: start it again.',
    },
    beginDeploymentRestart: {
      from: ['HEALTHY'],
      to: 'same',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: 'the generation and the claim of the operation',
      description: 'Its instance is being started again.',
    },
    markDeploymentRestarted: {
      from: ['HEALTHY'],
      to: 'same',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: 'the generation and the claim of the operation',
      description: 'Its new run has passed its health check.',
    },
    giveUpDeployment: {
      from: ['HEALTHY'],
      to: 'FAILED',
      by: ['reconcile-instances', 'runner'],
      refusal: 'IllegalState',
      guard:
        'the run that was asked about is still the one that is known, or the claim of the operation that restarts it',
      description: 'Its run is gone again and again: a crash loop, which is not restarted any more.',
    },
    stopDeployment: {
      from: workable,
      to: 'STOPPING',
      by: ['caller'],
      refusal: 'IllegalState',
      newGeneration: true,
      effect: 'deployment.stop',
      description: 'Stop the workload and keep the deployment.',
    },
    markDeploymentStopped: {
      from: ['STOPPING'],
      to: 'STOPPED',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: 'the generation and the claim of the operation',
      description: 'The workload does not run any more.',
    },
    mergeDeploymentEnv: {
      from: live,
      to: 'same',
      by: ['caller'],
      refusal: 'IllegalState',
      guard: 'every expected revision, and the size after the merge',
      description: 'Set and unset environment variables; they reach the workload at its next roll-out or start.',
    },
    setDeploymentTtl: {
      from: live,
      to: 'same',
      by: ['caller'],
      refusal: 'NotExtendable',
      guard: 'the deployment has a time limit',
      description: 'Move the time limit.',
    },
    makeDeploymentPermanent: {
      from: live,
      to: 'same',
      by: ['caller'],
      refusal: 'NotExtendable',
      description: 'Take the time limit away.',
    },
    expireDeployment: {
      from: live,
      to: 'EXPIRED',
      by: ['expire'],
      refusal: 'IllegalState',
      newGeneration: true,
      effect: 'deployment.tear_down',
      guard: 'the time limit has passed, the policy is still TTL, and the team is ACTIVE',
      description: 'Its time limit has passed.',
    },
    deleteDeployment: {
      from: live,
      to: 'DELETING',
      by: ['caller', 'teardown'],
      refusal: 'DeploymentAlreadyDeleted',
      newGeneration: true,
      effect: 'deployment.tear_down',
      description: 'Tear it down for good, whether a caller asks or its team is deleted.',
    },
    continueDeployment: {
      from: ['BUILDING', 'DEPLOYING'],
      to: 'same',
      by: ['sweep'],
      refusal: 'IllegalState',
      effect: 'deployment.roll_out',
      guard: 'its deadline has passed and no operation of it is live',
      description: 'Queue a roll-out again that has lost its operation.',
    },
    continueDeploymentStop: {
      from: ['STOPPING'],
      to: 'same',
      by: ['sweep'],
      refusal: 'IllegalState',
      effect: 'deployment.stop',
      guard: 'its deadline has passed and no operation of it is live',
      description: 'Queue a stop again that has lost its operation.',
    },
    tearDownDeployment: {
      from: ['EXPIRED', 'DELETING'],
      to: 'same',
      by: ['teardown'],
      refusal: 'IllegalState',
      effect: 'deployment.tear_down',
      guard: 'no operation of it is live',
      description: 'Queue a teardown again that has lost its operation.',
    },
    markDeploymentDeleted: {
      from: ['EXPIRED', 'DELETING'],
      to: 'DELETED',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: 'the generation and the claim of the operation; the driver has said that it is gone',
      description: 'Nothing of it is left.',
    },
  },
})

export type DeploymentState = keyof typeof deploymentMachine.states
export type DeploymentAction = keyof typeof deploymentMachine.moves
/** The states in which a deployment holds its name and counts against the plan. */
export const liveDeploymentStates: readonly DeploymentState[] = live
/** Those from which it never comes back. */
export const endedDeploymentStates = statesOf(deploymentMachine).filter(
  (state) => !liveDeploymentStates.includes(state),
)
