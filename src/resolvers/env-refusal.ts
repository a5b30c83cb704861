// Why a merge of environment variables was refused though the state was right, the same for all that have an environment.
import type { Context } from '../context.ts'
import type { Env } from '../db/env.ts'
import { lookAt, type Refusal, refuse, validationFailed } from '../refusals.ts'
import { type EnvPatch, entriesAfter, envBytes, envConflicts, maxEnvBytes } from './env.ts'
import { answeredBefore } from './read-back.ts'
import { refuseReferences } from './reference-refusal.ts'
import type { Call } from './transition.ts'

/** Somebody was faster, or it is too much; `word` is the object's in the schema. Tells keys, never values. */
export function envRefusal(word: 'deployment' | 'stack', row: { id: string; env: Env }, patch: EnvPatch): Refusal {
  const keys = envConflicts(row.env, patch)
  if (keys.length > 0) {
    return refuse('EnvConflict', {
      message: `${keys.map(({ key }) => key).join(', ')} changed since you looked. Nothing was changed.`,
      facts: { keys, [word]: row },
      remedies: [lookAt(word, { id: row.id }, 'Read the keys and their revisions as they are now.')],
    })
  }
  const bytes = envBytes(entriesAfter(row.env, patch))
  if (bytes <= maxEnvBytes) throw new Error(`the merge of ${row.id} was refused for no reason that is known`)
  return refuse('EnvTooLarge', {
    message: `All keys and values together would take ${bytes} bytes; ${maxEnvBytes} are allowed. Nothing was changed.`,
    facts: { bytes, maxBytes: maxEnvBytes, [word]: row },
    remedies: [lookAt(word, { id: row.id }, 'See which keys there are, and unset what is not needed.')],
  })
}

/** What the runtime keeps to itself, and what would hand this caller a secret that it may not read, is refused before anything. */
export async function refuseEnv(
  context: Context,
  call: Call,
  field: 'env' | 'set',
  variables: EnvPatch['set'],
): Promise<Refusal | null> {
  const reserved = variables.findIndex(({ key }) => context.images.reserves(key))
  if (reserved < 0 || (await answeredBefore(context.db, call))) return refuseReferences(context, call, variables)
  const path = ['input', field, String(reserved), 'key']
  return validationFailed([{ path, message: `is ${variables[reserved]?.key}, which the runtime keeps to itself` }])
}
