// The moves of a secret: a value that workloads are given and nobody can read back. Its value ends with it.
import { declareMachine } from './machine.ts'

export const secretMachine = declareMachine({
  entity: 'Secret',
  table: 'secret',
  states: {
    ACTIVE: { kind: 'resting', description: 'Given to the workloads that refer to it when they start.' },
    DELETED: { kind: 'terminal', description: 'Its value is erased; what refers to it does not start any more.' },
  },
  moves: {
    createSecret: {
      from: 'birth',
      to: 'ACTIVE',
      by: ['caller'],
      refusal: 'NameTaken',
      guard: 'the name is free in its environment and the plan has room',
      description: 'Keep a first value: `setSecret` on a name that is free.',
    },
    setSecret: {
      from: ['ACTIVE'],
      to: 'same',
      by: ['caller'],
      refusal: 'IllegalState',
      guard: 'the revision that the new value was sealed for follows the one that is there',
      description: 'Replace the value; what starts from now on is given the new one.',
    },
    deleteSecret: {
      from: ['ACTIVE'],
      to: 'DELETED',
      by: ['caller', 'teardown'],
      refusal: 'SecretAlreadyDeleted',
      description: 'Erase the value for good; what runs keeps what it was given.',
    },
  },
})

export type SecretState = keyof typeof secretMachine.states
