// The only reader of the environment. A bad value stops the start with one line that names the variable, what
// was read (for a secret: its shape alone) and what is allowed. Nothing is done here, only read.

import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { z } from 'zod'
import { type Allowed, nothingAllowed, parseAllowed, WEBHOOK_ALLOW_FORM } from './drivers/webhook/allowed.ts'
import { issuerFault, OIDC_ISSUER_FORM } from './oidc-address.ts'
import { parseSecretKeys, SECRET_KEYS_FORM, type SecretKey } from './secret-keys.ts'
import { parseToken } from './token.ts'

const ROLES = ['all', 'api', 'worker'] as const
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

const INTROSPECTION = ['authenticated', 'off'] as const

export type Role = (typeof ROLES)[number]
export type LogLevel = (typeof LOG_LEVELS)[number]

export interface Config {
  readonly host: string
  /** 0 = any free port. Null: a worker that was given none opens none. */
  readonly port: number | null
  /** Null: the embedded PostgreSQL in the data directory. */
  readonly databaseUrl: string | null
  readonly dataDir: string
  readonly role: Role
  /** Null: one is generated and printed when a new database is made. */
  readonly bootstrapToken: string | null
  /** Null, only without databaseUrl: `keptSecretKeys(dataDir)`. */
  readonly secretKeys: readonly SecretKey[] | null
  readonly runtime: 'process'
  readonly appsDir: string
  /** Null: a second embedded cluster, started on first use. */
  readonly provisionPostgresUrl: string | null
  /** Null: no REDIS resources. */
  readonly redisUrl: string | null
  /** Which addresses that are not public webhooks may be sent to. */
  readonly webhookAllow: Allowed
  /** For how many days events, and operations and deliveries that have ended, are kept. */
  readonly retention: { readonly eventDays: number; readonly operationDays: number }
  /** Null: API tokens alone. */
  readonly oidc: { readonly issuer: string; readonly audience: string } | null
  /** Who is told what the schema is: whoever may read, or nobody. */
  readonly introspection: (typeof INTROSPECTION)[number]
  /** A file with the only documents that may be run. Null: every valid one may. */
  readonly trustedDocuments: string | null
  readonly logLevel: LogLevel
  /** PAWL_* variables that are set and mean nothing: most likely misspelt. */
  readonly unknownVariables: readonly string[]
}

/** A variable that cannot be used. The message is one line and holds no secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

interface Variable {
  readonly allowed: string
  /** Never shown. Says of a refused value what may be said, where its length alone would not help. */
  readonly secret?: (value: string) => string
  readonly schema: z.ZodType<unknown, string | undefined>
}

/** A day more than answers to idempotency keys, which name operations, are kept; and ten years. */
const [minRetentionDays, maxRetentionDays] = [8, 3650]
const POSTGRES_FORM = 'postgres://user:password@host:port/database'
const anyUrl = (schemes: readonly string[]) =>
  z.string().refine((text) => schemes.includes(text.split(':')[0] ?? '') && URL.canParse(text))
const anyPath = z
  .string()
  .max(4096)
  .refine((text) => !text.includes('\0'))
  .transform((text) => resolve(text))
const retentionDays = z
  .string()
  .regex(/^\d{1,4}$/)
  .transform(Number)
  .pipe(z.number().min(minRetentionDays).max(maxRetentionDays))
const sizeOf = (text: string) => `${text.length} characters of another form`

