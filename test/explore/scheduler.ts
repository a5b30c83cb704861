// Runs tasks under one schedule: everybody is parked at a gate, one is let go on, and the next choice is made when whoever
// moved is parked, has ended, or is seen by PostgreSQL to wait for a lock of another. Who waits is no choice, and runs on when
// it is freed; that its wait ends now, as `lock_timeout` would end it, is one. Nothing here is guessed or timed.
import { setImmediate as turn } from 'node:timers/promises'
import type postgres from 'postgres'
import { type Gate, inTask, type Seat } from './gate.ts'

export interface Task {
  readonly name: string
  readonly seat: Seat
  readonly run: () => Promise<unknown>
  /** Labels at which it stops; what touches nothing that others touch may pass. Default: all. */
  readonly stops?: (label: string) => boolean
  /** It is one decision: its wait for a lock may be ended, and where nothing races it is run from its start to its end. */
  readonly decides: boolean
}

/** One step: what was chosen, out of what, and where the task stood. The first option is the one that preempts nobody. */
export interface Step {
  readonly choice: string
  readonly options: readonly string[]
  readonly label: string
  /** Where each task stood that could go on. */
  readonly labels: Readonly<Record<string, string>>
}

export interface Played {
  /** A digit lets that task go on; a letter ends the wait of that task: `a` of task 0, `b` of task 1 … */
  readonly schedule: string
  readonly steps: readonly Step[]
  /** By task; what was thrown stands as the error. */
  readonly answers: readonly unknown[]
  /** All tasks that are left wait for each other. */
  readonly deadlock: boolean
}

/** Which of the options is taken at that step. */
export type Choose = (options: readonly string[], at: number) => string

interface Running extends Task {
  readonly index: number
  readonly arrivals: { label: string; release: () => void }[]
  /** It was let go while another of its calls was parked already: that one does not tell that it has come to rest. */
  crowded: boolean
  ended: boolean
  blocked: boolean
  /** Its wait was ended, and it has not shown up since. */
  timedOut: boolean
  answer: unknown
}

const letter = (index: number) => String.fromCharCode(97 + index)
/** Longer than any step takes; what is beyond hangs for another reason than a lock. */
const stuckAfterMs = 20_000

/**
 * Plays the tasks from their start to their end. Throws where the schedule cannot be followed. `atomic` leaves only schedules
 * without a race: every decision is whole, and what does more than decide is interrupted only between two of its steps.
 */
