// The moves of an operation: the durable, user-visible record of accepted work, which is the queue entry as well.
import { declareMachine } from './machine.ts'

const hours = (n: number) => n * 3_600_000

export const operationMachine = declareMachine({
  entity: 'Operation',
  table: 'operation',
  states: {
    PENDING: {
      kind: 'passing',
      deadlineMs: hours(1),
      owner: 'dispatch',
      description: 'Accepted; waits to be claimed, or to be tried again.',
    },
    RUNNING: {
      kind: 'passing',
      deadlineMs: hours(1),
      owner: 'dispatch',
      description: 'Claimed by a worker under a lease.',
    },
    UNKNOWN: {
      kind: 'passing',
      deadlineMs: hours(1),
      owner: 'dispatch',
      description: 'The effect may or may not have happened; it is observed before anything else is tried.',
    },
    SUCCEEDED: { kind: 'terminal', description: 'The effect is done.' },
    FAILED: { kind: 'terminal', description: 'The effect was refused, or its attempts are used up.' },
    SUPERSEDED: { kind: 'terminal', description: 'A newer wish for the same subject took its place.' },
    CANCELLED: { kind: 'terminal', description: 'Cancelled before it began.' },
  },
  moves: {
    queueOperation: {
      from: 'birth',
      to: 'PENDING',
      by: ['system'],
      refusal: 'IllegalState',
      description: 'Accepted, in the statement of the move that wants the effect.',
    },
    claimOperation: {
      from: ['PENDING', 'UNKNOWN', 'RUNNING'],
      to: 'RUNNING',
      by: ['dispatch'],
      refusal: 'IllegalState',
      guard: 'it is due (for RUNNING: the lease is over) and no older or running operation of the subject is live',
      description: 'A worker takes it, with a new claim token.',
    },
    progressOperation: {
      from: ['RUNNING'],
      to: 'same',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: 'the claim',
      description: 'A step of it is done; its subject moves in the same statement.',
    },
    postponeOperation: {
      from: ['RUNNING'],
      to: 'PENDING',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: 'the claim',
      description: 'Not done yet: tried again later.',
    },
    markOperationUnknown: {
      from: ['RUNNING'],
      to: 'UNKNOWN',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: 'the claim',
      description: 'The driver could not say whether it happened.',
    },
    succeedOperation: {
      from: ['RUNNING'],
      to: 'SUCCEEDED',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: "the claim and the subject's generation",
      description: 'The effect is done.',
    },
    failOperation: {
      from: ['RUNNING'],
      to: 'FAILED',
      by: ['runner'],
      refusal: 'IllegalState',
      guard: "the claim and the subject's generation",
      description: 'The effect was refused, or its attempts are used up.',
    },
    supersedeOperation: {
      from: ['PENDING', 'RUNNING'],
      to: 'SUPERSEDED',
      by: ['dispatch', 'runner'],
      refusal: 'IllegalState',
      guard: "its generation is below its subject's",
      description: 'A newer wish for the same subject took its place.',
    },
    cancelOperation: {
      from: ['PENDING'],
      to: 'CANCELLED',
      by: ['caller'],
      refusal: 'IllegalState',
      guard: 'it was never taken up; its subject moves to FAILED in the same statement; never a teardown',
      description: 'Take back accepted work that has not begun.',
    },
  },
})

export type OperationState = keyof typeof operationMachine.states
/** The states in which an operation still has work to do. */
export const liveOperationStates: readonly OperationState[] = ['PENDING', 'RUNNING', 'UNKNOWN']
/** The states in which it has its subject to itself. */
export const soleOperationStates: readonly OperationState[] = ['RUNNING', 'UNKNOWN']
