// Refusals about references: who may set them, and which of them lead nowhere. Told from the rows as they are; names of
// variables and of what they refer to, never a value behind a reference.
import { type Action, lacking } from '../auth.ts'
import type { Context } from '../context.ts'
import { advice, forbidden, lookAt, type Refusal, type Remedy, refuse } from '../refusals.ts'
import type { EnvPatch } from './env.ts'
import { NameMoved } from './live-named.ts'
import { answeredBefore } from './read-back.ts'
import { type Reference, type Referring, referenceIn, type Scheme, type Standing, standingsOf } from './reference.ts'
import type { Call, Database } from './transition.ts'

/** What a caller must be allowed to read that lets a workload be given it. Addresses of services are no secret. */
const reads: Readonly<Record<Scheme, Action | null>> = {
  secret: 'readEnvValues',
  resource: 'readResourceConnection',
  service: null,
}

/**
 * Whoever sets a variable that refers to something must be allowed to read it: else a narrow token could read it through
 * a workload of its choice. A repeat of a call that won is not refused.
 */
export async function refuseReferences(
  context: Context,
  call: Call,
  variables: EnvPatch['set'],
): Promise<Refusal | null> {
  for (const { value } of variables) {
    const reading = reads[referenceIn(value)?.scheme ?? 'service']
    const missing = reading && lacking(context.actor, reading)
    if (missing) return (await answeredBefore(context.db, call)) ? null : forbidden(missing)
  }
  return null
}

/**
 * Why nothing was started: names every variable whose reference leads nowhere. Throws `NameMoved` when all of them lead
 * somewhere by now: then the decision is made again.
 */
export async function refuseUnresolved(
  db: Database,
  subject: Referring,
  shown: Readonly<Record<string, object>>,
  services: readonly string[] = [],
): Promise<Refusal<'SecretUnresolved'>> {
  const absent = await absentOf(db, subject, services)
  if (absent.length === 0) throw new NameMoved()
  return refuse('SecretUnresolved', {
    message: `${absent.map(({ reason }) => reason).join('; ')}. Nothing was started.`,
    facts: { keys: absent.map(({ key }) => key).sort(), ...shown },
    remedies: waysToResolve(subject, absent),
  })
}

type Absent = Reference & { readonly key: string } & Extract<Standing, { kind: 'absent' }>

/** The references that lead nowhere; `services` are those that its variables may refer to. */
export async function absentOf(db: Database, subject: Referring, services: readonly string[]): Promise<Absent[]> {
  const addresses = Object.fromEntries(services.map((name) => [name, '']))
  return (await standingsOf(db, subject, addresses)).flatMap(({ key, scheme, name, standing }) =>
    standing.kind === 'absent' ? [{ key, scheme, name, ...standing }] : [],
  )
}

/** What makes them lead somewhere. */
export function waysToResolve({ environment }: Pick<Referring, 'environment'>, absent: readonly Absent[]): Remedy[] {
  const namesOf = (scheme: Scheme) => [...new Set(absent.filter((r) => r.scheme === scheme).map(({ name }) => name))]
  const listed = { filter: { environment } }
  const secrets = namesOf('secret')
  const remedies: Remedy[] = []
  if (secrets.length > 0) {
    remedies.push(
      advice(`Keep ${secrets.join(', ')} in ${environment} with setSecret, then ask for the same again.`),
      lookAt('secrets', listed, `See which secrets there are in ${environment}.`),
    )
  }
  if (namesOf('resource').length > 0)
    remedies.push(lookAt('resources', listed, `See which resources there are in ${environment}.`))
  for (const id of new Set(absent.map(({ resourceId }) => resourceId)))
    if (id) remedies.push(lookAt('resource', { id }, 'See why this one cannot be referred to.'))
  if (namesOf('service').length > 0)
    remedies.push(advice('A service can only be referred to by the other services of its own stack, under its name.'))
  return remedies
}
