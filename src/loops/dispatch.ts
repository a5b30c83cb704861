// The dispatcher: claims operations that are due, in lanes, and keeps the leases of those it works on. The operations table
// is the queue; a nudge is only a hint and the poll is the truth. Only here are effects caused.
import { DatabaseFault } from '../db/fault.ts'
import { kindsDue, renewLeases } from '../resolvers/operation.ts'
import { claimOperation, supersedeOutdated } from '../resolvers/operation-rule.ts'
import { type Rule, transitionEach } from '../resolvers/transition.ts'
import { Claim, type ClaimTools, leaseMs } from './claim.ts'
import type { Effect } from './effect.ts'
import { type Loop, startLoop } from './loop.ts'

const pollMs = 1_000
const renewEveryMs = 2_000
const supersedeBatch = 200

export interface Dispatcher {
  /** Says that something may be due. */
  nudge(): void
  /** How many operations this process works on now. */
  running(): number
  /** Claims nothing more, leaves what waits, lets driver calls end for at most `timeoutMs`, gives claims back. */
  drain(timeoutMs: number): Promise<void>
}

export function startDispatcher(effects: readonly Effect[], tools: ClaimTools): Dispatcher {
  const { db, log, workerId } = tools
  const byKind = new Map(effects.map((effect) => [effect.kind, effect]))
  const claims = new Map<string, Claim>()
  let draining = false

  const work = (effect: Effect, claim: Claim) => {
    claims.set(claim.operation.id, claim)
    claim.done.finally(() => {
      claims.delete(claim.operation.id)
      // The next operation of the same subject may go on now.
      loop.nudge()
    })
    return effect
  }

  async function claimLane(effect: Effect): Promise<number> {
    const busy = [...claims.values()].filter((claim) => claim.operation.kind === effect.kind).length
    const room = effect.concurrency - busy
    const cause = { actor: { kind: 'loop', id: 'dispatch' }, requestId: `dispatch-${crypto.randomUUID()}` }
    const values = { kind: effect.kind, workerId, leaseMs }
    await transitionEach(
      db,
      supersedeOutdated(effect.subjectType) as unknown as Rule,
      { ...cause, values },
      supersedeBatch,
    )
    if (room <= 0) return 0
    const sentAt = performance.now()
    const claimed = await transitionEach(db, claimOperation, { ...cause, values }, room).catch((error: unknown) => {
      // Another process took an operation of the same subject at the same moment: the index decided, the next pass sees it.
      if (error instanceof DatabaseFault && error.constraint === 'operation_one_per_subject') return []
      throw error
    })
    for (const { row, before } of claimed)
      work(effect, new Claim(effect, row, before?.state === 'UNKNOWN', sentAt, tools))
    return claimed.length
  }

  const loop: Loop = startLoop(
    {
      name: 'dispatch',
      everyMs: pollMs,
      deadlineMs: 30_000,
      async pass() {
        let moved = 0
        for (const kind of draining ? [] : await kindsDue(db, [...byKind.keys()])) {
          const effect = byKind.get(kind)
          if (effect) moved += await claimLane(effect)
        }
        return { moved }
      },
    },
    tools,
  )

  let renewing: Promise<void> = Promise.resolve()
  const heartbeat = setInterval(() => {
    renewing = renewing
      .then(renew)
      .catch((error: unknown) => log.warn('leases could not be renewed', { count: claims.size, error }))
  }, renewEveryMs)

  async function renew(): Promise<void> {
    const held = [...claims.values()]
    if (held.length === 0) return
    const sentAt = performance.now()
    const renewed = await renewLeases(
      db,
      held.map(({ operation }) => ({ id: operation.id, claimToken: String(operation.claimToken) })),
      leaseMs,
    )
    const found = new Map(renewed.map((lease) => [lease.id, lease]))
    for (const claim of held) {
      const lease = found.get(claim.operation.id)
      if (!lease) {
        // Either its end was stored a moment ago, or it was taken over.
        if (claims.has(claim.operation.id)) claim.lose('the claim is not ours any more')
        continue
      }
      claim.renewed(sentAt)
      if (lease.subjectGeneration !== null && lease.subjectGeneration > claim.operation.generation)
        claim.leave('superseded')
    }
  }

  return {
    nudge: () => loop.nudge(),
    running: () => claims.size,
    async drain(timeoutMs) {
      draining = true
      await loop.stop()
      for (const claim of claims.values()) claim.leave('this process is shutting down')
      const all = Promise.allSettled([...claims.values()].map((claim) => claim.done))
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<'late'>((resolve) => {
        timer = setTimeout(() => resolve('late'), timeoutMs)
      })
      if ((await Promise.race([all, late])) === 'late') {
        for (const claim of claims.values()) claim.lose('this process is shutting down')
        await all
      }
      clearTimeout(timer)
      clearInterval(heartbeat)
      await renewing
    },
  }
}
