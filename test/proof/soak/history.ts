// What callers asked for and were told, a JSON object a line: `invoke` when a request is sent, then `ok`, `refusal` or `unknown`.
// One that was never answered, or whose answer says so, stays open: it may have taken effect at any time since, or never. A call
// is one wish; its attempts have one idempotency key, and each its own request id, by which events and operations name it.
import { appendFileSync } from 'node:fs'

export interface Invoked {
  readonly kind: 'invoke'
  readonly atMs: number
  /** Of this attempt: what events and operations name. */
  readonly request: string
  readonly call: string
  readonly caller: string
  readonly mutation: string
  readonly key: string | null
  /** Why no such call may ever win: a viewer's, or one about what is another team's; null for all others. */
  readonly hopeless: string | null
  readonly input: unknown
  readonly replica: number
}

export interface Answered {
  readonly kind: 'ok' | 'refusal' | 'unknown'
  readonly atMs: number
  readonly request: string
  /** 0 where no answer came. */
  readonly status: number
  /** The member of the result, the code of an error, or what went wrong on the way. */
  readonly member: string
  readonly replayed: boolean
  /** What a payload names: its objects by field. */
  readonly names: Readonly<Record<string, string>>
  /** What the answer has that the schema or the contract does not allow. */
  readonly flaws: readonly string[]
}

export type Line = Invoked | Answered

/** An attempt with what became of it. */
export interface Attempt extends Omit<Invoked, 'kind' | 'atMs'>, Omit<Answered, 'atMs' | 'request'> {
  readonly sentAtMs: number
  /** Infinity while it is open. */
  readonly toldAtMs: number
}

/** Keeps the history, and writes it to a file as it grows. */
export class History {
  readonly #path: string
  readonly lines: Line[] = []
  constructor(path: string) {
    this.#path = path
  }
  add(line: Line): void {
    this.lines.push(line)
    appendFileSync(this.#path, `${JSON.stringify(line)}\n`)
  }
}

const open = { kind: 'unknown', status: 0, member: 'no answer', replayed: false, names: {}, flaws: [] } as const

/** The attempts of a history, in the order in which they were sent. */
export function attemptsOf(lines: readonly Line[]): Attempt[] {
  const answers = new Map(lines.flatMap((line) => (line.kind === 'invoke' ? [] : [[line.request, line]])))
  return lines.flatMap((line) => {
    if (line.kind !== 'invoke') return []
    const { atMs: sentAtMs, ...invoked } = line
    const { atMs, ...answer } = answers.get(line.request) ?? { ...open, atMs: Number.POSITIVE_INFINITY }
    const toldAtMs = answer.kind === 'unknown' ? Number.POSITIVE_INFINITY : atMs
    return [{ ...invoked, ...answer, sentAtMs, toldAtMs }]
  })
}
