// Drivers that fail, hang, lie, throw, refuse, do not know, or answer when nobody waits any more: every kind of operation, at every
// call that it makes. Whatever the driver does, in the end rows and world agree, nothing was done twice, and what cannot come to
// an end by itself has a way out that Query.stuck names.
import { afterAll, beforeAll, expect } from 'vitest'
import { checksHold, collected, disagreements, misdeeds } from './agrees.ts'
import { proves } from './cell.ts'
import { type Acting, type Fault, type Kind, kinds, meets, type Spot, type Trouble, troubles } from './driver-table.ts'
import { type FaultStage, openFaultStage, type Row, tableOf, until } from './stage.ts'

let stage: FaultStage
beforeAll(async () => {
  stage = await openFaultStage()
})
afterAll(async () => {
  if (!stage) return
  try {
    await nothingIsLeft()
  } finally {
    await stage.close()
  }
})

/** Two replicas are one process after the other for a subject; so many failures are more than any bound. */
const manyFailures = 10
const cells = kinds.flatMap((kind) =>
  kind.spots.flatMap((spot) =>
    troubles
      .filter((trouble) => meets(spot, trouble))
      .map((trouble) => ({ title: `${kind.kind}, ${spot.call}: ${trouble.name}`, kind, spot, trouble })),
  ),
)

for (const { title, kind, spot, trouble } of cells) proves('driver', title, () => play(kind, spot, trouble))

let named = 0

async function play(kind: Kind, spot: Spot, trouble: Trouble): Promise<void> {
  const name = `c${++named}`
  const cell: Acting = { stage, name, rests }
  let id = kind.before ? await kind.before(cell) : ''
  let stands = true
  const isIt = (call: { ref: { subjectId: string } | null; image?: string | null }) =>
    stands && (call.ref ? call.ref.subjectId === id : call.image === name)
  const world = tableOfKind(kind) === 'resource' ? stage.outside.postgres : stage.outside.runtime
  const order = (call: string, fault: Fault, times?: number) => world.faultNext(call as never, fault, times, isIt)
  const late = trouble.late && { arrived: false, gate: held(trouble.late) }
  void late?.gate.reached.then(() => (late.arrived = true))
  function held(when: 'before' | 'after'): { reached: Promise<unknown>; release(): void } {
    const call = spot.call as never
    return when === 'before' ? world.pauseBefore(call, isIt, { deaf: true }) : world.pauseAfter(call, isIt)
  }
  if (spot.after) order(...spot.after)
  if (trouble.fault) order(spot.call, trouble.fault, trouble.times)
  const calls = () => world.log().filter((one) => one.call === spot.call && isIt(one as never))
  const before = calls().length

  id = await kind.act(cell, id)
  stage.know(id)
  if (late) {
    await untilHurried(id, () => expect(late.arrived, 'the call was never made').toBe(true))
    await takeOver(id)
  } else await untilHurried(id, () => expect(calls().length, 'the call was never made').toBeGreaterThan(before))

  if (trouble.times === Number.POSITIVE_INFINITY) {
    await standsFirm(kind, spot, id, calls)
    stands = false
  }
  await comesToAnEnd(kind, spot, trouble, id)
  if (late) {
    const { state, version } = await stage.row(id)
    const answered = calls().length
    late.gate.release()
    if (trouble.late === 'before') await until(() => expect(calls().length).toBeGreaterThan(answered))
    await rests(id, String(state))
    expect((await stage.row(id)).version).toBe(version)
  }
  expect(await collected(misdeeds(stage.outside, id))).toEqual([])
}

const tableOfKind = ({ kind }: Kind) => kind.split(/[.,]/)[0]

const untilHurried = (id: string, condition: () => void) =>
  until(async () => {
    await stage.hurry(id)
    condition()
  })

/** In that state, with nothing left to do, and the world says the same. */
async function rests(id: string, state: string): Promise<void> {
  await until(async () => {
    await stage.hurry(id)
    expect((await stage.row(id)).state).toBe(state)
    expect(await collected(disagreements(stage, id))).toEqual([])
  })
}

/** Its claim is another's from now on: whoever has it finds out, and writes nothing. It may have given the call up already. */
async function takeOver(id: string): Promise<void> {
  await stage.sql`update operation set claim_token = 'taken over', due_at = now() - interval '1 second'
    where subject_id = ${id} and state = 'RUNNING'`
}

