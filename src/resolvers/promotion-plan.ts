// What a promotion of a stack would do, told from the rows as they are: read only, and named by a digest, so that an approval
// is of one plan and no other. Names and revisions are in it, never values.
import { createHash } from 'node:crypto'
import { and, desc, eq, sql } from 'drizzle-orm'
import { quoted } from '../db/columns.ts'
import type { Env } from '../db/env.ts'
import type { CopyPolicy } from '../db/promotion-approval.ts'
import { resource } from '../db/resource.ts'
import { secret } from '../db/secret.ts'
import { type StackService, stack } from '../db/stack.ts'
import { liveResourceStates } from '../lifecycle/resource.ts'
import { liveStackStates } from '../lifecycle/stack.ts'
import { envBytes, maxEnvBytes } from './env.ts'
import type { Database, Row } from './transition.ts'

type Stack = Row<typeof stack>

export interface PlannedService extends StackService {
  readonly change: 'ADDED' | 'CHANGED' | 'UNCHANGED' | 'REMOVED'
  /** The image that runs in the target now; null where there is none. */
  readonly fromImage: string | null
}
/** A variable or a secret that the source has: copied into the target, kept as the target has it, or lacking there. */
export interface PlannedCopy {
  readonly name: string
  readonly change: 'COPIED' | 'KEPT' | 'MISSING'
  /** Of the source. */
  readonly revision: number
}
interface SecretToCopy {
  readonly id: string
  readonly revision: number
  readonly name: string
}

export interface Lacking {
  /** Variables whose reference leads nowhere there, with the reference. */
  readonly references: Readonly<Record<string, { readonly value: string }>>
  /** Variables that the policy requires. */
  readonly variables: readonly string[]
  /** Secrets that the policy requires, with the variables of the source that refer to them. */
  readonly secrets: readonly { readonly name: string; readonly keys: readonly string[] }[]
}

export interface PromotionPlan {
  readonly source: Stack
  /** The live stack of the family in the target environment; null when the promotion makes it. */
  readonly target: Stack | null
  /** The family's stack there is being deleted and nothing has taken its name yet. */
  readonly ending: Stack | null
  readonly toEnvironment: string
  readonly envPolicy: CopyPolicy
  readonly secretPolicy: CopyPolicy
  readonly services: readonly PlannedService[]
  readonly env: readonly PlannedCopy[]
  readonly secrets: readonly PlannedCopy[]
  /** Variables, and names of secrets, that would be lacking or lead nowhere in the target. */
  readonly unresolved: readonly string[]
  /** The same, by why it is so. */
  readonly lacking: Lacking
  readonly secretsToCopy: readonly SecretToCopy[]
  /** Their sealed values, by id, for the statement alone. */
  readonly sealedSecrets: ReadonlyMap<string, string>
  /** Secrets of the target environment that must still be there when it is carried out. */
  readonly secretsNeeded: readonly string[]
  readonly resourcesNeeded: readonly string[]
  /** Variables with their values, for the statement alone. */
  readonly envToCopy: readonly { readonly key: string; readonly value: string }[]
  readonly tooLarge: boolean
  /** Nothing would change. */
  readonly isEmpty: boolean
  readonly takes: { readonly stacks: number; readonly secrets: number }
  /** SHA-256 in hex of all that it would do and of what it is based on. */
  readonly digest: string
}

export interface Policies {
  readonly envPolicy: CopyPolicy
  readonly secretPolicy: CopyPolicy
}

