// The moves of a resource: a thing that one can connect to. DELETING is the only way to a deprovision, whoever asks.
import { allBut, declareMachine } from './machine.ts'

const minutes = (n: number) => n * 60_000

const states = {
  PROVISIONING: {
    kind: 'passing',
    deadlineMs: minutes(10),
    owner: 'dispatch',
    description: 'Accepted; the backing service is being made.',
  },
  ACTIVE: { kind: 'resting', description: 'There to be connected to.' },
  PAUSING: {
    kind: 'passing',
    deadlineMs: minutes(5),
    owner: 'dispatch',
    description: 'Connections are being ended.',
  },
  PAUSED: { kind: 'resting', description: 'Nobody can connect; what it holds is kept.' },
  RESUMING: {
    kind: 'passing',
    deadlineMs: minutes(5),
    owner: 'dispatch',
    description: 'Connections are being allowed again.',
  },
  SUSPENDED: {
    kind: 'resting',
    description: 'It holds more than the plan allows: sessions begin read only until it holds less again.',
  },
  FAILED: { kind: 'resting', description: 'It could not be made; nothing of it is left; stateReason says why.' },
  DELETING: {
    kind: 'passing',
    deadlineMs: minutes(10),
    owner: 'teardown',
    description: 'It is being deprovisioned, once, and never comes back.',
  },
  DELETED: { kind: 'terminal', description: 'Deprovisioned: the provider has said that nothing of it is left.' },
} as const

const live = allBut(states, 'DELETING', 'DELETED')
const claim = 'the generation and the claim of the operation'

export const resourceMachine = declareMachine({
  entity: 'Resource',
  table: 'resource',
  states,
  moves: {
    createResource: {
      from: 'birth',
      to: 'PROVISIONING',
      by: ['caller'],
      refusal: 'NameTaken',
      effect: 'resource.provision',
      guard: 'the name is free in its environment and the plan has room',
      description: 'Make a resource.',
    },
    twinResource: {
      from: 'birth',
      to: 'PROVISIONING',
      by: ['caller'],
      refusal: 'TwinExists',
      effect: 'resource.provision',
      guard:
        'the approval is used up in the same statement; the name is free in the target environment and the plan has room',
      description:
        'Make a resource of the same type and name in another environment; it holds nothing of the first one.',
    },
    sendResource: {
      from: live,
      to: 'same',
      by: ['caller'],
      refusal: 'ResourceAlreadyDeleted',
      description: 'Be the source of a twin that needs no approval.',
    },
    markResourceActive: {
      from: ['PROVISIONING'],
      to: 'ACTIVE',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: claim,
      description: 'The backing service is made.',
    },
    markResourceFailed: {
      from: ['PROVISIONING'],
      to: 'FAILED',
      by: ['runner', 'caller'],
      refusal: 'IllegalState',
      guard: `${claim}; what was made has been removed; or the operation is cancelled with it`,
      description: 'It cannot be made, or was cancelled; nothing of it is left.',
    },
    pauseResource: {
      from: ['ACTIVE'],
      to: 'PAUSING',
      by: ['caller'],
      refusal: 'IllegalState',
      newGeneration: true,
      effect: 'resource.pause',
      description: 'End all connections and let nobody connect.',
    },
    markResourcePaused: {
      from: ['PAUSING'],
      to: 'PAUSED',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: claim,
      description: 'Nobody is connected and nobody can.',
    },
    resumeResource: {
      from: ['PAUSED'],
      to: 'RESUMING',
      by: ['caller'],
      refusal: 'IllegalState',
      newGeneration: true,
      effect: 'resource.resume',
      description: 'Let clients connect again.',
    },
    markResourceResumed: {
      from: ['RESUMING'],
      to: 'ACTIVE',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: claim,
      description: 'Clients can connect again.',
    },
    rotateResourceCredentials: {
      from: ['ACTIVE'],
      to: 'same',
      by: ['caller'],
      refusal: 'IllegalState',
      newGeneration: true,
      effect: 'resource.rotate',
      guard: 'no earlier rotation is under way',
      description: 'Replace the password; the earlier one stops working.',
    },
    markResourceRotated: {
      from: ['ACTIVE'],
      to: 'same',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: claim,
      description: 'The new password works, the earlier one does not.',
    },
    setResourceTtl: {
      from: live,
      to: 'same',
      by: ['caller'],
      refusal: 'IllegalState',
      description: 'Set, move or take away the time limit.',
    },
    suspendResource: {
      from: ['ACTIVE'],
      to: 'SUSPENDED',
      by: ['measure'],
      refusal: 'IllegalState',
      newGeneration: true,
      effect: 'resource.suspend',
      guard: 'it holds more than the limit, and no operation of it is live',
      description: 'It holds more than the plan allows.',
    },
    releaseResource: {
      from: ['SUSPENDED'],
      to: 'ACTIVE',
      by: ['measure'],
      refusal: 'IllegalState',
      newGeneration: true,
      effect: 'resource.release',
      guard: 'it holds clearly less than the limit again, and no operation of it is live',
      description: 'It holds clearly less than the plan allows again.',
    },
    markResourceSuspended: {
      from: ['SUSPENDED'],
      to: 'same',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: claim,
      description: 'Sessions begin read only.',
    },
    markResourceReleased: {
      from: ['ACTIVE'],
      to: 'same',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: claim,
      description: 'Sessions may write again.',
    },
    deleteResource: {
      from: live,
      to: 'DELETING',
      by: ['caller', 'expire', 'teardown'],
      refusal: 'ResourceAlreadyDeleted',
      newGeneration: true,
      effect: 'resource.deprovision',
      guard: 'for expire: the time limit has passed and the team is ACTIVE, both repeated under the lock',
      description: 'Deprovision it for good: the one gate, for callers, time limits and team deletion alike.',
    },
    deprovisionResource: {
      from: ['DELETING'],
      to: 'same',
      by: ['teardown'],
      refusal: 'IllegalState',
      effect: 'resource.deprovision',
      guard: 'no operation of it is live',
      description: 'Queue a deprovision again that has lost its operation.',
    },
    markResourceDeleted: {
      from: ['DELETING'],
      to: 'DELETED',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: `${claim}; the provider has said that it is gone`,
      description: 'Nothing of it is left.',
    },
  },
})

export type ResourceState = keyof typeof resourceMachine.states
/** The states in which a resource holds its name and counts against the plan. */
export const liveResourceStates: readonly ResourceState[] = live
