// Every variable: its default, what is taken, and the one line for what is not. Secrets never show.

import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ConfigError, readConfig } from '../src/config.ts'
import { addKeptSecretKey, keptSecretKeys, parseSecretKeys } from '../src/secret-keys.ts'
import { mintToken } from '../src/token.ts'

const key = (byte: number) => Buffer.alloc(32, byte).toString('base64')
const token = mintToken().plaintext

function complaint(env: Record<string, string>): string {
  try {
    readConfig(env)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as Error).message
  }
  throw new Error(`taken: ${JSON.stringify(env)}`)
}

test('without any variable: all on one laptop, embedded', () => {
  expect(readConfig({ PATH: '/bin' })).toEqual({
    host: '127.0.0.1',
    port: 4000,
    databaseUrl: null,
    dataDir: resolve('.pawl'),
    role: 'all',
    bootstrapToken: null,
    secretKeys: null,
    runtime: 'process',
    appsDir: resolve('examples'),
    provisionPostgresUrl: null,
    redisUrl: null,
    webhookAllow: { ranges: [], hosts: new Set() },
    retention: { eventDays: 90, operationDays: 30 },
    oidc: null,
    introspection: 'authenticated',
    trustedDocuments: null,
    logLevel: 'info',
    unknownVariables: [],
  })
})

test('an empty variable counts as unset', () => {
  expect(readConfig({ PAWL_PORT: '', PAWL_REDIS_URL: ' ', DATABASE_URL: '' })).toEqual(readConfig({}))
})

test('every variable is taken', () => {
  const config = readConfig({
    PAWL_HOST: '::',
    PAWL_PORT: '0',
    DATABASE_URL: 'postgresql://u:p@db/pawl',
    PAWL_DATA_DIR: '/srv/pawl/../data',
    PAWL_ROLE: 'worker',
    PAWL_BOOTSTRAP_TOKEN: token,
    PAWL_SECRET_KEYS: `new:${key(2)}, old:${key(1)}`,
    PAWL_RUNTIME: 'process',
    PAWL_APPS_DIR: 'apps',
    PAWL_PROVISION_POSTGRES_URL: 'postgres://u:p@db:5433/postgres',
    PAWL_REDIS_URL: 'rediss://cache:6380',
    PAWL_WEBHOOK_ALLOW: '10.0.0.0/8, Hooks.internal,fd00::/8',
    PAWL_EVENT_RETENTION_DAYS: '400',
    PAWL_OPERATION_RETENTION_DAYS: '8',
    PAWL_OIDC_ISSUER: 'https://idp.example/realms/one/',
    PAWL_OIDC_AUDIENCE: 'api://pawl',
    PAWL_INTROSPECTION: 'off',
    PAWL_TRUSTED_DOCUMENTS: 'documents.json',
    PAWL_LOG_LEVEL: 'debug',
  })
  expect(config).toMatchObject({ introspection: 'off', trustedDocuments: resolve('documents.json') })
  expect(config).toMatchObject({ host: '::', port: 0, dataDir: '/srv/data', role: 'worker', bootstrapToken: token })
  expect(config).toMatchObject({ appsDir: resolve('apps'), redisUrl: 'rediss://cache:6380', logLevel: 'debug' })
  expect(config.webhookAllow.ranges.map(String)).toEqual(['10.0.0.0/8', 'fd00::/8'])
  expect(config.webhookAllow.hosts).toEqual(new Set(['hooks.internal']))
  expect(config.retention).toEqual({ eventDays: 400, operationDays: 8 })
  // As it was written: tokens name it letter by letter.
  expect(config.oidc).toEqual({ issuer: 'https://idp.example/realms/one/', audience: 'api://pawl' })
  expect(config.secretKeys).toEqual([
    { id: 'new', bytes: Buffer.alloc(32, 2) },
    { id: 'old', bytes: Buffer.alloc(32, 1) },
  ])
})