const variables = {
  PAWL_HOST: {
    allowed: 'an IP address or a host name',
    schema: z.string().max(253).refine(isHost).default('127.0.0.1'),
  },
  PAWL_PORT: {
    allowed: 'a whole number from 0 to 65535 (0 = any free port)',
    schema: z
      .string()
      .regex(/^\d{1,5}$/)
      .transform(Number)
      .pipe(z.number().max(65535))
      .default(4000),
  },
  DATABASE_URL: { allowed: POSTGRES_FORM, secret: sizeOf, schema: anyUrl(['postgres', 'postgresql']).optional() },
  PAWL_DATA_DIR: { allowed: 'a path', schema: anyPath.default(resolve('.pawl')) },
  PAWL_ROLE: { allowed: ROLES.join(', '), schema: z.enum(ROLES).default('all') },
  PAWL_BOOTSTRAP_TOKEN: {
    allowed: 'a token pawl_<12 characters>_<36 characters> of 0-9, A-Z, a-z that ends in its checksum',
    secret: (text) => (/^pawl_\w{12}_\w{36}$/.test(text) ? 'a token whose checksum is wrong' : sizeOf(text)),
    schema: z
      .string()
      .refine((text) => parseToken(text) !== null)
      .optional(),
  },
  PAWL_SECRET_KEYS: {
    allowed: SECRET_KEYS_FORM,
    secret: (text) => (parseSecretKeys(text) as { fault: string }).fault,
    schema: z
      .string()
      .refine((text) => !('fault' in parseSecretKeys(text)))
      .optional(),
  },
  PAWL_RUNTIME: { allowed: 'process (docker is not built yet)', schema: z.literal('process').default('process') },
  PAWL_APPS_DIR: { allowed: 'a path', schema: anyPath.default(resolve('examples')) },
  PAWL_PROVISION_POSTGRES_URL: {
    allowed: `${POSTGRES_FORM}, on another server than DATABASE_URL`,
    secret: (text) => (URL.canParse(text) ? 'a URL of another scheme, or on the server of DATABASE_URL' : sizeOf(text)),
    schema: anyUrl(['postgres', 'postgresql']).optional(),
  },
  PAWL_REDIS_URL: {
    allowed: 'redis://user:password@host:port or rediss://…',
    secret: sizeOf,
    schema: anyUrl(['redis', 'rediss']).optional(),
  },
  PAWL_WEBHOOK_ALLOW: {
    allowed: WEBHOOK_ALLOW_FORM,
    schema: z
      .string()
      .refine((text) => parseAllowed(text) !== null)
      .optional(),
  },
  PAWL_EVENT_RETENTION_DAYS: {
    allowed: `a whole number of days from ${minRetentionDays} to ${maxRetentionDays}`,
    schema: retentionDays.default(90),
  },
  PAWL_OPERATION_RETENTION_DAYS: {
    allowed: `a whole number of days from ${minRetentionDays} to PAWL_EVENT_RETENTION_DAYS`,
    schema: retentionDays.optional(),
  },
  PAWL_OIDC_ISSUER: {
    allowed: OIDC_ISSUER_FORM,
    secret: (text) => issuerFault(text) as string,
    schema: z
      .string()
      .refine((text) => issuerFault(text) === null)
      .optional(),
  },
  PAWL_OIDC_AUDIENCE: {
    allowed: 'what `aud` of a token must name: 1 to 255 characters of printable ASCII',
    schema: z
      .string()
      .regex(/^[\x20-\x7e]{1,255}$/)
      .optional(),
  },
  PAWL_INTROSPECTION: {
    allowed: INTROSPECTION.join(', '),
    schema: z.enum(INTROSPECTION).default('authenticated'),
  },
  PAWL_TRUSTED_DOCUMENTS: { allowed: 'a path', schema: anyPath.optional() },
  PAWL_LOG_LEVEL: { allowed: LOG_LEVELS.join(', '), schema: z.enum(LOG_LEVELS).default('info') },
} as const satisfies Record<string, Variable>

type Name = keyof typeof variables
const environment = z.object(
  Object.fromEntries(Object.entries(variables).map(([name, { schema }]) => [name, schema])) as {
    [N in Name]: (typeof variables)[N]['schema']
  },
)

