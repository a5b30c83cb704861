// Removes what a driver has and nobody owns: once, after an hour of grace, by one replica. No row is left that could carry an
// operation, so this is the one effect that a loop causes itself (docs/decisions/0016-orphans-are-removed-by-the-sweep.md).
// Any doubt about what there is leaves all of it alone.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Fence, type Outcome, unknown } from '../drivers/outcome.ts'
import type { Provisioner } from '../drivers/provision/driver.ts'
import type { RuntimeDriver } from '../drivers/runtime/driver.ts'
import type { Log } from '../log.ts'
import {
  claimOrphans,
  databaseNow,
  type Held,
  noteOrphans,
  type OrphanClaim,
  type Owners,
  settleOrphan,
} from '../resolvers/orphan.ts'
import type { Database } from '../resolvers/transition.ts'
import { detailOf } from './effect.ts'

/** A driver as the sweep sees it: it says what it made, and removes one of that. */
export interface Holder {
  /** Names it in the table and in the log, for ever. */
  readonly name: string
  readonly owners: Owners
  listOwned(signal: AbortSignal): Promise<Outcome<readonly Held[]>>
  remove(ref: { subjectId: string; incarnation: string }, fence: Fence, signal: AbortSignal): Promise<Outcome<null>>
}

/** A runtime driver as a holder. */
export const workloadHolder = (driver: RuntimeDriver): Holder => ({
  name: `runtime.${driver.name}`,
  owners: 'workload',
  listOwned: (signal) => driver.listOwned(signal),
  remove: (ref, fence, signal) => driver.remove(ref, fence, signal),
})

/** Provisioners as holders; one that cannot be used holds nothing that could be asked for. */
export const resourceHolders = (provisioners: readonly Provisioner[]): Holder[] =>
  provisioners
    .filter(({ unavailable }) => unavailable === null)
    .map((provisioner) => ({
      name: `provision.${provisioner.type}`,
      owners: 'resource',
      listOwned: (signal) => provisioner.listOwned(signal),
      remove: (ref, fence, signal) => provisioner.deprovision(ref, fence, signal),
    }))

const listTimeoutMs = 60_000
/** For all calls that one removal takes. */
const removeTimeoutMs = 30_000
const atOnce = 8

type Items = Record<'moved' | 'unchanged' | 'skipped', number>

/** One pass over one holder: removed are `moved`, seen and still in their grace `unchanged`, what could not be told `skipped`. */
export async function removeOrphans(db: Database, holder: Holder, log: Log, signal: AbortSignal): Promise<Items> {
  const facts = { driver: holder.name }
  const since = await databaseNow(db)
  const listed = await bounded(signal, listTimeoutMs, (limited) => holder.listOwned(limited))
  if (listed.kind !== 'done') {
    // A pass that was cut off has learnt nothing that anybody should look into.
    if (!signal.aborted)
      log.warn('what a driver has cannot be told: no orphan is looked for', { ...facts, outcome: detailOf(listed) })
    return { moved: 0, unchanged: 0, skipped: 1 }
  }
  const generations = new Map(listed.value.map((held) => [keyOf(held), held.generation]))
  const { fresh, seen } = await noteOrphans(db, holder.name, holder.owners, listed.value, since)
  if (fresh > 0)
    log.warn('a driver has what nobody owns: it is removed after an hour of that', { ...facts, count: fresh })

  const items: Items = { moved: 0, unchanged: 0, skipped: 0 }
  const remove = async (claim: OrphanClaim) => {
    const generation = generations.get(keyOf(claim))
    // Seen by another replica alone: it knows more of it than is known here.
    if (generation === undefined) return
    const outcome = await removal(holder, claim, generation, signal)
    const told = outcome.kind === 'done' ? null : detailOf(outcome)
    items[told === null ? 'moved' : 'skipped']++
    const { subjectId, incarnation } = claim
    const what = told === null ? 'an orphan was removed' : 'an orphan is not removed yet; the next pass tries again'
    log.warn(what, { ...facts, subjectId, incarnation, generation, outcome: told ?? 'done' })
    await settleOrphan(db, holder.name, claim, told)
  }
  while (!signal.aborted) {
    const claims = await claimOrphans(db, holder.name, holder.owners, since, atOnce)
    // All of them come to their end, also when one cannot be stored: nothing that a pass has begun goes on after it.
    const ends = await Promise.allSettled(claims.map(remove))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
    if (claims.length < atOnce) break
  }
  items.unchanged = Math.max(0, seen - items.moved - items.skipped)
  return items
}

const keyOf = ({ subjectId, incarnation }: { subjectId: string; incarnation: string }) => `${subjectId} ${incarnation}`

/**
 * Asks until the driver is done or its time is over. The fence is that of a fresh operation at the generation that was seen: a
 * late call of any operation before it is stale, while a newer wish for a service of a living stack still has its way.
 */
async function removal(
  holder: Holder,
  { subjectId, incarnation }: OrphanClaim,
  generation: number,
  signal: AbortSignal,
): Promise<Outcome<null>> {
  const fence = { operationId: `sweep-${crypto.randomUUID()}`, attempt: 1, subjectId, generation }
  return bounded(signal, removeTimeoutMs, async (limited) => {
    for (;;) {
      const outcome = await holder.remove({ subjectId, incarnation }, fence, limited)
      if (outcome.kind !== 'working' || limited.aborted) return outcome
      await sleep(outcome.askAgainAfterMs, undefined, { signal: limited }).catch(() => {})
    }
  })
}

/** A driver that throws, or does not hear the signal, is not waited for: unknown. */
async function bounded<T>(
  signal: AbortSignal,
  timeoutMs: number,
  ask: (signal: AbortSignal) => Promise<Outcome<T>>,
): Promise<Outcome<T>> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const cut = Promise.withResolvers<Outcome<T>>()
  const end = () => cut.resolve(unknown('given up before the driver answered'))
  if (limited.aborted) end()
  else limited.addEventListener('abort', end, { once: true })
  return Promise.race([ask(limited), cut.promise]).catch(() => unknown('the driver failed without an answer'))
}
