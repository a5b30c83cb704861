// Whether rows and world agree, and whether anything happened twice, out of order or for nothing: said in words, of one subject
// or of all. None of it knows which fault there was.
import { expect } from 'vitest'
import { openPool } from '../../../src/db/client.ts'
import { runCheck } from '../../../src/resolvers/check.ts'
import { eventChecks } from '../../../src/resolvers/event-check.ts'
import { rowChecks } from '../../../src/resolvers/row-check.ts'
import { testSealing } from '../../row.ts'
import type { FakeOutside } from '../fleet.ts'
import { type FaultStage, type Row, tableOf } from './stage.ts'

interface Placed {
  readonly state?: string
  readonly instanceId?: string
}

const live = ['PENDING', 'RUNNING', 'UNKNOWN']
const openPasses = ['BUILDING', 'DEPLOYING', 'STOPPING', 'EXPIRED', 'DELETING', 'PROVISIONING', 'PAUSING', 'RESUMING']

/** What a row at rest says and the world does not, or the other way round. */
export async function* disagreements(
  stage: Pick<FaultStage, 'outside' | 'sql' | 'row' | 'operations'>,
  id: string,
): AsyncGenerator<string> {
  const row = await stage.row(id)
  const work = (await stage.operations(id)).filter(({ state }) => live.includes(String(state)))
  for (const { kind, state, outcome } of work) yield `${kind} is ${state} still (${outcome})`
  if (openPasses.includes(String(row.state))) yield `it is ${row.state} still`
  else yield* worldOf(stage.outside, row, tableOf(id))
  const units = await stage.sql<
    { id: string; state: string; instanceId: string }[]
  >`select id, state, instance_id as "instanceId"
    from instance where subject_id = ${id} and state in ('ONLINE', 'DEGRADED')`
  const runs = stage.outside.runtime.liveRuns()
  for (const unit of units)
    if (!runs.some(({ run }) => run.instanceId === unit.instanceId))
      yield `its instance ${unit.id} is ${unit.state} as ${unit.instanceId}, which does not run`
}

function* worldOf({ runtime, postgres }: FakeOutside, row: Row, table: string): Generator<string> {
  const { id, state } = row
  const subjectId = String(id)
  const runs = runtime.liveRuns().filter((one) => one.subjectId === subjectId)
  const differs = (some: typeof runs, wanted: readonly unknown[]) =>
    JSON.stringify(some.map(({ run }) => run.instanceId).sort()) !== JSON.stringify([...wanted].sort())
  if (table === 'deployment') {
    if (differs(runs, state === 'HEALTHY' ? [row.instance_id] : []))
      yield `it is ${state} of ${row.instance_id}, and ${runs.map(({ run }) => run.instanceId)} runs`
  } else if (table === 'stack') {
    // A service that is not wanted any more may run on where its removal has failed with the roll-out.
    const wanted = (row.services as { name: string }[]).map(({ name }) => name)
    const placed = (row.placed ?? {}) as Record<string, Placed>
    const said = runs.filter(({ incarnation }) => wanted.includes(incarnation.slice(incarnation.indexOf('-') + 1)))
    const healthy = wanted.filter((name) => placed[name]?.state === 'HEALTHY' && state !== 'DELETED')
    const told = healthy.map((name) => placed[name]?.instanceId)
    if (differs(said, told)) yield `it is ${state} with ${told}, and ${said.map(({ run }) => run.instanceId)} run`
    if (state === 'HEALTHY' && healthy.length < wanted.length) yield `it is HEALTHY, and of ${wanted} ${healthy} are`
    if (state !== 'FAILED' && said.length < runs.length) yield `of what is not wanted any more something runs`
  } else yield* clientOf(postgres, row)
  // What a roll-out that has failed was to take away may run on as it was.
  if (state !== 'FAILED')
    for (const { run } of runs)
      if (run.generation !== row.generation) yield `what runs is of generation ${run.generation}`
}

/** What a client of a resource would see. */
function* clientOf(postgres: FakeOutside['postgres'], row: Row): Generator<string> {
  const { id, state, incarnation, connection } = row
  const ref = { subjectId: String(id), incarnation: String(incarnation) }
  const there = postgres.world.exists(ref)
  const isLost = state === 'DELETED' || state === 'FAILED'
  if (there === isLost) yield `it is ${state}, and it is ${there ? 'there' : 'not there'}`
  if (isLost || !there) return
  const url = testSealing.open(String(connection), [String(row.team_id), String(id), 'connection'])
  let seen: string
  try {
    seen = postgres.world.connect(url).writable ? 'ACTIVE' : 'SUSPENDED'
  } catch {
    seen = 'PAUSED'
  }
  if (seen !== state) yield `it is ${state}, and a client finds it ${seen}`
}

/** What must never have happened, as the world has written it down: of one subject, or of all. */
export function* misdeeds({ runtime, postgres, redis }: FakeOutside, id?: string): Generator<string> {
  const counts = new Map<string, number>()
  const newest = new Map<string, number>()
  for (const { ref, fence, effects, call } of [...runtime.log(), ...postgres.log(), ...redis.log()]) {
    if (!ref || !fence || effects.length === 0 || (id !== undefined && ref.subjectId !== id)) continue
    const unit = `${ref.subjectId} ${ref.incarnation}`
    for (const { effect } of effects) {
      const key = effect === 'removed' ? `removed ${unit}` : `${effect} ${unit} ${fence.operationId}`
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    for (const [of, at] of [
      [unit, fence.generation],
      [`${unit} ${fence.operationId}`, fence.attempt],
    ] as const) {
      const seen = newest.get(of) ?? 0
      if (at < seen) yield `${call} for ${of} took effect at ${at}, after ${seen}`
      newest.set(of, Math.max(seen, at))
    }
  }
  for (const [what, times] of counts)
    if (times > 1 && /^(started|made|removed) /.test(what)) yield `${what}: ${times} times`
}

/** The database's own checks: of the log of events, and of rows against it. */
export async function checksHold(url: string): Promise<void> {
  const pool = openPool({ url, purpose: 'worker', slots: 1, statementTimeoutMs: 60_000 })
  try {
    for (const check of [...eventChecks, ...rowChecks]) {
      const { lines } = await runCheck(pool.db, check)
      expect(lines, `the check ${check.name}`).toEqual([])
    }
  } finally {
    await pool.close({ timeoutMs: 0 })
  }
}

/** All that is wrong, collected. */
export async function collected(lines: AsyncIterable<string> | Iterable<string>): Promise<string[]> {
  const all: string[] = []
  for await (const line of lines) all.push(line)
  return all
}
