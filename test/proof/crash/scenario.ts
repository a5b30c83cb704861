// Pieces of work, and a death at every moment of each. All are done once undisturbed, by a process that tells each statement and
// each call outside that it makes. Then for each of these, before it and after, the work is due anew and a process stops there
// and is killed: in one process several works stand still, each at a moment of its own. Victims follow each other, and meet
// what those before have left; in the end the survivor goes on with all of it.
import { vi } from 'vitest'
import { record } from '../record.ts'
import type { Orders } from '../replica.ts'
import { flawsOf } from './flaw.ts'
import type { Caller, Stage, When, WorldCall } from './stage.ts'

/** One time that the work is to be done. */
export interface Case {
  /** Statements are about it that have one of these as a parameter, or as their name. */
  readonly marks: readonly string[]
  /** Whether a call outside is about it. */
  concerns(call: WorldCall): boolean
  /** Throws while it is not done as it should be: completely, and once. */
  finished(): Promise<void>
}

export interface Scenario {
  /** The operation or the loop. */
  readonly of: string
  /** Makes ready what it takes, with workers at work; then, with nobody at work, what is returned lets it be due. */
  prepare(stage: Stage, caller: Caller, nth: number): Promise<() => Promise<Case>>
  /** One pass does all of it that is due: a process stands at one of its moments. */
  readonly passes?: boolean
  /** Statements that it comes to only when others are faster; tests of races force that. */
  readonly byChance?: readonly string[]
  /** Outdates what would otherwise be waited for, beside operations. */
  hurry?(stage: Stage): Promise<unknown>
}

/** A moment: before or after a statement, or the effect of a call, for the nth time. */
export interface Point {
  readonly scenario: Scenario
  readonly when: When
  readonly of: 'statement' | 'call'
  readonly name: string
  readonly nth: number
}
export const labelOf = ({ scenario, when, name, nth }: Point): string =>
  `${scenario.of}/${when} ${name}${nth > 1 ? ` #${nth}` : ''}`

/** What became of the deaths of one operation or loop. */
export interface Deaths {
  readonly points: number
  readonly failures: readonly string[]
}

/** `<operation or loop>` or that with `/<point>`: what alone is to be played. */
const wanted = process.env.PAWL_CRASH
export const isWanted = ({ of }: Pick<Scenario, 'of'>): boolean => wanted === undefined || wanted.split('/')[0] === of
const isWantedPoint = (point: Point) => !wanted?.includes('/') || wanted === labelOf(point)

/** What is done again and again is met the first two times; what is looked for, and a pass of a loop, once. */
const timesAtMost = 2
/** A process has eight connections for its work, and each statement that is stopped keeps one. */
const stoppedAtMost = 5
const preparedAtOnce = 6
/** Whoever stops in here keeps all others from their work: these die alone. */
const isShared = ({ name }: Pick<Point, 'name'>) =>
  /^(claimOperation|supersedeOutdated|claimDelivery|read:isAnythingDue)\b/.test(name)
/** Far longer than any of it takes. */
const patient = { timeout: 30_000, interval: 20 }

