// Loops and runners as actors: one pass of the dispatcher over the kinds of one type of subject, with the product's own rules,
// claims and effects, and passes of the loops that end things.
import { DatabaseFault } from '../../src/db/fault.ts'
import type { operation } from '../../src/db/operation.ts'
import { Claim, timing } from '../../src/loops/claim.ts'
import { deploymentEffects } from '../../src/loops/deployment-effect.ts'
import type { Effect } from '../../src/loops/effect.ts'
import { expireLoop } from '../../src/loops/expire.ts'
import type { LoopDeclaration } from '../../src/loops/loop.ts'
import { reconcileInstancesLoop } from '../../src/loops/reconcile-instances.ts'
import { resourceEffects } from '../../src/loops/resource-effect.ts'
import { stackEffects } from '../../src/loops/stack-effect.ts'
import { sweepLoop } from '../../src/loops/sweep.ts'
import { teardownLoop } from '../../src/loops/teardown.ts'
import { createMetrics } from '../../src/metrics.ts'
import { claimOperation, type SubjectType, supersedeOutdated } from '../../src/resolvers/operation-rule.ts'
import { type Database, type Rule, transitionEach } from '../../src/resolvers/transition.ts'
import { testSealing } from '../row.ts'
import type { Seat } from './gate.ts'
import { inTime } from './history.ts'
import type { Actor, Play } from './play.ts'

const metrics = createMetrics({ strict: true })

/** The effects of each type of subject, built once for each seat. */
const effectsOf: Readonly<Record<SubjectType, (play: Play, db: Database) => Effect[]>> = {
  Deployment: ({ driver }, db) => deploymentEffects(db, driver, testSealing),
  Resource: ({ provisioner }, db) => resourceEffects(db, () => provisioner, testSealing),
  Stack: ({ driver }, db) => stackEffects(db, driver, testSealing),
}

/** One pass of the dispatcher: supersedes, claims each of the kinds, and carries out what it has claimed. Returns how many. */
export async function dispatch(
  play: Play,
  { db, pid }: Seat,
  subjectType: SubjectType,
  kinds?: readonly string[],
  requestId = inTime,
): Promise<number> {
  const workerId = `worker-${pid}`
  // Claims name the worker, so that their events tell who has what.
  const cause = { actor: { kind: 'loop', id: workerId }, requestId }
  const effects = effectsOf[subjectType](play, db).filter(({ kind }) => kinds?.includes(kind) ?? true)
  const known = effects.map(({ kind }) => kind).join(',')
  await transitionEach(
    db,
    supersedeOutdated(subjectType) as unknown as Rule,
    { ...cause, values: { kinds: known } },
    200,
  )
  let claimed = 0
  for (const effect of effects) {
    const sentAt = performance.now()
    const rule = claimOperation(subjectType) as unknown as Rule<typeof operation>
    const values = { kind: effect.kind, workerId, leaseMs: timing.leaseMs }
    const rows = await transitionEach(db, rule, { ...cause, values }, effect.concurrency).catch((error: unknown) => {
      // As the dispatcher takes it: another process has taken an operation of the same subject, and the index decided.
      if (error instanceof DatabaseFault && error.constraint === 'operation_one_per_subject') return []
      throw error
    })
    claimed += rows.length
    const tools = { db, metrics, log: play.log, workerId, timing }
    await Promise.all(
      rows.map(({ row, before }) => new Claim(effect, row, before?.state !== 'PENDING', sentAt, tools).done),
    )
  }
  return claimed
}

/** A replica's worker, for kinds that the scene can come to; what it makes of them is seen in the rows. */
export const runs = (subjectType: SubjectType, ...kinds: string[]): Actor => ({
  kind: 'runner',
  run: async (play, seat) => void (await dispatch(play, seat, subjectType, kinds.length > 0 ? kinds : undefined)),
})

/** Passes of the dispatcher until nothing is left to be done, whatever its back-off or lease; what is left all the same. */
export const settles =
  (subjectType: SubjectType) =>
  async (play: Play): Promise<string | null> => {
    const { stage, scene } = play
    const [seat] = stage.seats
    const waiting =
      () => stage.control`with unpatient as (update instance set restart_due_at = now() - interval '1 second'
        where team_id = ${scene.teamId} and restart_due_at > now())
      update operation set due_at = now() - interval '1 second'
      where team_id = ${scene.teamId} and subject_type = ${subjectType} and state in ('PENDING', 'RUNNING', 'UNKNOWN')
      returning kind, state, outcome`
    for (let passes = 0; seat && passes < passesAtMost; passes++) {
      const left = await waiting()
      if (left.length === 0) return null
      const kinds = [...new Set(left.map(({ kind }) => String(kind)))]
      await dispatch(play, seat, subjectType, kinds, 'settle')
    }
    return `what was accepted does not come to an end: ${JSON.stringify(await waiting())}`
  }
const passesAtMost = 8

const never = new AbortController().signal
const nobody = () => {}
const stopsAt = (names: readonly string[]) => (label: string) => names.some((name) => label.startsWith(name))

/** One pass of a loop; how many rows it has moved. It stops at the statements of those names only. */
export const passes = (loop: (play: Play, db: Database) => LoopDeclaration, ...names: string[]): Actor => ({
  kind: 'loop',
  run: async (play, { db }) => (await loop(play, db).pass(never)).moved ?? 0,
  stops: stopsAt(names),
})
export const expires = (...names: string[]): Actor => passes((_, db) => expireLoop(db, nobody), ...names)
export const tearsDown = (...names: string[]): Actor => passes((_, db) => teardownLoop(db, nobody), ...names)
export const sweeps = (...names: string[]): Actor =>
  passes(({ log }, db) => sweepLoop(db, [], { told: nobody, log }), ...names)
/** What looks after EXTERNAL instances: nobody is asked. */
export const settlesExternal = (...names: string[]): Actor =>
  passes(({ driver }, db) => reconcileInstancesLoop(db, driver, nobody), ...names)

/** A pass that asks about runs, and follows what it is told: others come between its steps. */
export const reconciles = (...names: string[]): Actor => ({
  kind: 'runner',
  run: async ({ driver }, { db }) => void (await reconcileInstancesLoop(db, driver, nobody).pass(never)),
  stops: stopsAt([...names, 'takeAskable', 'call observeInstance', 'answer observeInstance']),
})