/** While it lasts nothing is said to be done that is not; what is only asked about stays as it is. */
async function standsFirm({ goal }: Kind, spot: Spot, id: string, calls: () => readonly unknown[]): Promise<void> {
  const before = await stage.row(id)
  if (spot.call === 'observeInstance') {
    await untilHurried(id, () => expect(calls().length).toBeGreaterThan(manyFailures))
    expect(await stage.row(id)).toMatchObject({ state: goal, version: before.version })
    return
  }
  await until(async () => {
    await stage.hurry(id)
    const [work] = (await stage.operations(id)).slice(-1)
    if (isLive(work)) expect(Number(work?.failures)).toBeGreaterThanOrEqual(manyFailures)
  })
  const works = await stage.operations(id)
  if (works.some(isLive)) expect(['DELETED', 'STOPPED', 'PAUSED', 'FAILED']).not.toContain((await stage.row(id)).state)
}

const isLive = (work: Row | undefined) => ['PENDING', 'RUNNING', 'UNKNOWN'].includes(String(work?.state))

/** The goal, or FAILED where that may be the end of it; what can be neither has a way out. */
async function comesToAnEnd(kind: Kind, spot: Spot, { fault, times }: Trouble, id: string): Promise<void> {
  if (spot.irreplaceable && fault?.kind === 'alreadyGone') return await leave(id)
  const isRefused = fault?.kind === 'refuse' || spot.after?.[1].kind === 'refuse'
  const isGone = fault?.kind === 'alreadyGone' || times === Number.POSITIVE_INFINITY
  const mayFail = isGone ? kind.goal === 'HEALTHY' || spot.final : spot.final && isRefused
  const ends = mayFail ? [kind.goal, 'FAILED'] : [kind.goal]
  await until(async () => {
    await stage.hurry(id)
    expect(ends).toContain((await stage.row(id)).state)
    expect(await collected(disagreements(stage, id))).toEqual([])
  })
  if (spot.final && !spot.after && fault?.kind === 'refuse') expect((await stage.row(id)).state).toBe('FAILED')
}

/** Query.stuck names it, and the first of its remedies is a way out. */
async function leave(id: string): Promise<void> {
  const ids = await until(async () => {
    await stage.hurry(id)
    const [work] = (await stage.operations(id)).slice(-1)
    expect(Number(work?.failures)).toBeGreaterThanOrEqual(2)
    return [id, work?.id]
  })
  const query = `{ stuck(olderThanMs: 0, first: 100) { subject { id } remedies { mutation arguments } } }`
  const stuck = (await stage.data(query)).stuck as unknown as readonly Row[]
  const one = stuck.find(({ subject }) => ids.includes((subject as Row | null)?.id))
  const [way] = (one?.remedies ?? []) as { mutation: string; arguments: { input: Row } }[]
  expect(way, `stuck does not name ${id}`).toBeDefined()
  await stage.does(String(way?.mutation), way?.arguments.input as Row)
  await rests(id, 'DELETED')
}

/** All of it is deleted at last: then nothing is there, nothing was removed twice, and the log tells of all that happened. */
async function nothingIsLeft(): Promise<void> {
  const { sql, outside } = stage
  const rows = await sql<{ id: string }[]>`select id from deployment where state <> 'DELETED' union all
    select id from stack where state <> 'DELETED' union all select id from resource where state <> 'DELETED'`
  const word = { deployment: 'deleteDeployment', stack: 'deleteStack', resource: 'deleteResource' }
  for (const { id } of rows) await stage.does(word[tableOf(id) as keyof typeof word], { id }).catch(() => {})
  for (const { id } of rows) await rests(id, 'DELETED')
  expect(outside.runtime.liveRuns()).toEqual([])
  const never = new AbortController().signal
  for (const holder of [outside.runtime, outside.postgres, outside.redis])
    expect(await holder.listOwned(never)).toEqual({ kind: 'done', value: [] })
  expect(await collected(misdeeds(outside))).toEqual([])
  await until(async () => {
    const [waiting] = await sql`select count(*)::int as n from event where position is null`
    expect(waiting?.n).toBe(0)
  })
  await checksHold(stage.database.url)
}
