// The rules of a secret's input. Faults name fields and bounds, never what was sent as a value.
import { z } from 'zod'
import { maxEnvBytes } from './env.ts'
import { environment, optional, text } from './input.ts'

/** What `secret://` may be followed by. */
const secretName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_.-]{0,62}$/, 'must be 1 to 63 of A-Z, a-z, 0-9, _, . and -, beginning with a letter')
const inEnvironment = environment.nullish().transform((value) => value ?? 'development')

/** As large as a whole environment may be: what a workload is given by it can be no larger. */
const secretValue = text(maxEnvBytes).refine(
  (value) => Buffer.byteLength(value) <= maxEnvBytes,
  `may take at most ${maxEnvBytes} bytes`,
)

export const setSecretInput = z.object({ name: secretName, environment: inEnvironment, value: secretValue })

/** By its id, or by its name and environment. */
export const deleteSecretInput = z
  .object({ id: optional(z.string()), name: optional(secretName), environment: optional(environment) })
  .refine(({ id, name }) => (id === null) !== (name === null), {
    path: ['id'],
    message: 'or name must be given, and not both',
  })
  .refine(({ id, environment }) => id === null || environment === null, {
    path: ['environment'],
    message: 'goes with name only',
  })
