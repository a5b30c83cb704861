// The rules of input: what a name, an environment variable, a time limit may look like. Checked before anything else is
// asked, so that a bad input changes nothing and is told all its faults at once.
import { z } from 'zod'
import { actionClasses, roles, scopes } from '../auth.ts'
import { copyPolicies } from '../db/promotion-approval.ts'
import { selfApprovals } from '../db/team.ts'
import type { Fault } from '../refusals.ts'
import { envBytes, maxEnvBytes, maxPatchKeys } from './env.ts'

/** PostgreSQL stores neither NUL nor half a surrogate pair; both are refused before they reach it. */
const storable = (text: string) => text.isWellFormed() && !text.includes('\0')
export const text = (max: number) =>
  z
    .string()
    .max(max, `may have at most ${max} characters`)
    .refine(storable, 'may hold neither NUL nor a lone surrogate')

/** A line of words that people write and others are shown: nothing in it moves the rest of what it is shown in. */
export const line = (max: number) =>
  text(max).regex(/^[^\p{C}\p{Zl}\p{Zp}]*$/u, 'may hold no line ends, control or format characters')

export const optional = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? null)

/** Name of a deployment, resource, stack or service. */
export const name = text(63).regex(
  /^[a-z][a-z0-9-]{0,62}$/,
  'must be 1 to 63 of a-z, 0-9 and -, beginning with a letter',
)
export const environment = text(32).regex(/^[a-z0-9-]{1,32}$/, 'must be 1 to 32 of a-z, 0-9 and -')
export const image = text(255).min(1, 'must not be empty')
/** Most services of one stack. */
const maxServices = 20
/** One hour to one year. */
export const ttlHours = z
  .int('must be a whole number of hours')
  .min(1, 'must be 1 to 8760 hours')
  .max(8760, 'must be 1 to 8760 hours')

const envKey = text(255).regex(/^[A-Z_][A-Z0-9_]*$/, 'must be A-Z, 0-9 and _, not beginning with a digit')
const envVar = z.object({ key: envKey, value: text(maxEnvBytes) })
/** `path` leads to the list; `field` to the key in its items, where they are more than the key. */
const keysOnce = (keys: readonly string[], path: readonly string[], context: z.RefinementCtx, field: string[] = []) => {
  const seen = new Set<string>()
  keys.forEach((key, index) => {
    if (seen.has(key))
      context.addIssue({ code: 'custom', path: [...path, index, ...field], message: `names ${key} twice` })
    seen.add(key)
  })
}

/** A whole environment, as `deploy` takes it. */
export const env = z
  .array(envVar)
  .max(maxPatchKeys, `may have at most ${maxPatchKeys} variables`)
  .superRefine((list, context) => {
    const keys = list.map(({ key }) => key)
    keysOnce(keys, [], context, ['key'])
    if (envBytes(list.map(({ key, value }) => [key, value] as const)) > maxEnvBytes) {
      context.addIssue({ code: 'custom', path: [], message: `may take at most ${maxEnvBytes} bytes in all` })
    }
  })

const expectation = z
  .object({
    key: envKey,
    revision: optional(z.int('must be a whole number').min(1, 'must be at least 1')),
    absent: optional(z.literal(true, 'can only be true')),
  })
  .refine(({ revision, absent }) => (revision === null) !== (absent === null), 'needs either revision or absent: true')
  .transform(({ key, revision }) => ({ key, revision }))

/** One patch of an environment: a key in one place only. */
export const envPatch = z
  .object({
    set: z
      .array(envVar)
      .max(maxPatchKeys, `may have at most ${maxPatchKeys} variables`)
      .nullish()
      .transform((list) => list ?? []),
    unset: z
      .array(envKey)
      .max(maxPatchKeys, `may have at most ${maxPatchKeys} keys`)
      .nullish()
      .transform((list) => list ?? []),
    expect: z
      .array(expectation)
      .max(maxPatchKeys, `may have at most ${maxPatchKeys} keys`)
      .nullish()
      .transform((list) => list ?? []),
  })
  .superRefine((patch, context) => {
    keysOnce(
      patch.set.map(({ key }) => key),
      ['set'],
      context,
      ['key'],
    )
    keysOnce(patch.unset, ['unset'], context)
    keysOnce(
      patch.expect.map(({ key }) => key),
      ['expect'],
      context,
      ['key'],
    )
    const both = patch.unset.filter((key) => patch.set.some((entry) => entry.key === key))
    for (const key of both)
      context.addIssue({ code: 'custom', path: ['unset'], message: `names ${key}, which set names too` })
  })

