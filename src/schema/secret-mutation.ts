// The mutations of secrets: their inputs, payloads and what the manual says of them beyond what is derived.
import { secretMachine } from '../lifecycle/secret.ts'
import * as calls from '../resolvers/secret.ts'
import type { Fields, InputFields } from './builder.ts'
import { declareMutation } from './mutation.ts'
import { SecretRef } from './ref.ts'

const payload = (t: Fields<calls.SecretPayload>) => ({
  secret: t.field({
    type: SecretRef,
    nullable: true,
    description: 'The secret after the move, without its value; never null here.',
    resolve: (row) => row.secret,
  }),
})
const name = '1 to 63 of A-Z, a-z, 0-9, _, . and -, beginning with a letter.'
const environment = (t: InputFields) =>
  t.string({ description: '1 to 32 of a-z, 0-9 and -; `development` when left out.' })

declareMutation<calls.SetSecretPayload>({
  name: 'setSecret',
  machine: secretMachine,
  summary:
    'Keeps a value under a name: replaces that of the secret that has the name, or makes the first one. What refers to it by ' +
    '`secret://NAME` is given the new value when it starts next. The value is stored sealed and never shown again. With ' +
    '`expectedVersion` a value is only ever replaced; NOT_FOUND says that there is none.',
  undo: 'none: the former value is not kept. Set it again if you still have it.',
  versioned: true,
  input: (t) => ({
    name: t.string({ required: true, description: name }),
    environment: environment(t),
    value: t.string({
      required: true,
      description: 'The value, at most 65,536 bytes; may be empty. Send it as a variable, never inside the document.',
    }),
  }),
  payload: (t) => ({
    ...payload(t as unknown as Fields<calls.SecretPayload>),
    created: t.boolean({
      description: 'Whether there was none of that name before.',
      resolve: (row) => row.created,
    }),
  }),
  refusals: ['QuotaExceeded'],
  resolve: calls.setSecret,
})

declareMutation<calls.SecretPayload>({
  name: 'deleteSecret',
  machine: secretMachine,
  summary:
    'Erases the value of a secret for good, by its id, or by its name and environment. Its name and its place in the plan are ' +
    'free at once. What runs keeps what it was given; what refers to it is refused as SECRET_UNRESOLVED when it is to start. A ' +
    'lost race is a success: SECRET_ALREADY_DELETED says that what was asked for is so.',
  undo: 'none: the value is gone; `setSecret` makes a new secret of that name.',
  versioned: true,
  input: (t) => ({
    id: t.id({ description: 'Id of the secret, `sec_…`; or leave it out and give its name.' }),
    name: t.string({ description: name }),
    environment: environment(t),
  }),
  payload,
  refusals: ['SecretAlreadyDeleted'],
  resolve: calls.deleteSecret,
})
