// The keys of a resource, found by SCAN because Redis has no index of prefixes: counted in part for the size, and
// removed in bounded batches, each under the fence. The cursor is kept between calls, so that a removal gets to its end however
// many keys others have; it belongs to one run of the server and starts anew after a restart.
import { type Fence, type Outcome, working } from '../outcome.ts'
import type { ResourceRef } from './driver.ts'
import { prefixOf } from './redis-acl.ts'
import { act } from './redis-ledger.ts'
import type { Command, RedisLine } from './redis-session.ts'

export interface PurgeLimits {
  /** Keys looked at per round trip; Redis is busy for about a millisecond. Default 1000. */
  readonly batchKeys?: number
  /** How long one call goes on before it answers `working`. Default 2 s. */
  readonly callMs?: number
}

/** Batches looked at to tell a size: 10,000 keys, those of others included. */
const SIZE_BATCHES = 10
const SIZE_SAMPLES = 100

/** Removes the keys, as far as the limits let it; null when none is left. */
export async function purge(
  line: RedisLine,
  ref: ResourceRef,
  fence: Fence,
  runId: string,
  { batchKeys = 1000, callMs = 2_000 }: PurgeLimits,
): Promise<Outcome<never> | null> {
  const until = Date.now() + callMs
  for (;;) {
    let next = '0'
    await act(line, ref, fence, 'remove', async (found) => {
      const [run, from] = found.cursor?.split(' ') ?? []
      const batch = await scan(line, ref, run === runId && from !== undefined ? from : '0', batchKeys)
      next = batch.next
      const unlink: Command[] = batch.keys.length === 0 ? [] : [['UNLINK', ...batch.keys]]
      return { state: 'removing', set: { cursor: next === '0' ? '' : `${runId} ${next}` }, commands: unlink }
    })
    if (next === '0') return null
    if (Date.now() >= until) return working(0, 'Removing its keys')
  }
}

/** Bytes in memory by a sample, when all keys of the server can be looked at within bounds; else null. */
export async function sizeOf(line: RedisLine, ref: ResourceRef): Promise<number | null> {
  const keys: string[] = []
  let cursor = '0'
  for (let batches = 1; ; batches++) {
    const batch = await scan(line, ref, cursor, 1000)
    keys.push(...batch.keys)
    cursor = batch.next
    if (cursor === '0') break
    if (batches === SIZE_BATCHES) return null
  }
  const sample = keys.slice(0, SIZE_SAMPLES)
  const sizes = await Promise.all(sample.map((key) => line.ask('MEMORY', 'USAGE', key)))
  const sampled = sizes.reduce<number>((sum, size) => sum + Number(size ?? 0), 0)
  return sample.length === 0 ? 0 : Math.round((sampled * keys.length) / sample.length)
}

async function scan(line: RedisLine, { incarnation }: ResourceRef, from: string, count: number) {
  const reply = await line.ask('SCAN', from, 'MATCH', `${prefixOf(incarnation)}*`, 'COUNT', String(count))
  const [next, keys] = reply as readonly [string, readonly string[]]
  return { next, keys }
}
