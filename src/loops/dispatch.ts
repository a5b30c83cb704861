// The dispatcher: claims operations that are due, in lanes, and keeps the leases of those it works on. The operations table
// is the queue; a nudge is only a hint and the poll is the truth. Only here are effects caused.
import { DatabaseFault } from '../db/fault.ts'
import type { operation } from '../db/operation.ts'
import { isAnythingDue, renewLeases } from '../resolvers/operation.ts'
import { claimOperation, type SubjectType, supersedeOutdated } from '../resolvers/operation-rule.ts'
import { type Rule, transitionEach } from '../resolvers/transition.ts'
import { Claim, type ClaimTools, type Timing, timing as usual } from './claim.ts'
import { countMoves } from './count.ts'
import type { Effect } from './effect.ts'
import { type Loop, startLoop } from './loop.ts'

const supersedeBatch = 200
/** When draining: for writing down what was cut off. */
const releaseMs = 2_000

export interface Dispatcher {
  /** Says that something may be due. */
  nudge(): void
  /** How many operations this process works on now. */
  running(): number
  /** Claims nothing more, leaves what waits, lets driver calls end for at most `timeoutMs`, gives claims back. */
  drain(timeoutMs: number): Promise<void>
}

export interface DispatcherTools extends Omit<ClaimTools, 'timing'> {
  readonly timing?: Partial<Timing>
}

export function startDispatcher(effects: readonly Effect[], given: DispatcherTools): Dispatcher {
  const tools: ClaimTools = { ...given, timing: { ...usual, ...given.timing } }
  const { db, log, workerId, timing } = tools
  const kinds = effects.map((effect) => effect.kind)
  // By claim, not by operation: one that was lost may still be ending when the same process claims its operation again.
  const claims = new Set<Claim>()

  function work(claim: Claim): void {
    claims.add(claim)
    claim.done.finally(() => {
      claims.delete(claim)
      // The next operation of the same subject, or of the lane, may go on now.
      loop.nudge()
    })
  }

  const cause = () => ({ actor: { kind: 'loop', id: 'dispatch' }, requestId: `dispatch-${crypto.randomUUID()}` })

  /** For all kinds at once: what is outdated holds back work of other kinds. */
  async function supersede(subjectType: SubjectType, signal: AbortSignal): Promise<number> {
    const rule = supersedeOutdated(subjectType) as unknown as Rule
    for (let total = 0; ; ) {
      const moved = await transitionEach(db, rule, { ...cause(), values: { kinds: kinds.join(',') } }, supersedeBatch)
      countMoves(tools.metrics, rule, moved.length)
      total += moved.length
      if (moved.length < supersedeBatch || signal.aborted) return total
    }
  }

  async function claimLane(effect: Effect): Promise<number> {
    const busy = [...claims].filter((claim) => claim.operation.kind === effect.kind).length
    const room = effect.concurrency - busy
    if (room <= 0) return 0
    const values = { kind: effect.kind, workerId, leaseMs: timing.leaseMs }
    const sentAt = performance.now()
    const rule = claimOperation(effect.subjectType) as unknown as Rule<typeof operation>
    const claimed = await transitionEach(db, rule, { ...cause(), values }, room).catch((error: unknown) => {
      // Another process took an operation of the same subject at the same moment: the index decided, the next pass sees it.
      if (error instanceof DatabaseFault && error.constraint === 'operation_one_per_subject') return []
      throw error
    })
    countMoves(tools.metrics, rule as unknown as Rule, claimed.length)
    for (const { row, before } of claimed) work(new Claim(effect, row, before?.state !== 'PENDING', sentAt, tools))
    return claimed.length
  }

  const loop: Loop = startLoop(
    {
      name: 'dispatch',
      everyMs: timing.pollMs,
      deadlineMs: 30_000,
      async pass(signal) {
        if (!(await isAnythingDue(db, kinds))) return {}
        const subjectTypes = [...new Set(effects.map((effect) => effect.subjectType))]
        const steps = [
          ...subjectTypes.map((subjectType) => () => supersede(subjectType, signal)),
          ...effects.map((effect) => () => claimLane(effect)),
        ]
        let moved = 0
        const errors: unknown[] = []
        for (const step of steps) {
          if (signal.aborted) break
          // A lane that fails hinders no other.
          moved += await step().catch((error: unknown) => {
            errors.push(error)
            return 0
          })
        }
        if (errors.length > 0) throw errors[0]
        return { moved }
      },
    },
    tools,
  )

  // One renewal does not wait for the one before: a connection that hangs must not cost every lease of this process.
  const heartbeat = setInterval(() => {
    renew().catch((error: unknown) => log.warn('leases could not be renewed', { count: claims.size, error }))
  }, timing.renewEveryMs)

  async function renew(): Promise<void> {
    const held = [...claims].filter((claim) => !claim.isLost)
    const sentAt = performance.now()
    const leases = await renewLeases(
      db,
      held.map(({ operation }) => ({ id: operation.id, claimToken: String(operation.claimToken) })),
      timing.leaseMs,
    )
    const found = new Map(leases.map((lease) => [lease.id, lease]))
    for (const claim of held) {
      const lease = found.get(claim.operation.id)
      // Either its end was stored a moment ago, or it was taken over.
      if (!lease) claim.lose('the claim is not ours any more')
      else {
        if (lease.renewed) claim.renewed(sentAt)
        if (lease.subjectGeneration !== null && lease.subjectGeneration > claim.operation.generation)
          claim.leave('superseded')
      }
    }
  }

  return {
    nudge: () => loop.nudge(),
    running: () => claims.size,
    async drain(timeoutMs) {
      await loop.stop()
      const reason = 'this process is shutting down'
      for (const claim of claims) claim.leave(reason)
      if (!(await emptied(claims, timeoutMs))) for (const claim of claims) claim.cut(reason)
      if (!(await emptied(claims, releaseMs))) for (const claim of claims) claim.lose(reason)
      await Promise.all([...claims].map((claim) => claim.done))
      clearInterval(heartbeat)
    },
  }
}

/** Whether all of them are done within that time. */
async function emptied(claims: ReadonlySet<Claim>, withinMs: number): Promise<boolean> {
  const late = Promise.withResolvers<false>()
  const timer = setTimeout(() => late.resolve(false), withinMs)
  const all = Promise.all([...claims].map((claim) => claim.done)).then(() => true as const)
  return await Promise.race([all, late.promise]).finally(() => clearTimeout(timer))
}
