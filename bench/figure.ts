// What a benchmark tells: lines of one table, each with what was measured and what is to be reached.

/** One line of the table; `reached` is null for what is only told. */
export interface Figure {
  readonly what: string
  readonly measured: string
  readonly target: string
  readonly reached: boolean | null
}
export interface Bench {
  /** What was done, in one sentence or two: what the figures stand for. */
  readonly about: string
  readonly figures: readonly Figure[]
  /** What the figures were made of, kept beside them. */
  readonly rounds?: Readonly<Record<string, unknown>>
}

/** A line of the table; without a target it is only told. */
export const figure = (what: string, measured: string, target = '', reached: boolean | null = null): Figure => ({
  what,
  measured,
  target,
  reached,
})
