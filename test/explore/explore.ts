// Explores some actors of a subject: the serial orders first, then every schedule, each on a scene of its own; after each the
// invariants, and whether some order explains it. What fails is shrunk, and told with the command that plays it again.
import { casts, endOf, explained, type Outcome, type Serial, toldOf } from './explain.ts'
import type { Seat } from './gate.ts'
import { flawsOf } from './invariants.ts'
import { type Actor, begin, type Subject } from './play.ts'
import { everySchedule, follow, type Run, randomSchedules, shrink } from './schedule.ts'
import { type Choose, type Played, play as runTasks, type Task } from './scheduler.ts'
import type { Stage } from './stage.ts'

export interface Finding {
  readonly schedule: string
  readonly flaws: readonly string[]
  readonly steps: readonly string[]
  readonly command: string
}
export interface Explored {
  readonly name: string
  readonly schedules: number
  readonly ms: number
  readonly finding: Finding | null
}
export interface How {
  /** Preempt at most so often; default: no bound. */
  readonly bound?: number
  /** And so many random schedules. */
  readonly random?: number
  readonly seed?: number
  /** Stop after so many schedules. */
  readonly atMost?: number
}

/** Actors by name; the same one may come twice. */
export type Cast = readonly string[]

/** The actors of a subject, met on one scene. */
export class Meeting {
  readonly name: string
  readonly #stage: Stage
  readonly #subject: Subject
  readonly #cast: Cast
  readonly #actors: readonly Actor[]
  readonly #all: readonly number[]
  /** Orders of two that go many steps are too many: those that change sides once, and twice where none of those explains. */
  readonly #changesAtMost: readonly number[]
  readonly #serials = new Map<number, Promise<Serial[]>>()
  readonly #flaws = new WeakMap<Played, string[]>()

  constructor(stage: Stage, subject: Subject, cast: Cast) {
    this.#stage = stage
    this.#subject = subject
    this.#cast = cast
    this.#all = cast.map((_, at) => at)
    this.#actors = cast.map((name) => subject.actors[name] ?? unknownActor(subject, name))
    const manyStepped = this.#actors.filter(({ kind }) => kind === 'runner').length > 1
    this.#changesAtMost = manyStepped ? [1, 2] : [Number.POSITIVE_INFINITY]
    this.name = `${subject.name}/${cast.join('+')}`
  }