/** Reads the configuration; an empty variable counts as unset. Throws ConfigError for the first bad one. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const names = Object.keys(variables) as Name[]
  const given = Object.fromEntries(names.map((name) => [name, env[name]?.trim() || undefined]))
  const result = environment.safeParse(given)
  if (!result.success) {
    const bad = names.find((name) => result.error.issues.some((issue) => issue.path[0] === name)) as Name
    throw refused(bad, given[bad])
  }
  const values = result.data
  if (values.DATABASE_URL !== undefined && values.PAWL_SECRET_KEYS === undefined) {
    throw refused('PAWL_SECRET_KEYS', undefined, ', which DATABASE_URL requires')
  }
  if (sameServer(values.DATABASE_URL, values.PAWL_PROVISION_POSTGRES_URL)) {
    throw refused('PAWL_PROVISION_POSTGRES_URL', given.PAWL_PROVISION_POSTGRES_URL)
  }
  const eventDays = values.PAWL_EVENT_RETENTION_DAYS
  const operationDays = values.PAWL_OPERATION_RETENTION_DAYS ?? Math.min(30, eventDays)
  if (operationDays > eventDays)
    throw refused(
      'PAWL_OPERATION_RETENTION_DAYS',
      given.PAWL_OPERATION_RETENTION_DAYS,
      `, more than the ${eventDays} of events`,
    )
  if (values.PAWL_OIDC_ISSUER !== undefined && values.PAWL_OIDC_AUDIENCE === undefined) {
    throw refused('PAWL_OIDC_AUDIENCE', undefined, ', which PAWL_OIDC_ISSUER requires')
  }
  return {
    host: values.PAWL_HOST,
    port: values.PAWL_ROLE === 'worker' && given.PAWL_PORT === undefined ? null : values.PAWL_PORT,
    databaseUrl: values.DATABASE_URL ?? null,
    dataDir: values.PAWL_DATA_DIR,
    role: values.PAWL_ROLE,
    bootstrapToken: values.PAWL_BOOTSTRAP_TOKEN ?? null,
    secretKeys:
      values.PAWL_SECRET_KEYS === undefined ? null : (parseSecretKeys(values.PAWL_SECRET_KEYS) as SecretKey[]),
    runtime: values.PAWL_RUNTIME,
    appsDir: values.PAWL_APPS_DIR,
    provisionPostgresUrl: values.PAWL_PROVISION_POSTGRES_URL ?? null,
    redisUrl: values.PAWL_REDIS_URL ?? null,
    webhookAllow: (values.PAWL_WEBHOOK_ALLOW && parseAllowed(values.PAWL_WEBHOOK_ALLOW)) || nothingAllowed,
    retention: { eventDays, operationDays },
    oidc:
      values.PAWL_OIDC_ISSUER === undefined
        ? null
        : { issuer: values.PAWL_OIDC_ISSUER, audience: values.PAWL_OIDC_AUDIENCE as string },
    introspection: values.PAWL_INTROSPECTION,
    trustedDocuments: values.PAWL_TRUSTED_DOCUMENTS ?? null,
    logLevel: values.PAWL_LOG_LEVEL,
    unknownVariables: unknown(env, names),
  }
}

function isHost(text: string): boolean {
  if (isIP(text) !== 0) return true
  // What looks like an address and is none (300.1.1.1) would be taken for a name and fail late.
  return !/^[\d.:]+$/.test(text) && /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(text)
}

function sameServer(one: string | undefined, other: string | undefined): boolean {
  if (one === undefined || other === undefined) return false
  const [a, b] = [new URL(one), new URL(other)]
  return a.hostname === b.hostname && (a.port || '5432') === (b.port || '5432')
}

function refused(name: Name, value: string | undefined, why = ''): ConfigError {
  const { allowed, secret }: Variable = variables[name]
  const read = value === undefined ? 'not set' : secret ? secret(value) : shown(value)
  return new ConfigError(`${name} is ${read}${why}; allowed: ${allowed}`)
}

/** A value that is not meant to be secret, but may be one that was put under the wrong name. */
function shown(value: string): string {
  if (/pawl_\w+_|:\/\/|=$/.test(value)) return sizeOf(value)
  const short = value.length > 60 ? `${value.slice(0, 60)}…` : value
  return JSON.stringify(short).replace(/[\u007f-\u009f\u2028\u2029]/g, '?')
}

/** PAWL_TEST_* belongs to the tests. Values are never shown: a misspelt name may hold a secret. */
function unknown(env: Readonly<Record<string, string | undefined>>, known: readonly string[]): string[] {
  return Object.keys(env)
    .filter((name) => /^PAWL_(?!TEST_)/.test(name) && !known.includes(name))
    .sort()
}
