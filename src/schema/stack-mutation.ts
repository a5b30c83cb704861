// The mutations of stacks: their inputs, payloads and what the manual says of them beyond what is derived.
import { stackMachine } from '../lifecycle/stack.ts'
import * as calls from '../resolvers/stack.ts'
import { builder, type Fields, type InputFields } from './builder.ts'
import { EnvExpectation, EnvVarInput } from './env.ts'
import { declareMutation } from './mutation.ts'
import { OperationRef, StackRef } from './ref.ts'

const StackServiceInput = builder.inputType('StackServiceInput', {
  description: 'A service as it is wanted.',
  fields: (t) => ({
    name: t.string({
      required: true,
      description: 'Its name in the stack: 1 to 63 of a-z, 0-9 and -, beginning with a letter.',
    }),
    image: t.string({ required: true, description: 'What to run: an image that the runtime knows.' }),
    port: t.int({ description: 'Where it listens, 1 to 65535; left out, the runtime chooses and tells it by PORT.' }),
    exposed: t.boolean({ description: 'Whether it is reached from outside the stack: only then its url is shown.' }),
  }),
})

type Answered = Fields<calls.StackPayload>
const moved = (t: Answered) => ({
  stack: t.field({
    type: StackRef,
    nullable: true,
    description: 'The stack after the move; never null here.',
    resolve: (row) => row.stack,
  }),
})
const accepted = (t: Answered) => ({
  ...moved(t),
  operation: t.field({
    type: OperationRef,
    nullable: true,
    description: 'The work that was accepted: follow it until it has ended.',
    resolve: (row) => row.operation,
  }),
})
const id = (t: InputFields) => ({ id: t.id({ required: true, description: 'Id of the stack, `stk_…`.' }) })
const machine = stackMachine
const services = '0 to 20 services, each name once.'

declareMutation<calls.StackPayload>({
  name: 'createStack',
  machine,
  summary:
    'Makes a stack of several services and rolls it out. A variable of the value `service://NAME` becomes the address of that ' +
    'service of the stack, `resource://NAME` the URL of a resource, `secret://NAME` a secret of the environment.',
  undo: '`deleteStack` takes it away; `cancelOperation` takes back a roll-out that has not begun.',
  versioned: false,
  input: (t) => ({
    name: t.string({ required: true, description: '1 to 63 of a-z, 0-9 and -, beginning with a letter.' }),
    environment: t.string({ description: '1 to 32 of a-z, 0-9 and -; `development` when nothing is said.' }),
    services: t.field({ type: [StackServiceInput], required: true, description: services }),
    env: t.field({
      type: [EnvVarInput],
      description: 'Environment variables of all services, each key once; 64 KiB in all.',
    }),
  }),
  payload: accepted,
  refusals: ['NameTaken', 'QuotaExceeded', 'SecretUnresolved'],
  resolve: calls.createStack,
})

declareMutation<calls.StackPayload>({
  name: 'redeployStack',
  machine,
  summary:
    'Rolls a stack out again, perhaps with other services: those that are left out are removed, those that are new are started. ' +
    'A roll-out that still runs is superseded.',
  undo: 'Redeploy with the earlier services.',
  versioned: true,
  input: (t) => ({
    ...id(t),
    services: t.field({
      type: [StackServiceInput],
      description: `The whole list, ${services} Without it they stay as they are.`,
    }),
  }),
  payload: accepted,
  refusals: ['StackDeleting', 'SecretUnresolved'],
  resolve: calls.redeployStack,
})

declareMutation<calls.StackPayload>({
  name: 'deleteStack',
  machine,
  summary: 'Tears a stack down for good, with all its services, once, however often and by whomever it is asked for.',
  undo: 'None; `createStack` makes a new one of the name.',
  versioned: true,
  input: id,
  payload: accepted,
  refusals: ['StackAlreadyDeleted'],
  resolve: calls.deleteStack,
})

declareMutation<calls.StackEnvPayload>({
  name: 'mergeStackEnv',
  machine,
  summary:
    'Sets and unsets environment variables in one step, under the row’s lock: no concurrent editor’s key is lost. An empty ' +
    'string is a value; setting an equal value counts as set. With `expect` nothing is changed unless every named key is as ' +
    'you believe. A row that somebody else holds is waited for at most 3 s, then answered as Busy.',
  undo: 'Merge the earlier values.',
  versioned: true,
  input: (t) => ({
    ...id(t),
    set: t.field({ type: [EnvVarInput], description: 'Variables to set.' }),
    unset: t.stringList({ description: 'Keys to take away; one that is not there is no fault.' }),
    expect: t.field({ type: [EnvExpectation], description: 'What must hold of single keys, or nothing is changed.' }),
  }),
  payload: (t) => ({
    ...moved(t as unknown as Answered),
    keysSet: t.exposeInt('keysSet', { description: 'How many keys were set, new or not.' }),
    keysDeleted: t.exposeInt('keysDeleted', { description: 'How many keys were there and are gone.' }),
    totalKeys: t.exposeInt('totalKeys', { description: 'How many keys there are now.' }),
  }),
  refusals: ['StackDeleting', 'EnvConflict', 'EnvTooLarge'],
  resolve: calls.mergeStackEnv,
})
