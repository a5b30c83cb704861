// Whether what happened could have happened one after the other. The tasks are run in every order that races nowhere (a runner
// is not one decision, so callers come between its steps), and what they were answered and left is collected; a play must come
// out as one of these. The exceptions: whoever was told Busy has done nothing, a pass leaves to the next one what others hold,
// and who looks several times before it decides may name another of the reasons that there are.
import type { Play } from './play.ts'
import type { Row, Snapshot } from './stage.ts'

/** What came of the tasks, as text: the answer of each, and all that is left. */
export interface Outcome {
  readonly answers: readonly string[]
  readonly end: string
}

/** The outcome of some of the tasks in some order without a race. */
export interface Serial extends Outcome {
  readonly cast: readonly number[]
  readonly schedule: string
}

/** An answer without what differs from play to play: the refusal and the state that it tells of, or the state that was reached. */
export function toldOf(answer: unknown): string {
  if (answer instanceof Error) return `thrown: ${answer.message}`
  if (typeof answer !== 'object' || answer === null) return `${answer}`
  const { refusal, facts } = answer as { refusal?: string; facts?: Row }
  if (refusal !== undefined) return [refusal, ...statesIn(facts ?? {})].join(' ')
  const counts = Object.entries(answer).filter(([, value]) => typeof value === 'number' || typeof value === 'boolean')
  return ['accepted', ...counts.map(([name, value]) => `${name}=${value}`), ...statesIn(answer as Row)].join(' ')
}

const statesIn = (facts: Row): string[] =>
  Object.entries(facts).flatMap(([name, value]) => {
    const state = (value as { state?: unknown } | null)?.state
    return name === 'operation' || typeof state !== 'string' ? [] : [`${name}:${state}`]
  })

/** What of each table says what became of a wish; counters and events have their own checks. */
const meaning: Readonly<Record<string, readonly string[]>> = {
  team: ['state'],
  deployment: ['state', 'generation', 'image', 'ttl_policy', 'env', 'expires_at'],
  resource: ['state', 'generation', 'expires_at', 'next_password'],
  stack: ['state', 'generation', 'environment', 'services', 'env', 'spec_version'],
  secret: ['state', 'environment', 'revision'],
  promotion_approval: ['state'],
  operation: ['state', 'kind', 'generation'],
  member: ['state', 'role'],
  invitation: ['state'],
  api_token: ['state'],
  instance: ['state', 'generation', 'service', 'runtime', 'restarts'],
  webhook: ['state', 'url', 'previous_secret'],
  webhook_delivery: ['state', 'redelivery_of'],
}

/** All that is left, without ids, times and secrets. */
export function endOf(play: Play, rows: Snapshot): string {
  const lines = Object.entries(meaning).flatMap(([table, columns]) =>
    (rows[table] ?? [])
      .filter((row) => !isTrace(table, row))
      .map((row) => [table, ...columns.map((column) => plain(row[column], column))].join(' ')),
  )
  const runs = play.driver.liveRuns().map(({ run }) => `runs ${run.image} ${run.generation}`)
  return [...lines, ...runs].sort().join('\n')
}

/** Units that were taken away again tell how far a roll-out had come when it was overtaken, which no whole order shows. */
const isTrace = (table: string, { state, runtime }: Row) =>
  table === 'instance' && state === 'REMOVED' && runtime !== 'EXTERNAL'

function plain(value: unknown, column: string): string {
  if (column === 'next_password') return value === null ? 'steady' : 'rotating'
  if (column === 'previous_secret' || column === 'redelivery_of') return value === null ? 'first' : 'again'
  if (column === 'url') return String(value).split('/').at(-1) ?? ''
  if (column === 'expires_at')
    return value === null ? 'never' : `${Math.round((Date.parse(String(value)) - Date.now()) / 3_600_000)}h`
  if (column === 'env')
    return JSON.stringify(
      Object.entries(value as Record<string, { value: string }>).map(([key, entry]) => [key, entry.value]),
    )
  return typeof value === 'object' ? JSON.stringify(value) : `${value}`
}

/** All choices of some of so many tasks, all of them first. */
export const casts = (count: number): number[][] =>
  Array.from({ length: 2 ** count }, (_, bits) =>
    Array.from({ length: count }, (_, task) => task).filter((task) => !(bits & (1 << task))),
  )

/** Whether each task was run from its start to its end, with nobody in between. */
const isWhole = ({ cast, schedule }: Serial) => schedule.replace(/(.)\1+/g, '$1').length === cast.length

/** Whoever was answered so may be left out: it has done nothing. */
const isNothing = (answer: string, loop: boolean) =>
  /^Busy\b/.test(answer) || (loop && /^(0|thrown: busy\b.*)$/.test(answer))

/** A refusal that is told from several looks, each true when it was taken, may be another one than any order tells of. */
const isSame = (answer: string, told: string | undefined, looks: boolean) =>
  answer === told || (looks && isRefused(answer) && isRefused(told ?? ''))
const isRefused = (answer: string) => /^[A-Z]/.test(answer)

/** What of a task matters to whether it is explained. */
interface Explaining {
  readonly kind: string
  readonly looks?: boolean
}

/** Whether some order explains it: the answers and what is left; and what is left, of the same tasks one after the other. */
export function explained(
  { answers, end }: Outcome,
  serials: readonly Serial[],
  tasks: readonly Explaining[],
): boolean {
  const same = serials.filter((serial) => serial.end === end)
  return same.some(
    ({ cast, answers: told }) =>
      answers.every((answer, task) =>
        cast.includes(task)
          ? isSame(answer, told[task], tasks[task]?.looks ?? false)
          : isNothing(answer, tasks[task]?.kind === 'loop'),
      ) && same.some((other) => isWhole(other) && other.cast.join() === cast.join()),
  )
}