/** The plan as rows are now; null when there is no such stack in the team. */
export async function planPromotion(
  db: Database,
  teamId: string,
  stackId: string,
  toEnvironment: string,
  { envPolicy, secretPolicy }: Policies,
): Promise<PromotionPlan | null> {
  const [source] = await db
    .select()
    .from(stack)
    .where(and(eq(stack.id, stackId), eq(stack.teamId, teamId)))
  if (!source) return null
  const family = await db
    .select()
    .from(stack)
    .where(and(eq(stack.teamId, teamId), eq(stack.environment, toEnvironment), eq(stack.name, source.name)))
    .orderBy(sql`${stack.state} in (${sql.raw(quoted(liveStackStates))}) desc`, desc(stack.createdAt), desc(stack.id))
    .limit(1)
  const [newest] = family
  const target = newest && liveStackStates.includes(newest.state) ? newest : null
  const ending = newest?.state === 'DELETING' ? newest : null

  const missingKeys = Object.keys(source.env).filter((key) => !Object.hasOwn(target?.env ?? {}, key))
  const envToCopy =
    envPolicy === 'COPY_MISSING' ? missingKeys.map((key) => ({ key, value: valueIn(source.env, key) })) : []
  const env = Object.keys(source.env)
    .sort()
    .map((key) => ({
      name: key,
      change: !missingKeys.includes(key) ? 'KEPT' : envPolicy === 'COPY_MISSING' ? 'COPIED' : 'MISSING',
      revision: source.env[key]?.revision ?? 0,
    })) satisfies PlannedCopy[]
  const after = new Map([
    ...Object.entries(target?.env ?? {}).map(([key, { value }]) => [key, value] as const),
    ...envToCopy.map(({ key, value }) => [key, value] as const),
  ])

  const found = await referred(db, teamId, source.environment, toEnvironment, [
    ...after.values(),
    ...values(source.env),
  ])
  const wantedSecrets = [
    ...new Set([...namesOf('secret', after.values()), ...namesOf('secret', values(source.env))]),
  ].sort()
  const secretsToCopy = wantedSecrets.flatMap((name) => {
    const own = found.sourceSecrets.get(name)
    return secretPolicy === 'COPY_MISSING' && own && !found.targetSecrets.has(name) ? [{ ...own, name }] : []
  })
  const copied = new Set(secretsToCopy.map(({ name }) => name))
  const secrets = wantedSecrets.map((name) => ({
    name,
    change: found.targetSecrets.has(name) ? 'KEPT' : copied.has(name) ? 'COPIED' : 'MISSING',
    revision: (found.targetSecrets.get(name) ?? found.sourceSecrets.get(name))?.revision ?? 0,
  })) satisfies PlannedCopy[]

  const leadsNowhere = [...after].flatMap(([key, value]) => {
    const [scheme, name] = split(value)
    const there =
      scheme === null ||
      (scheme === 'secret' && (found.targetSecrets.has(name) || copied.has(name))) ||
      (scheme === 'resource' && found.targetResources.has(name)) ||
      (scheme === 'service' && source.services.some((service) => service.name === name))
    return there ? [] : [[key, { value }] as const]
  })
  const given = Object.entries(source.env).map(([key, { value }]) => [key, value] as const)
  const missingSecrets = secrets.filter(({ change }) => change === 'MISSING')
  const lacking: Lacking = {
    references: Object.fromEntries(leadsNowhere),
    variables: envPolicy === 'REQUIRE' ? missingKeys : [],
    secrets: (secretPolicy === 'REQUIRE' ? missingSecrets : []).map(({ name }) => ({
      name,
      keys: [...new Set([...after, ...given].flatMap(([key, value]) => (value === `secret://${name}` ? [key] : [])))],
    })),
  }
  const services = plannedServices(source.services, target?.services ?? [])
  const needs = (scheme: string, of: ReadonlyMap<string, { id: string }>) =>
    namesOf(scheme, after.values()).flatMap((name) => of.get(name)?.id ?? [])
  const told = { services, env, secrets, envPolicy, secretPolicy, toEnvironment }
  return {
    source,
    target,
    ending,
    ...told,
    unresolved: [
      ...new Set([
        ...Object.keys(lacking.references),
        ...lacking.variables,
        ...lacking.secrets.map(({ name }) => name),
      ]),
    ].sort(),
    lacking,
    secretsToCopy,
    sealedSecrets: found.sealed,
    secretsNeeded: needs('secret', found.targetSecrets),
    resourcesNeeded: needs('resource', found.targetResources),
    envToCopy,
    tooLarge: envBytes(after) > maxEnvBytes,
    isEmpty:
      target !== null &&
      services.every(({ change }) => change === 'UNCHANGED') &&
      envToCopy.length === 0 &&
      secretsToCopy.length === 0,
    takes: { stacks: target ? 0 : 1, secrets: secretsToCopy.length },
    digest: digestOf([
      'promotion',
      source.id,
      source.specVersion,
      target && [target.id, target.specVersion],
      told,
      secretsToCopy,
    ]),
  }
}