export async function play(
  control: postgres.Sql,
  tasks: readonly Task[],
  choose: Choose,
  { atomic = false } = {},
): Promise<Played> {
  let abandoned = false
  let changed = Promise.withResolvers<void>()
  const tell = () => {
    changed.resolve()
    changed = Promise.withResolvers<void>()
  }
  const start = (task: Task, index: number): Running => {
    const state = { crowded: false, ended: false, blocked: false, timedOut: false }
    const running: Running = { ...task, index, arrivals: [], ...state, answer: null }
    const stops = (label: string) => task.stops?.(label) !== false
    const wait = (label: string) => {
      running.timedOut = false
      if (abandoned || !stops(label)) return Promise.resolve()
      const { promise, resolve } = Promise.withResolvers<void>()
      running.arrivals.push({ label, release: resolve })
      tell()
      return promise
    }
    const gate: Gate = Object.assign(wait, { stops })
    const end = (answer: unknown) => {
      Object.assign(running, { ended: true, timedOut: false, answer })
      tell()
    }
    inTask.run(gate, () => task.run().then(end, end))
    return running
  }
  const patience = AbortSignal.timeout(stuckAfterMs)
  const impatient = new Promise<void>((resolve) => patience.addEventListener('abort', () => resolve(), { once: true }))
  const all = tasks.map(start)
  const byPid = new Map(all.map((task) => [task.seat.pid, task]))
  const steps: Step[] = []
  const atRest = (task: Running) =>
    task.ended || (task.arrivals.length > 0 && !task.crowded && !task.seat.doing().inFlight)
  const parked = (task: Running) => !task.ended && !task.blocked && task.arrivals.length > 0

  /** Until everybody is parked, has ended or is blocked. */
  async function settle(): Promise<void> {
    for (const task of all) task.blocked = false
    for (;;) {
      for (const task of all.filter((each) => each.crowded)) {
        // Its other calls go on within this process: a few turns of the loop bring them to their gates.
        for (let turns = 0; turns < 3; turns++) await turn()
        task.crowded = false
      }
      const moving = all.filter((task) => !atRest(task))
      if (moving.length === 0) return
      if (patience.aborted) throw new Error(`${moving.map(({ name }) => name)} came to no gate`)
      const maybeBlocked = moving.length > 1 || all.some((task) => task.seat.doing().holds)
      if (!maybeBlocked || moving.some((task) => task.timedOut)) {
        // Whoever is parked with one call while a statement of another is under way rests when that is answered.
        const held = moving.filter((task) => task.arrivals.length > 0).map(({ seat }) => seat.answered())
        await Promise.race([changed.promise, impatient, ...held])
        continue
      }
      // Asked once the server has left the others a moment to be answered in, which most are: asking costs as much as a step.
      const asked = control<{ pid: number; by: number[] }[]>`with moment as materialized (select pg_sleep(0.0005))
        select pid, pg_blocking_pids(pid) as by from moment, unnest(${moving.map(({ seat }) => seat.pid)}::int[]) as pid`
      const rows = await Promise.race([asked.execute(), changed.promise])
      if (!rows) continue
      if (moving.some(atRest)) continue
      if (rows.every(({ by }) => by.length > 0 && by.every((pid) => byPid.has(pid)))) {
        for (const task of moving) task.blocked = true
        return
      }
    }
  }

  /** What may be done now; first what goes on with the task that moved last. */
  function options(): string[] {
    const free = all.filter(parked).map(({ index }) => String(index))
    const last = steps.at(-1)?.choice
    if (last !== undefined && free.includes(last)) free.unshift(...free.splice(free.indexOf(last), 1))
    const [mover] = all.filter((task) => String(task.index) === last && parked(task))
    if (atomic && mover && (mover.decides || mover.arrivals[0]?.label.endsWith(' commit'))) return [String(last)]
    const late = all.filter((task) => task.blocked && task.decides).map(({ index }) => letter(index))
    return [...free, ...late]
  }

  async function step(choice: string): Promise<string> {
    const task = all.find(({ index }) => choice === String(index) || choice === letter(index))
    if (!task) throw new Error(`there is no task ${choice}`)
    if (task.blocked) {
      task.timedOut = true
      await task.seat.timeOut()
      return 'its wait for a lock is over'
    }
    const arrival = task.arrivals.shift()
    task.crowded = task.arrivals.length > 0
    arrival?.release()
    return arrival?.label ?? ''
  }

  /** Lets everybody run to the end, whatever comes of it. */
  async function abandon(): Promise<void> {
    abandoned = true
    while (all.some(({ ended }) => !ended)) {
      for (const task of all) for (const { release } of task.arrivals.splice(0)) release()
      const pids = all.filter(({ ended }) => !ended).map(({ seat }) => seat.pid)
      await control`select pg_cancel_backend(pid) from unnest(${pids}::int[]) as pid where cardinality(pg_blocking_pids(pid)) > 0`
      await turn()
    }
  }

  let deadlock = false
  try {
    for (;;) {
      await settle()
      if (all.every(({ ended }) => ended)) break
      if (!all.some(parked)) {
        deadlock = true
        break
      }
      const open = options()
      const choice = choose(open, steps.length)
      if (!open.includes(choice)) throw new Unplayable(unplayable(steps, choice, open))
      const labels = Object.fromEntries(
        all.filter(parked).map(({ index, arrivals }) => [index, arrivals[0]?.label ?? '']),
      )
      const label = await step(choice)
      steps.push({ choice, options: open, label, labels })
    }
  } finally {
    await abandon()
  }
  const schedule = steps.map(({ choice }) => choice).join('')
  return { schedule, steps, answers: all.map(({ answer }) => answer), deadlock }
}

/** A schedule that could not be followed: somebody else was first where one commit has freed several. */
export class Unplayable extends Error {}

const unplayable = (steps: readonly Step[], choice: string, open: readonly string[]) =>
  `step ${steps.length} cannot be ${choice}, only ${open.join(' or ')}, after ${steps.map((step) => `${step.choice} ${step.label}`).join(', ')}`
