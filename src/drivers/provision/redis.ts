// Resources of type REDIS: a user of its own, confined to the keys and channels that begin with its incarnation, on one
// Redis (7 or later, no cluster, which gives database 0). Users live in memory: Redis forgets them at a restart unless it has an
// aclfile, which is saved after every change. Then `observe` says absent, and resume or provision brings the user back; the keys
// and the fence are as durable as the server's persistence is set to be.
import { done, type Fence, type Outcome, refused } from '../outcome.ts'
import { fingerprint, physicalName, senseless } from './admission.ts'
import type { Provisioner, ResourceConnection, ResourceObservation, ResourceRef, ResourceSpec } from './driver.ts'
import { killCommand, userCommand } from './redis-acl.ts'
import { type PurgeLimits, purge, sizeOf } from './redis-keys.ts'
import * as ledger from './redis-ledger.ts'
import { type BeforeCommand, clientFor, Ended, onRedis, type RedisLine } from './redis-session.ts'

export interface RedisProvisionerOptions {
  /** redis:// or rediss://, of a user that may do everything. Null: there are no REDIS resources. */
  readonly url: string | null
  /** Stands on all that is made: only what carries it is told as owned. */
  readonly installation: string
  readonly purge?: PurgeLimits
  /** Tests come in between: called with each command before it is sent. */
  readonly beforeCommand?: BeforeCommand
}

interface Server {
  readonly runId: string
  /** 7.02 for 7.2. */
  readonly version: number
}

/** Makes the provisioner; connects to nothing until it is asked. */
export function createRedisProvisioner(options: RedisProvisionerOptions): Provisioner {
  const { url, installation, beforeCommand } = options
  const unavailable = whyNot(url)
  const client = url === null ? null : clientFor(url)
  const call = <T>(
    [ref, fence, password]: readonly [ResourceRef | null, Fence | null, string?],
    signal: AbortSignal,
    work: (line: RedisLine) => Promise<Outcome<T>>,
  ): Promise<Outcome<T>> => {
    if (client === null || unavailable !== null) return Promise.resolve(refused(unavailable ?? ''))
    const nonsense = ref && senseless(ref, fence, password)
    return nonsense ? Promise.resolve(nonsense) : onRedis(client, signal, beforeCommand, work)
  }
  const connection = (spec: ResourceSpec) => done<ResourceConnection>({ url: addressOf(String(url), spec) })
  return {
    type: 'REDIS',
    unavailable,
    provision: (spec, fence, signal) =>
      call([spec, fence, spec.password], signal, async (line) => {
        await refuseUnsafe(line, String(url))
        const { version } = await about(line)
        await ledger.act(line, spec, fence, 'make', (found) => {
          const plan = withUser(spec, found, version, spec.password, true)
          return { ...plan, set: { ...plan.set, installation } }
        })
        await save(line)
        return connection(spec)
      }),
    observe: (ref, signal) => call([ref, null], signal, (line) => observe(line, ref)),
    pause: (ref, fence, signal) => call([ref, fence], signal, (line) => change(line, ref, fence, 'paused')),
    resume: (ref, fence, signal) => call([ref, fence], signal, (line) => change(line, ref, fence, 'active')),
    rotate: (spec, fence, signal) =>
      call([spec, fence, spec.password], signal, async (line) => {
        const { version } = await about(line)
        await ledger.act(line, spec, fence, 'change', (found) => {
          return withUser(spec, there(found), version, spec.password, found.state !== 'paused')
        })
        await save(line)
        return connection(spec)
      }),
    // Redis tells no size at all times, so there is no quota that read-only would serve; writable it always is.
    setWritable: (ref, writable, fence, signal) =>
      call([ref, fence], signal, async (line) => {
        if (!writable) return refused('A REDIS resource cannot be made read-only: its size is not measured')
        await ledger.act(line, ref, fence, 'change', (found) => ({
          state: there(found).state ?? 'active',
          commands: [],
        }))
        return done(null)
      }),
    deprovision: (ref, fence, signal) =>
      call([ref, fence], signal, (line) => deprovision(line, ref, fence, options.purge ?? {})),
    listOwned: (signal) =>
      call([null, null], signal, async (line) => done(await ledger.listLedger(line, installation))),
  }
}

function whyNot(url: string | null): string | null {
  if (url === null) return 'REDIS resources need PAWL_REDIS_URL, e.g. redis://:password@127.0.0.1:6379'
  if (!/^\/?0?$/.test(new URL(url).pathname)) return 'PAWL_REDIS_URL must lead to database 0, e.g. redis://host:6379'
  return null
}