/** SHA-256 in hex of a value whose parts always come in the same order. */
export const digestOf = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex')

/** What of a plan is kept with its approval and shown: names and revisions. */
export const shownPlan = (plan: PromotionPlan): Record<string, unknown> => ({
  source: { id: plan.source.id, specVersion: plan.source.specVersion },
  target: plan.target && { id: plan.target.id, specVersion: plan.target.specVersion },
  services: plan.services,
  env: plan.env,
  secrets: plan.secrets,
  unresolved: plan.unresolved,
})

function plannedServices(wanted: readonly StackService[], there: readonly StackService[]): PlannedService[] {
  const before = new Map(there.map((service) => [service.name, service]))
  const names = new Set(wanted.map(({ name }) => name))
  const same = (a: StackService, b: StackService) => a.image === b.image && a.port === b.port && a.exposed === b.exposed
  return [
    ...wanted.map(({ name, image, port, exposed }): PlannedService => {
      const now = before.get(name)
      const service = { name, image, port, exposed }
      const change = now === undefined ? 'ADDED' : same(now, service) ? 'UNCHANGED' : 'CHANGED'
      return { ...service, change, fromImage: now?.image ?? null }
    }),
    ...there
      .filter(({ name }) => !names.has(name))
      .map(({ name, image, port, exposed }): PlannedService => {
        return { name, image, port, exposed, change: 'REMOVED', fromImage: image }
      }),
  ]
}

const values = (env: Env): string[] => Object.values(env).map(({ value }) => value)
const valueIn = (env: Env, key: string): string => env[key]?.value ?? ''

function split(value: string): readonly [scheme: string | null, name: string] {
  const [, scheme, name] = /^(secret|resource|service):\/\/(.*)$/s.exec(value) ?? []
  return [scheme ?? null, name ?? '']
}
const namesOf = (scheme: string, of: Iterable<string>): string[] => [
  ...new Set([...of].map(split).flatMap(([found, name]) => (found === scheme ? [name] : []))),
]

/** What the values refer to, by name: secrets in both environments, resources in the target's. */
async function referred(db: Database, teamId: string, from: string, to: string, of: readonly string[]) {
  const secretNames = JSON.stringify(namesOf('secret', of))
  const resourceNames = JSON.stringify(namesOf('resource', of))
  const among = (column: typeof secret.name | typeof resource.name, list: string) =>
    sql`${column} in (select jsonb_array_elements_text(${list}::text::jsonb))`
  const secrets = await db
    .select({
      id: secret.id,
      name: secret.name,
      environment: secret.environment,
      revision: secret.revision,
      value: secret.value,
    })
    .from(secret)
    .where(
      and(
        eq(secret.teamId, teamId),
        eq(secret.state, 'ACTIVE'),
        sql`${secret.environment} in (${from}, ${to})`,
        among(secret.name, secretNames),
      ),
    )
  const resources = await db
    .select({ id: resource.id, name: resource.name })
    .from(resource)
    .where(
      and(
        eq(resource.teamId, teamId),
        eq(resource.environment, to),
        sql`${resource.state} in (${sql.raw(quoted(liveResourceStates.filter((state) => state !== 'FAILED')))})`,
        among(resource.name, resourceNames),
      ),
    )
  const inEnvironment = (environment: string) =>
    new Map(
      secrets
        .filter((row) => row.environment === environment)
        .map(({ name, id, revision }) => [name, { id, revision }] as const),
    )
  return {
    sourceSecrets: inEnvironment(from),
    targetSecrets: inEnvironment(to),
    sealed: new Map(secrets.map(({ id, value }) => [id, value ?? ''] as const)),
    targetResources: new Map(resources.map(({ name, id }) => [name, { id }] as const)),
  }
}