describe('a bad value is answered with one line', () => {
  test.each([
    ['PAWL_PORT', 'http', 'PAWL_PORT is "http"; allowed: a whole number from 0 to 65535 (0 = any free port)'],
    ['PAWL_PORT', '65536', 'PAWL_PORT is "65536"; allowed: a whole number from 0 to 65535 (0 = any free port)'],
    ['PAWL_HOST', 'a b', 'PAWL_HOST is "a b"; allowed: an IP address or a host name'],
    ['PAWL_HOST', '300.1.1.1', 'PAWL_HOST is "300.1.1.1"; allowed: an IP address or a host name'],
    ['PAWL_HOST', 'x\u001b[2J\ny', 'PAWL_HOST is "x\\u001b[2J\\ny"; allowed: an IP address or a host name'],
    ['PAWL_ROLE', 'API', 'PAWL_ROLE is "API"; allowed: all, api, worker'],
    ['PAWL_RUNTIME', 'docker', 'PAWL_RUNTIME is "docker"; allowed: process (docker is not built yet)'],
    ['PAWL_DATA_DIR', 'a\0b', 'PAWL_DATA_DIR is "a\\u0000b"; allowed: a path'],
    [
      'PAWL_OIDC_ISSUER',
      'http://idp.example',
      'PAWL_OIDC_ISSUER is an http URL of another machine; allowed: an https URL without user, query or fragment; http only on loopback (localhost, 127.0.0.1, [::1])',
    ],
    [
      'PAWL_OIDC_AUDIENCE',
      'a\nb',
      'PAWL_OIDC_AUDIENCE is "a\\nb"; allowed: what `aud` of a token must name: 1 to 255 characters of printable ASCII',
    ],
    [
      'PAWL_EVENT_RETENTION_DAYS',
      '7',
      'PAWL_EVENT_RETENTION_DAYS is "7"; allowed: a whole number of days from 8 to 3650',
    ],
    [
      'PAWL_OPERATION_RETENTION_DAYS',
      '91',
      'PAWL_OPERATION_RETENTION_DAYS is "91", more than the 90 of events; allowed: a whole number of days from 8 to PAWL_EVENT_RETENTION_DAYS',
    ],
    ['PAWL_INTROSPECTION', 'on', 'PAWL_INTROSPECTION is "on"; allowed: authenticated, off'],
    ['PAWL_TRUSTED_DOCUMENTS', 'a\0b', 'PAWL_TRUSTED_DOCUMENTS is "a\\u0000b"; allowed: a path'],
    ['PAWL_LOG_LEVEL', 'loud', 'PAWL_LOG_LEVEL is "loud"; allowed: fatal, error, warn, info, debug, trace, silent'],
  ])('%s=%j', (name, value, line) => {
    expect(complaint({ [name]: value })).toBe(line)
  })

  test.each(['10/8', '10.0.0.0/33', '10.0.0.1', 'a,,b', '0x0a.0.0.0/8'])('PAWL_WEBHOOK_ALLOW=%j', (value) => {
    expect(complaint({ PAWL_WEBHOOK_ALLOW: value })).toBe(
      `PAWL_WEBHOOK_ALLOW is ${JSON.stringify(value)}; allowed: CIDR ranges (10.0.0.0/8, fd00::/8) and host names, separated by commas`,
    )
  })

  test('operations are kept no longer than events, said or not', () => {
    expect(readConfig({ PAWL_EVENT_RETENTION_DAYS: '14' }).retention).toEqual({ eventDays: 14, operationDays: 14 })
  })

  test('the first bad one in the order of the table is named', () => {
    expect(complaint({ PAWL_LOG_LEVEL: 'loud', PAWL_PORT: '-1' })).toMatch(/^PAWL_PORT is "-1"/)
  })

  test('an outside database requires the keys', () => {
    expect(complaint({ DATABASE_URL: 'postgres://db/pawl' })).toMatch(
      /^PAWL_SECRET_KEYS is not set, which DATABASE_URL requires; allowed: keyId:base64 of 32 bytes/,
    )
  })

  test('an OIDC issuer requires the audience; an audience alone turns nothing on', () => {
    expect(complaint({ PAWL_OIDC_ISSUER: 'http://127.0.0.1:8080' })).toBe(
      'PAWL_OIDC_AUDIENCE is not set, which PAWL_OIDC_ISSUER requires; allowed: what `aud` of a token must name: 1 to 255 characters of printable ASCII',
    )
    expect(readConfig({ PAWL_OIDC_AUDIENCE: 'pawl' }).oidc).toBeNull()
  })

  test('resources are never made in the control plane\u2019s own server', () => {
    const env = { DATABASE_URL: 'postgres://u:p@db/pawl', PAWL_SECRET_KEYS: `a:${key(1)}` }
    expect(complaint({ ...env, PAWL_PROVISION_POSTGRES_URL: 'postgres://db:5432/x' })).toMatch(
      /^PAWL_PROVISION_POSTGRES_URL is a URL .* on the server of DATABASE_URL; allowed: .* another server than DATABASE_URL$/,
    )
  })
})