  /** Plays all schedules, or those that `how` says; stops at the first that fails. */
  async explore({ bound, random = 0, seed = 1, atMost = Number.POSITIVE_INFINITY }: How = {}): Promise<Explored> {
    const started = performance.now()
    let schedules = 0
    const early = await this.#serial(this.#changesAtMost[0]).then(
      () => null,
      (error: unknown) => this.#raceless(error),
    )
    if (early) return { name: this.name, schedules, ms: performance.now() - started, finding: early }
    const of = async (source: AsyncGenerator<Played>): Promise<Finding | null> => {
      for await (const played of source) {
        schedules++
        if (this.flaws(played).length > 0) return this.#finding(played)
        if (schedules >= atMost) break
      }
      return null
    }
    const finding =
      (await of(everySchedule(this.run, bound))) ??
      (random > 0 ? await of(randomSchedules(this.run, this.#cast.length, random, seed)) : null)
    return { name: this.name, schedules, ms: performance.now() - started, finding }
  }

  /** Plays one schedule; beyond its end nobody is preempted. */
  async replay(schedule: string): Promise<Finding> {
    const played = await follow(this.run, schedule)
    return this.#told(played, this.flaws(played))
  }

  flaws(played: Played): readonly string[] {
    return this.#flaws.get(played) ?? []
  }

  /** One schedule, on a scene of its own, and what is wrong with it. */
  readonly run: Run = async (choose) => {
    const { played, outcome, flaws } = await this.#play(this.#all, choose)
    if (flaws.length === 0) flaws.push(...(await this.#unexplained(outcome)))
    this.#flaws.set(played, flaws)
    return played
  }

  /** Nothing where some order explains it; else what it is, and what orders come to. */
  async #unexplained(outcome: Outcome): Promise<string[]> {
    let whole: Serial[] = []
    for (const changes of this.#changesAtMost) {
      const serials = await this.#serial(changes)
      if (explained(outcome, serials, this.#actors)) return []
      whole = serials.filter(({ cast }) => cast.length === this.#all.length)
    }
    return [`no order explains ${show(outcome)}`, ...new Set(whole.map(show))]
  }

  #serial(changes = Number.POSITIVE_INFINITY): Promise<Serial[]> {
    const known = this.#serials.get(changes) ?? this.#playSerial(changes)
    this.#serials.set(changes, known)
    return known
  }

  /** What comes of the tasks, and of each choice of some of them, where nothing races. */
  async #playSerial(changes: number): Promise<Serial[]> {
    const serials: Serial[] = []
    for (const cast of casts(this.#all.length)) {
      const outcomes = new WeakMap<Played, Outcome>()
      const run: Run = async (choose) => {
        const { played, outcome, flaws } = await this.#play(cast, choose, true)
        if (flaws.length > 0) throw new Raceless(played, flaws, cast)
        outcomes.set(played, outcome)
        return played
      }
      for await (const played of everySchedule(run, changes)) {
        serials.push({ ...(outcomes.get(played) as Outcome), cast, schedule: played.schedule })
      }
    }
    return serials
  }

  async #play(cast: readonly number[], choose: Choose, atomic = false) {
    const play = await begin(this.#stage, this.#subject)
    try {
      const parts = cast.map((at) => ({
        ...(this.#actors[at] as Actor),
        name: String(this.#cast[at]),
        requestId: crypto.randomUUID(),
      }))
      const tasks = parts.map(({ name, requestId, run, kind, stops }, nth): Task => {
        const seat = this.#stage.seats[nth] as Seat
        return {
          name,
          seat,
          run: () => run(play, seat, requestId),
          decides: kind !== 'runner',
          ...(stops ? { stops } : {}),
        }
      })
      const played = await runTasks(this.#stage.control, tasks, choose, { atomic })
      const late = await this.#subject.settles?.(play)
      const rows = await this.#stage.snapshot(play.scene.teamId)
      const answered = parts.map((part, nth) => ({
        ...part,
        caller: part.kind === 'caller',
        answer: played.answers[nth],
      }))
      const flaws = flawsOf(play, rows, answered)
      if (late) flaws.push(`P10 ${late}`)
      if (played.deadlock) flaws.unshift('all tasks that are left wait for each other')
      const answers: string[] = []
      for (const [nth, at] of cast.entries()) answers[at] = toldOf(played.answers[nth])
      return { played, outcome: { answers, end: endOf(play, rows) }, flaws }
    } finally {
      await this.#stage.clear(play.scene.teamId)
    }
  }

  async #finding(worst: Played): Promise<Finding> {
    const played = await shrink(this.run, (one) => this.flaws(one).length > 0, worst)
    return this.#told(played, this.flaws(played))
  }

  #raceless(error: unknown): Finding {
    if (!(error instanceof Raceless)) throw error
    const who = error.cast.map((at) => this.#cast[at]).join(', ')
    return this.#told(error.played, [`wrong without any race, of ${who} alone`, ...error.flaws])
  }

  #told(played: Played, flaws: readonly string[]): Finding {
    return {
      schedule: played.schedule,
      flaws,
      steps: played.steps.map(
        ({ choice, label }) =>
          `${choice} ${this.#cast[/\d/.test(choice) ? Number(choice) : choice.charCodeAt(0) - 97]}: ${label}`,
      ),
      command: `PAWL_EXPLORE="${this.name}:${played.schedule}" npx vitest run test/explore/explore.test.ts`,
    }
  }
}

/** Something is wrong already where one goes on after the other. */
class Raceless extends Error {
  readonly played: Played
  readonly flaws: readonly string[]
  readonly cast: readonly number[]

  constructor(played: Played, flaws: Finding['flaws'], cast: Serial['cast']) {
    super(`wrong without a race: ${flaws.join('; ')}`)
    this.played = played
    this.flaws = flaws
    this.cast = cast
  }
}

function unknownActor(subject: Subject, name: string): never {
  throw new Error(`${subject.name} has no actor ${name}, only ${Object.keys(subject.actors).join(', ')}`)
}

const show = ({ answers, end }: Outcome) => `[${answers.join(' | ')}] ${end.replaceAll('\n', '; ')}`

/** What a finding is, for people. */
export const words = ({ name, finding }: Explored): string =>
  finding ? [name, ...finding.flaws, ...finding.steps, finding.command].join('\n  ') : `${name}: nothing`

/** Every pair of two of these, and each with itself. */
export const pairsOf = (actors: Subject['actors']): (readonly [string, string])[] =>
  Object.keys(actors).flatMap((one, at, names) =>
    names.slice(actors[one]?.lone ? at + 1 : at).map((other) => [one, other] as const),
  )