function addressOf(serverUrl: string, spec: ResourceSpec): string {
  const url = new URL(serverUrl)
  url.username = physicalName(spec)
  url.password = spec.password
  url.pathname = ''
  url.search = ''
  return url.href
}

/** The user as it is to be; connections of an earlier password, or of one that is locked out, end at the same moment. */
function withUser(
  ref: ResourceRef & { readonly name?: string },
  found: ledger.Found,
  version: number,
  password: string | null,
  on: boolean,
): ledger.Plan {
  const name = physicalName(ref)
  const sha256 = password === null ? String(found.sha256) : fingerprint(password)
  const ends = !on || (found.user !== null && found.sha256 !== sha256)
  return {
    state: on ? 'active' : 'paused',
    set: { sha256, made: '1', cursor: '', ...(ref.name === undefined ? {} : { label: ref.name }) },
    commands: [userCommand(name, ref.incarnation, sha256, on, version), ...(ends ? [killCommand(name)] : [])],
  }
}

/** Also when Redis has forgotten the user: the ledger knows what it was. */
function there(found: ledger.Found): ledger.Found {
  if (found.sha256 === null) throw new Ended(refused('There is no such user and prefix'))
  return found
}

async function change(
  line: RedisLine,
  ref: ResourceRef,
  fence: Fence,
  to: 'active' | 'paused',
): Promise<Outcome<null>> {
  const { version } = await about(line)
  await ledger.act(line, ref, fence, 'change', (found) => withUser(ref, there(found), version, null, to === 'active'))
  await save(line)
  return done(null)
}

async function observe(line: RedisLine, ref: ResourceRef): Promise<Outcome<ResourceObservation>> {
  const { seen, state, user } = await ledger.find(line, ref)
  if (seen === null || state === 'removed' || (user === null && state !== 'removing')) return done({ state: 'absent' })
  const sizeBytes = await sizeOf(line, ref)
  return done({ state: user === 'on' ? 'active' : 'paused', generation: seen.generation, sizeBytes })
}

async function deprovision(
  line: RedisLine,
  ref: ResourceRef,
  fence: Fence,
  limits: PurgeLimits,
): Promise<Outcome<null>> {
  const name = physicalName(ref)
  const { runId } = await about(line)
  const nothing = (found: ledger.Found) => found.user === null && (found.seen === null || found.state === 'removed')
  const before = await ledger.act(line, ref, fence, 'remove', (found) => ({
    state: nothing(found) ? 'removed' : 'removing',
    commands: found.user === null ? [] : [['ACL', 'SETUSER', name, 'off'], killCommand(name)],
  }))
  await save(line)
  if (nothing(before)) return done(null)
  const unfinished = await purge(line, ref, fence, runId, limits)
  if (unfinished !== null) return unfinished
  await ledger.act(line, ref, fence, 'remove', () => ({ state: 'removed', commands: [['ACL', 'DELUSER', name]] }))
  await save(line)
  return done(null)
}

async function about(line: RedisLine): Promise<Server> {
  const info = String(await line.ask('INFO', 'server'))
  const [, major, minor] = /^redis_version:(\d+)\.(\d+)/m.exec(info) ?? []
  const version = Number(major) + Number(minor) / 100
  if (!(version >= 7)) throw new Ended(refused('REDIS resources need Redis 7 or later'))
  if (/^redis_mode:cluster/m.test(info)) throw new Ended(refused('REDIS resources need a single Redis, not a cluster'))
  return { runId: /^run_id:(\w+)/m.exec(info)?.[1] ?? '', version }
}

/** What would make the confinement, or the fence, worth nothing. */
async function refuseUnsafe(line: RedisLine, url: string): Promise<void> {
  const all = ledger.pairs(await line.ask('ACL', 'GETUSER', 'default')).get('flags') as readonly string[] | undefined
  // Whoever is on this machine is let in by the machine; a server that others reach must ask for a password.
  const local = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(url).hostname)
  if (!local && all?.includes('on') && all.includes('nopass')) {
    throw new Ended(refused('The Redis of PAWL_REDIS_URL lets everyone in: set a password with requirepass'))
  }
  const memory = String(await line.ask('INFO', 'memory'))
  const evicts = /^maxmemory_policy:allkeys/m.test(memory) && !/^maxmemory:0\s*$/m.test(memory)
  if (evicts)
    throw new Ended(refused('The Redis of PAWL_REDIS_URL evicts keys without a TTL: set another maxmemory-policy'))
}

/** Without an aclfile there is nothing to save to. */
async function save(line: RedisLine): Promise<void> {
  try {
    await line.ask('ACL', 'SAVE')
  } catch (error) {
    if (!(error instanceof Error && /not configured to use an ACL file/i.test(error.message))) throw error
  }
}
