// Which schedules there are. All of them are had depth first: each run follows a prefix and then preempts nobody, and tells
// at every step what else could have been done; the last such step with something untried is where the next prefix ends. Of
// schedules that differ only in the order of steps that do not concern each other, one is played.
import { type Choose, type Played, type Step, Unplayable } from './scheduler.ts'

/** How a run is asked for: it follows `choose` from its start to its end. */
export type Run = (choose: Choose) => Promise<Played>

/** Follows the prefix, then goes on with whoever moved last, as long as that can be. */
export const following =
  (prefix: string): Choose =>
  (options, at) =>
    prefix[at] ?? options[0] ?? ''

/**
 * Plays the schedule, and beyond its end goes on without preemption. Where a commit frees several who wait for it, PostgreSQL and
 * the machine decide who is first: then it is played again until it comes out as asked for.
 */
export async function follow(run: Run, schedule: string): Promise<Played> {
  for (let tries = 1; ; tries++) {
    try {
      return await run(following(schedule))
    } catch (error) {
      if (!(error instanceof Unplayable) || tries === triesAtMost) throw error
    }
  }
}
const triesAtMost = 50

/** How often a task was interrupted although it could have gone on, or its wait was ended. */
export const preemptions = (steps: readonly Step[]): number =>
  steps.filter(({ choice, options }, at) => costs(choice, options, steps[at - 1]?.choice)).length

const costs = (choice: string, options: readonly string[], last: string | undefined) =>
  /[a-z]/.test(choice) || (last !== undefined && choice !== last && options.includes(last))

/** Every schedule that makes a difference, or, with a bound, every one that preempts at most so often. */
export async function* everySchedule(run: Run, bound = Number.POSITIVE_INFINITY): AsyncGenerator<Played> {
  for (let prefix: string | null = ''; prefix !== null; ) {
    const played: Played = await follow(run, prefix)
    yield played
    prefix = nextPrefix(played.steps, bound)
  }
}

function nextPrefix(steps: readonly Step[], bound: number): string | null {
  for (let at = steps.length - 1; at >= 0; at--) {
    const { choice, options } = steps[at] as Step
    const before = steps.slice(0, at)
    const spent = preemptions(before)
    const next = options
      .slice(options.indexOf(choice) + 1)
      .filter((option) => bound < Number.POSITIVE_INFINITY || !isRepeat(option, steps[at] as Step, before.at(-1)))
      .find((option) => spent + Number(costs(option, options, before.at(-1)?.choice)) <= bound)
    if (next !== undefined) return before.map((step) => step.choice).join('') + next
  }
  return null
}

/**
 * Whether the two steps could change places without a difference, and the other order comes first: of all schedules that are
 * the same but for such steps, the one that is least in the order of tasks is played, and has no such place.
 */
function isRepeat(option: string, { labels }: Step, last: Step | undefined): boolean {
  if (last === undefined || !/\d/.test(option) || !/\d/.test(last.choice) || option >= last.choice) return false
  // The other order is played only where it could have been chosen: a decision that is to be whole is not interrupted.
  if (!last.options.includes(option)) return false
  return last.labels[option] === labels[option] && commute(last.label, String(labels[option]))
}

/**
 * What a driver answers concerns its caller alone; calls of drivers touch no row, and statements no workload; a look sees what
 * was committed, so only a commit can change what it sees. Whatever takes locks has its place.
 */
function commute(one: string, other: string): boolean {
  const either = (is: (label: string) => boolean) => is(one) || is(other)
  const both = (is: (label: string) => boolean) => is(one) && is(other)
  const isCall = (label: string) => label.startsWith('call ')
  if (either((label) => label.startsWith('answer '))) return true
  if (either(isCall)) return !both(isCall)
  return either((label) => label.startsWith('look ')) && !either((label) => label.endsWith(' commit'))
}

/** Schedules of tasks that have a random priority each, which changes at random now and then; the same for the same seed. */
export async function* randomSchedules(run: Run, tasks: number, count: number, seed: number): AsyncGenerator<Played> {
  const random = seeded(seed)
  for (let nth = 0; nth < count; nth++) {
    const rank = Array.from({ length: 2 * tasks }, random)
    const rankOf = (option: string) =>
      rank[/[a-z]/.test(option) ? tasks + option.charCodeAt(0) - 97 : Number(option)] ?? 0
    yield await run((options) => {
      if (random() < 0.2) rank[Math.floor(random() * rank.length)] = random()
      return options.reduce((best, option) => (rankOf(option) > rankOf(best) ? option : best))
    })
  }
}

/** Numbers from 0 to 1 (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Of all schedules that fail, one that preempts least. */
export async function shrink(
  run: Run,
  fails: (played: Played) => Promise<boolean> | boolean,
  worst: Played,
): Promise<Played> {
  const most = preemptions(worst.steps)
  for (let bound = 0; bound < most; bound++) {
    for await (const played of everySchedule(run, bound)) if (await fails(played)) return played
  }
  return worst
}