export const deployInput = z.object({
  name,
  environment: environment.nullish().transform((value) => value ?? 'development'),
  image,
  env: env.nullish().transform((list) => list ?? []),
  ttlHours: optional(ttlHours),
  redeploy: z
    .boolean()
    .nullish()
    .transform((value) => value ?? false),
})
export const redeployInput = z.object({ image: optional(image) })
export const ttlInput = z.object({ ttlHours })
export const resourceInput = z.object({
  type: z.enum(['POSTGRES', 'REDIS'], 'must be POSTGRES or REDIS'),
  name,
  environment: environment.nullish().transform((value) => value ?? 'development'),
  ttlHours: optional(ttlHours),
})
/** Null takes the time limit away. */
export const resourceTtlInput = z
  .object({ ttlHours: ttlHours.nullish() })
  .refine((input) => input.ttlHours !== undefined, {
    path: ['ttlHours'],
    message: 'must be given: hours, or null for no limit',
  })
  .transform((input) => ({ ttlHours: input.ttlHours ?? null }))
const services = z
  .array(
    z.object({
      name,
      image,
      port: optional(z.int('must be a whole number').min(1, 'must be 1 to 65535').max(65_535, 'must be 1 to 65535')),
      exposed: z
        .boolean()
        .nullish()
        .transform((value) => value ?? false),
    }),
  )
  .max(maxServices, `may have at most ${maxServices} services`)
  .superRefine((list, context) =>
    keysOnce(
      list.map((service) => service.name),
      [],
      context,
      ['name'],
    ),
  )

export const stackInput = z.object({
  name,
  environment: environment.nullish().transform((value) => value ?? 'development'),
  services,
  env: env.nullish().transform((list) => list ?? []),
})
/** Null keeps the services that are there. */
export const redeployStackInput = z.object({ services: optional(services) })
export const promoteInput = z.object({ toEnvironment: environment, approvalId: optional(text(64)) })
const copyPolicy = z
  .enum(copyPolicies, `must be one of ${copyPolicies.join(', ')}`)
  .nullish()
  .transform((value) => value ?? 'COPY_MISSING')
export const promotionInput = z.object({
  toEnvironment: environment,
  envPolicy: copyPolicy,
  secretPolicy: copyPolicy,
})
export const requestTwinInput = z.object({ toEnvironment: environment })
export const selfApprovalInput = z.object({
  policy: z.enum(selfApprovals, `must be one of ${selfApprovals.join(', ')}`),
})
export const nothingElse = z.object({})

/** A name for people. */
const label = line(100).min(1, 'must not be empty')

export const teamInput = z.object({ name: label })
const role = z.enum(roles, `must be one of ${roles.join(', ')}`)
export const roleInput = z.object({ role })
export const invitationInput = z.object({
  // Whether it reaches anybody is found out by nobody here: it is shown, not written to.
  email: text(254).regex(/^[^\s@\p{C}]+@[^\s@\p{C}]+$/u, 'must be an e-mail address'),
  role,
})
export const acceptanceInput = z.object({ token: optional(z.string()), name: optional(label) })

export const apiTokenInput = z.object({
  name: label,
  scopes: z
    .array(z.enum(scopes, `must be one of ${scopes.join(', ')}`))
    .min(1, 'must name at least one scope')
    .transform((list) => [...new Set(list)]),
  actionClasses: optional(
    z
      .array(z.enum(actionClasses, `must be one of ${actionClasses.join(', ')}`))
      .min(1, 'must name at least one class')
      .transform((list) => [...new Set(list)]),
  ),
  expiresAt: optional(z.date('must be a time')),
})

const callInput = z.object({
  idempotencyKey: optional(
    text(255).regex(/^[\x21-\x7e]+$/, 'must be 1 to 255 printable ASCII characters without spaces'),
  ),
  expectedVersion: optional(z.string().regex(/^[1-9]\d{0,8}$/, 'is not a version that this API gave out')),
})

export interface Checked<T> {
  readonly value: T
  readonly idempotencyKey: string | null
  readonly expectedVersion: number | null
}

/** Checks an input against its schema and the rules that all inputs share; all faults at once. */
export function check<S extends z.ZodType>(schema: S, input: unknown): Checked<z.output<S>> | { faults: Fault[] } {
  const own = schema.safeParse(input)
  const common = callInput.safeParse(input)
  if (own.success && common.success) {
    const { idempotencyKey, expectedVersion } = common.data
    return {
      value: own.data,
      idempotencyKey,
      expectedVersion: expectedVersion === null ? null : Number(expectedVersion),
    }
  }
  const issues = [...(own.error?.issues ?? []), ...(common.error?.issues ?? [])]
  return { faults: issues.map((issue) => ({ path: ['input', ...issue.path.map(String)], message: issue.message })) }
}