describe('what was read of a secret is told by its shape alone', () => {
  const canary = 'Canary77'
  test.each([
    ['DATABASE_URL', `mysql://u:${canary}@db`, /^DATABASE_URL is 21 characters of another form; allowed: postgres:/],
    ['DATABASE_URL', `postgres://u:${canary}@db:x/`, /is 27 characters of another form/],
    ['PAWL_REDIS_URL', `http://${canary}@h`, /^PAWL_REDIS_URL is 17 characters of another form; allowed: redis:/],
    ['PAWL_PROVISION_POSTGRES_URL', `http://u:${canary}@h`, /is a URL of another scheme/],
    ['PAWL_OIDC_ISSUER', `https://u:${canary}@idp`, /^PAWL_OIDC_ISSUER is a URL with a user or password; allowed: an/],
    ['PAWL_OIDC_ISSUER', canary, /is 8 characters that are no URL/],
    ['PAWL_BOOTSTRAP_TOKEN', canary, /^PAWL_BOOTSTRAP_TOKEN is 8 characters of another form; allowed: a token pawl_/],
    ['PAWL_BOOTSTRAP_TOKEN', `pawl_${canary}1234_${canary.repeat(4)}1234`, /is a token whose checksum is wrong/],
    ['PAWL_SECRET_KEYS', canary, /is key 1 of 1 \(8 characters\) has another form/],
    ['PAWL_SECRET_KEYS', `a:${key(1)},b:${canary}`, /key 2 of 2 has 6 bytes/],
    ['PAWL_SECRET_KEYS', `${canary}:${key(1)},${canary}:${key(2)}`, /key 2 of 2 has the key id of an earlier one/],
    ['PAWL_PORT', `pawl_${canary}_x`, /^PAWL_PORT is 15 characters of another form/],
    ['PAWL_HOST', `postgres://u:${canary}@db`, /^PAWL_HOST is 24 characters of another form/],
  ])('%s', (name, value, line) => {
    const said = complaint({ [name]: value })
    expect(said).toMatch(line)
    expect(said).not.toContain(canary)
    expect(said).not.toContain('\n')
  })
})

test('unknown PAWL_ variables are named, without their values', () => {
  const { unknownVariables } = readConfig({ PAWL_TOKEN: 's', PAWL_PROT: '1', PAWL_TEST_POSTGRES: '15', HOME: '/' })
  expect(unknownVariables).toEqual(['PAWL_PROT', 'PAWL_TOKEN'])
})

describe('keys in the data directory', () => {
  let dataDir = ''
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'pawl-keys-'))
  })
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

  test('are made once, for the owner alone, and refused when damaged', () => {
    const first = keptSecretKeys(dataDir)
    expect(first).toHaveLength(1)
    expect(first[0]?.bytes).toHaveLength(32)
    expect(keptSecretKeys(dataDir)).toEqual(first)
    expect(readdirSync(dataDir)).toEqual(['secret-keys'])
    expect(statSync(join(dataDir, 'secret-keys')).mode & 0o777).toBe(0o600)
    writeFileSync(join(dataDir, 'secret-keys'), '')
    expect(() => keptSecretKeys(dataDir)).toThrow(
      /secret-keys does not hold secret keys: key 1 of 1 .*; allowed: keyId/,
    )
  })

  test('a new one is put first, under an id of its own, and the earlier ones stay', () => {
    const [first] = keptSecretKeys(dataDir)
    const [second] = addKeptSecretKey(dataDir)
    const all = addKeptSecretKey(dataDir)
    expect(all.slice(1)).toEqual([second, first])
    expect(new Set(all.map(({ id }) => id)).size).toBe(3)
    expect(keptSecretKeys(dataDir)).toEqual(all)
    expect(readdirSync(dataDir)).toEqual(['secret-keys'])
    expect(statSync(join(dataDir, 'secret-keys')).mode & 0o777).toBe(0o600)
  })

  test('more keys than anybody needs are refused', () => {
    const many = Array.from({ length: 17 }, (_, i) => `k${i}:${key(i)}`).join(',')
    expect(parseSecretKeys(many)).toEqual({ fault: '17 keys, more than 16' })
  })
})
