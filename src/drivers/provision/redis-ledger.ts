// What was made on this Redis, by whom and up to which fence: one hash per incarnation under a prefix that no resource's user
// can reach. A call watches the hash, reads it, and writes it in the very transaction that has the effect; so a fence that another
// call has advanced meanwhile leaves nothing done. Scripts could not: ACL is not allowed in them.
import { type Fence, unreachable } from '../outcome.ts'
import { admitCall, type CallKind, foreign, ofAnother, physicalName, type SeenFence } from './admission.ts'
import type { OwnedResource, ResourceRef } from './driver.ts'
import { type Command, Ended, type RedisLine, type Reply } from './redis-session.ts'

export type LedgerState = 'active' | 'paused' | 'removing' | 'removed'

export interface Found {
  readonly seen: SeenFence | null
  readonly state: LedgerState | null
  /** SHA-256 of the password, as Redis keeps it too: to bring the user back when Redis has forgotten it. */
  readonly sha256: string | null
  /** Where the removal of keys has come to, on which run of the server. */
  readonly cursor: string | null
  readonly user: 'on' | 'off' | null
}

const LEDGER = 'pawl-provision:ledger:'
const OWNED = 'pawl-provision:owned'
const TURNS_AT_MOST = 20
/** As long as a fence without a resource is kept; an operation that is still tried by then is not. */
const KEEP_REMOVED_SECONDS = 30 * 24 * 3600

const keyOf = (ref: ResourceRef): string => `${LEDGER}${ref.incarnation}`

/** What there is at one moment. Ends the call when it is not ours. */
export async function find(line: RedisLine, ref: ResourceRef): Promise<Found> {
  const replies = await line.snapshot([
    ['ACL', 'GETUSER', physicalName(ref)],
    ['HGETALL', keyOf(ref)],
  ])
  return foundIn(ref, replies[0] ?? null, replies[1] ?? null)
}

/**
 * The same without ending what is watched. The user first: it is made together with the record, so one that is there
 * without a record when that is read next is not ours.
 */
async function findWatched(line: RedisLine, ref: ResourceRef): Promise<Found> {
  const user = await line.ask('ACL', 'GETUSER', physicalName(ref))
  return foundIn(ref, user, await line.ask('HGETALL', keyOf(ref)))
}

function foundIn(ref: ResourceRef, userReply: Reply, record: Reply): Found {
  const [account, fields] = [pairs(userReply), pairs(record)]
  const user = account.size === 0 ? null : (account.get('flags') as readonly Reply[]).includes('on') ? 'on' : 'off'
  if (fields.size === 0) {
    if (user !== null) throw new Ended(foreign(ref))
    return { seen: null, state: null, sha256: null, cursor: null, user }
  }
  if (fields.get('subject') !== ref.subjectId) throw new Ended(ofAnother(ref))
  const text = (name: string): string => String(fields.get(name) ?? '')
  const seen = {
    generation: Number(text('generation')),
    operationId: text('operation'),
    attempt: Number(text('attempt')),
    past: JSON.parse(text('past')) as string[],
    removed: text('removed') === '1',
  }
  return {
    seen,
    state: text('state') as LedgerState,
    sha256: text('sha256') || null,
    cursor: text('cursor') || null,
    user,
  }
}

/** What a call wants to happen, together with the advance of the fence. */
export interface Plan {
  readonly state: LedgerState
  readonly set?: Readonly<Record<string, string>>
  readonly commands: readonly Command[]
}

/**
 * Looks, checks the fence, and does what `plan` says, all at one moment; looks again when another call came in
 * between. `plan` may end the call. Answers what was found before.
 */
export async function act(
  line: RedisLine,
  ref: ResourceRef,
  fence: Fence,
  call: CallKind,
  plan: (found: Found, seen: SeenFence) => Plan | Promise<Plan>,
): Promise<Found> {
  const key = keyOf(ref)
  for (let turn = 1; turn <= TURNS_AT_MOST; turn++) {
    await line.ask('WATCH', key)
    const found = await findWatched(line, ref)
    const seen = admitCall(found.seen, fence, call)
    if ('kind' in seen) throw new Ended(seen)
    const { state, set = {}, commands } = await plan(found, seen)
    const fields = { subject: ref.subjectId, state, ...fieldsOf(seen), ...set }
    const gone = state === 'removed'
    const replies = await line.transaction([
      ['HSET', key, ...Object.entries(fields).flat()],
      ...commands,
      ...(gone ? forget(key, ref) : keep(key, ref)),
    ])
    if (replies !== null) return found
  }
  throw new Ended(unreachable('Another call holds the resource'))
}

const fieldsOf = (seen: SeenFence): Record<string, string> => ({
  generation: String(seen.generation),
  operation: seen.operationId,
  attempt: String(seen.attempt),
  past: JSON.stringify(seen.past),
  removed: seen.removed ? '1' : '0',
})

const keep = (key: string, { incarnation }: ResourceRef): Command[] => [
  ['PERSIST', key],
  ['ZADD', OWNED, '0', incarnation],
]
const forget = (key: string, { incarnation }: ResourceRef): Command[] => [
  ['HDEL', key, 'sha256', 'label', 'cursor'],
  ['EXPIRE', key, String(KEEP_REMOVED_SECONDS)],
  ['ZREM', OWNED, incarnation],
]

/** Every resource of the ledger, made for that installation, that was not removed. */
export async function listLedger(line: RedisLine, installation: string): Promise<readonly OwnedResource[]> {
  const incarnations = (await line.ask('ZRANGE', OWNED, '0', '-1')) as readonly string[]
  const fields = ['subject', 'generation', 'installation', 'made'] as const
  const rows = await Promise.all(
    incarnations.map(async (incarnation) => {
      const row = (await line.ask('HMGET', `${LEDGER}${incarnation}`, ...fields)) as readonly (string | null)[]
      return {
        incarnation,
        subjectId: row[0],
        generation: Number(row[1]),
        made: row[3] === '1' && row[2] === installation,
      }
    }),
  )
  return rows.flatMap(({ incarnation, subjectId, generation, made }) =>
    made && subjectId != null ? [{ subjectId, incarnation, generation }] : [],
  )
}

/** A flat list of names and values, as RESP 2 has it. */
export function pairs(reply: Reply): Map<string, Reply> {
  const list = (reply ?? []) as readonly Reply[]
  return new Map(list.flatMap((name, index) => (index % 2 === 0 ? [[String(name), list[index + 1] ?? null]] : [])))
}