/** Plays all of them; what is wrong stands with how to play it again. */
export async function dieEverywhere(
  stage: Stage,
  scenarios: readonly Scenario[],
  orders: Orders = {},
): Promise<Map<string, Deaths>> {
  const caller = await stage.team()
  say(`${scenarios.length} works are done undisturbed`)
  const points = (await recorded(stage, caller, scenarios, orders)).filter(isWantedPoint)
  const ready: (() => Promise<Case>)[] = []
  for (let from = 0; from < points.length; from += preparedAtOnce) {
    const some = points.slice(from, from + preparedAtOnce)
    ready.push(...(await Promise.all(some.map(({ scenario }, at) => scenario.prepare(stage, caller, from + at + 1)))))
  }
  await stage.quiet()
  say(`${points.length} moments`)
  stage.freeze()
  const played: Played[] = []
  for (const batch of batches(points)) {
    const works = []
    for (const at of batch) works.push({ point: points[at] as Point, work: (await ready[at]?.()) as Case })
    played.push(...(await die(stage, works, orders)))
    say(`${played.length} of ${points.length} moments: ${works.map(({ point }) => labelOf(point)).join(', ')}`)
  }
  stage.thaw()
  say('the survivor goes on')
  const failures: [of: string, failure: string][] = []
  for (const { point, work, came } of played) {
    const flaw = came
      ? await finished(work, () => Promise.all([stage.hurry(), point.scenario.hurry?.(stage)]))
      : 'it never came to that moment'
    record('crash', { of: point.scenario.of, point: labelOf(point).replace(/^.*?\//, ''), kept: flaw === null })
    if (flaw !== null)
      failures.push([
        point.scenario.of,
        `${labelOf(point)}: ${flaw}\n  PAWL_CRASH="${labelOf(point)}" npm run test:proof -- test/proof/crash`,
      ])
  }
  const flaws = await flawsOf(stage, caller)
  return new Map(
    scenarios.map(({ of }) => [
      of,
      {
        points: points.filter(({ scenario }) => scenario.of === of).length,
        failures: [...failures.flatMap(([whose, failure]) => (whose === of ? failure : [])), ...flaws],
      },
    ]),
  )
}

const say = (line: string) => void process.stdout.write(`${line}\n`)

interface Work {
  readonly point: Point
  readonly work: Case
}
interface Played extends Work {
  readonly came: boolean
}

/** Which moments are met in one process. */
function batches(points: readonly Point[]): number[][] {
  const found: number[][] = []
  for (const [at, point] of points.entries()) {
    const open = found.find(
      (batch) =>
        !isShared(point) &&
        batch.length < stoppedAtMost &&
        batch.every(
          (other) =>
            !isShared(points[other] as Point) && !(point.scenario.passes && points[other]?.scenario === point.scenario),
        ),
    )
    if (open) open.push(at)
    else found.push([at])
  }
  return found
}

/** Does all of them undisturbed, in one process: the moments that there are, in their order. */
async function recorded(
  stage: Stage,
  caller: Caller,
  scenarios: readonly Scenario[],
  orders: Orders,
): Promise<Point[]> {
  const due = await Promise.all(scenarios.map((scenario) => scenario.prepare(stage, caller, 0)))
  await stage.quiet()
  stage.freeze()
  const works: Case[] = []
  for (const accept of due) works.push(await accept())
  const points: Point[] = []
  const note = (at: number, of: Point['of'], name: string) => {
    const scenario = scenarios[at] as Scenario
    if (scenario.byChance?.includes(name)) return
    const nth = points.filter((point) => point.scenario === scenario && point.name === name).length / 2 + 1
    if (nth <= (isShared({ name }) || scenario.passes ? 1 : timesAtMost))
      for (const when of ['before', 'after'] as const) points.push({ scenario, when, of, name, nth })
  }
  const { child } = stage.victim(
    { ...orders, tells: works.map(({ marks }) => marks) },
    {
      at(when, call) {
        if (when === 'before')
          for (const [at, work] of works.entries()) if (work.concerns(call)) note(at, 'call', call.call)
        return false
      },
      told: ({ statement, of = 0 }) => void (statement && note(of, 'statement', statement)),
    },
  )
  for (const [at, scenario] of scenarios.entries()) {
    const flaw = await finished(works[at] as Case)
    if (flaw !== null) throw new Error(`${scenario.of}, undisturbed: ${flaw}`)
  }
  await stage.kill(child)
  stage.thaw()
  return points
}

/** A victim that is killed when all of them stand where they should. */
async function die(stage: Stage, works: readonly Work[], orders: Orders): Promise<Played[]> {
  const came = new Set<number>()
  const met = works.map(() => 0)
  const stops = works.flatMap(({ point: { of, name: statement, nth, when }, work: { marks: about } }, at) =>
    of === 'statement' ? [{ at, stop: { about, statement, nth, when } }] : [],
  )
  const { child } = stage.victim(
    { ...orders, stopAt: stops.map(({ stop }) => stop) },
    {
      at: (when, call) => {
        const found = works.findIndex(
          ({ point, work }, at) =>
            point.of === 'call' &&
            point.when === when &&
            point.name === call.call &&
            work.concerns(call) &&
            ++(met[at] as number) === point.nth,
        )
        if (found >= 0) came.add(found)
        return found >= 0
      },
      told: ({ stopped }) => void (stopped !== undefined && came.add(stops[stopped]?.at ?? -1)),
    },
  )
  await stage.kill(child, () => came.size === works.length)
  return works.map((work, at) => ({ ...work, came: came.has(at) }))
}

/** Lets it come to its end; what is wrong, null for nothing. */
async function finished(work: Case, hurry: () => Promise<unknown> = async () => {}): Promise<string | null> {
  const ends = async () => {
    await work.finished().catch(async (error: Error) => {
      await hurry()
      throw error
    })
  }
  return await vi.waitFor(ends, patient).then(
    () => null,
    (error: Error) => error.message,
  )
}
