// What a workload's variables refer to: `secret://NAME` is the value of a secret, `resource://NAME` the URL of a resource,
// both of the workload's environment, and `service://NAME` the address of another service of the same stack. Resolved when
// the workload starts, from the rows as they are then, and never stored resolved.
import { and, eq, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import type { EnvEntry } from '../db/env.ts'
import { statementOf } from '../db/prepared.ts'
import { resource } from '../db/resource.ts'
import { secret } from '../db/secret.ts'
import { comesTo } from '../lifecycle/machine.ts'
import { liveResourceStates, type ResourceState, resourceMachine } from '../lifecycle/resource.ts'
import type { SecretState } from '../lifecycle/secret.ts'
import type { Sealing } from '../sealing.ts'
import type { Database, Row } from './transition.ts'
import { jsonParam, textParam } from './transition-statement.ts'

/** The place of a secret's value; each revision is sealed for itself. */
export const secretPlace = (row: { teamId: string; id: string; revision: number }) =>
  [row.teamId, row.id, `value:${row.revision}`] as const

/** In which state a secret can be referred to. */
export const referableSecrets: readonly SecretState[] = ['ACTIVE']
/** In which states a resource can be: what is on its way is waited for, what is paused may be resumed. */
export const referableResources: readonly ResourceState[] = liveResourceStates.filter((state) => state !== 'FAILED')
/** In which states its URL can be used. */
const usable: readonly ResourceState[] = ['ACTIVE', 'SUSPENDED']

const schemes = ['secret', 'resource', 'service'] as const
export type Scheme = (typeof schemes)[number]
export interface Reference {
  readonly scheme: Scheme
  readonly name: string
}

/** What a value refers to; null for one that stands for itself. */
export function referenceIn(value: string): Reference | null {
  const scheme = schemes.find((each) => value.startsWith(`${each}://`))
  return scheme === undefined ? null : { scheme, name: value.slice(`${scheme}://`.length) }
}

/** Whose variables: a deployment or a stack, also one that is not stored yet. */
export interface Referring {
  readonly teamId: string
  readonly environment: string
  readonly env: Readonly<Record<string, Pick<EnvEntry, 'value'>>>
}

/** How a reference stands now. Reasons name keys and references, never values. */
export type Standing =
  | { readonly kind: 'there'; readonly value: (sealing: Sealing) => string }
  /** It will be there without anybody asking. */
  | { readonly kind: 'not-yet'; readonly reason: string }
  /** It is there, and somebody would have to do something to it first. */
  | { readonly kind: 'unusable'; readonly reason: string }
  | { readonly kind: 'absent'; readonly reason: string; readonly resourceId: string | null }

/** Every variable that refers to something, and how that stands: one statement for all secrets, one for all resources. */
export async function standingsOf(
  db: Database,
  { teamId, environment, env }: Referring,
  services: Readonly<Record<string, string>>,
): Promise<(Reference & { readonly key: string; readonly standing: Standing })[]> {
  const references = Object.entries(env).flatMap(([key, { value }]) => {
    const reference = referenceIn(value)
    return reference ? [{ key, ...reference }] : []
  })
  if (references.length === 0) return []
  const named = (scheme: Scheme) => [...new Set(references.filter((r) => r.scheme === scheme).map(({ name }) => name))]
  const [secrets, resources] = await Promise.all([
    secretsNamed(db, teamId, environment, named('secret')),
    resourcesNamed(db, teamId, environment, named('resource')),
  ])
  const standing = ({ scheme, name }: Reference, told: string): Standing => {
    switch (scheme) {
      case 'service': {
        if (!Object.hasOwn(services, name))
          return { kind: 'absent', reason: `${told}, and there is no service of that name`, resourceId: null }
        return { kind: 'there', value: () => String(services[name]) }
      }
      case 'secret': {
        const found = secrets.get(name)
        return found ? { kind: 'there', value: (sealing) => opened(sealing, found) } : none(told, 'secret', environment)
      }
      case 'resource': {
        const found = resources.get(name)
        return found ? standingOf(found, told) : none(told, 'resource', environment)
      }
    }
  }
  return references.map((r) => ({ ...r, standing: standing(r, `${r.key} refers to ${r.scheme}://${r.name}`) }))
}

const none = (told: string, what: string, environment: string): Standing => ({
  kind: 'absent',
  reason: `${told}, and there is no ${what} of that name in ${environment}`,
  resourceId: null,
})

const opened = (sealing: Sealing, found: Row<typeof secret>) => sealing.open(String(found.value), secretPlace(found))

function standingOf(found: Row<typeof resource>, told: string): Standing {
  const { id, teamId, state, connection } = found
  const reason = `${told}, which is ${state}`
  if (!referableResources.includes(state)) return { kind: 'absent', reason, resourceId: id }
  if (usable.includes(state) && connection !== null)
    return { kind: 'there', value: (sealing) => sealing.open(connection, [teamId, id, 'connection']) }
  return { kind: comesTo(resourceMachine, state, usable) ? 'not-yet' : 'unusable', reason }
}

export type Resolved =
  | {
      readonly kind: 'resolved'
      readonly env: Record<string, string>
      /** What of it nobody may be told again: values of secrets, URLs of resources and the passwords in them. */
      readonly hidden: readonly string[]
    }
  /** Something that it refers to is on its way: ask again. */
  | { readonly kind: 'not-yet'; readonly reason: string }
  /** It refers to something that is not there, or cannot be used as it is. */
  | { readonly kind: 'unresolved'; readonly reason: string }

/**
 * The variables as the workload gets them; `services` are the addresses of the services of its stack, by name. Throws
 * `UnsealError` for what was sealed with a key that is not held.
 */
export async function resolveEnv(
  db: Database,
  sealing: Sealing,
  subject: Referring,
  services: Readonly<Record<string, string>> = {},
): Promise<Resolved> {
  const env = Object.fromEntries(Object.entries(subject.env).map(([key, { value }]) => [key, value]))
  const hidden: string[] = []
  let waitsFor: string | null = null
  for (const { key, scheme, standing } of await standingsOf(db, subject, services)) {
    if (standing.kind === 'there') {
      const value = standing.value(sealing)
      env[key] = value
      if (scheme !== 'service') hidden.push(value, ...passwordsIn(value))
    } else if (standing.kind === 'not-yet') waitsFor ??= standing.reason
    else return { kind: 'unresolved', reason: standing.reason }
  }
  return waitsFor === null ? { kind: 'resolved', env, hidden } : { kind: 'not-yet', reason: waitsFor }
}

/** The password in a URL, as it stands there and as it is meant. */
function passwordsIn(value: string): string[] {
  const password = URL.canParse(value) ? new URL(value).password : ''
  return password === '' ? [] : [password, decoded(password)]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const among = (column: typeof secret.name | typeof resource.name) =>
  sql`${column} in (select jsonb_array_elements_text(${jsonParam('names')}))`

async function secretsNamed(db: Database, teamId: string, environment: string, names: readonly string[]) {
  if (names.length === 0) return new Map<string, Row<typeof secret>>()
  const statement = statementOf(db, 'read:secret.referred', () =>
    db
      .select()
      .from(secret)
      .where(
        and(
          eq(secret.teamId, textParam('teamId')),
          eq(secret.environment, textParam('environment')),
          among(secret.name),
          sql`${secret.state} in (${sql.raw(quoted(referableSecrets))})`,
        ),
      )
      .prepare('read:secret.referred'),
  )
  const rows = await statement.execute({ teamId, environment, names: JSON.stringify(names) })
  return new Map(rows.map((row) => [row.name, row]))
}

async function resourcesNamed(db: Database, teamId: string, environment: string, names: readonly string[]) {
  if (names.length === 0) return new Map<string, Row<typeof resource>>()
  const statement = statementOf(db, 'read:resource.referred', () =>
    db
      .select()
      .from(resource)
      .where(
        and(
          eq(resource.teamId, textParam('teamId')),
          eq(resource.environment, textParam('environment')),
          among(resource.name),
          sql`${resource.state} in (${sql.raw(quoted(liveResourceStates))})`,
        ),
      )
      .prepare('read:resource.referred'),
  )
  const rows = await statement.execute({ teamId, environment, names: JSON.stringify(names) })
  return new Map(rows.map((row) => [row.name, row]))
}
