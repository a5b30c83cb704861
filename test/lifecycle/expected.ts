// How expectations about a lifecycle are written down: by hand, from what was decided, never from the declaration that
// they check. A grid has one line per move and one column per state; the code and the database are both held to it.

export interface ExpectedLifecycle<State extends string> {
  readonly passing: readonly State[]
  readonly resting: readonly State[]
  readonly terminal: readonly State[]
  readonly births: readonly State[]
  /** Every change of state that the database allows, and no other. */
  readonly pairs: Readonly<Record<State, readonly State[]>>
}

export interface Cell {
  readonly action: string
  readonly from: string
  /** The state that it leads to; null where the move is refused. */
  readonly to: string | null
  readonly newGeneration: boolean
  /** Whether the event log tells of it. */
  readonly told: boolean
  /** How it is refused: by name for callers, `refused` for runners and loops. */
  readonly refusal: string
  /** The kind of the operation that it queues; null for none. */
  readonly effect: string | null
}

/**
 * Reads a grid. Its first line names the columns: `action`, `refusal`, `effect`, then one short name per state, in the order
 * of `states`. A cell is `-` for a refusal, another refusal's name in brackets, or the short name of the state it leads to,
 * with `+` where the generation goes up and `~` where the move leaves no event.
 */
export function cellsOf(grid: string, states: readonly string[]): Cell[] {
  const [head = '', ...lines] = grid.trim().split('\n')
  const short = head.trim().split(/\s+/).slice(3)
  if (short.length !== states.length) throw new Error(`${short.length} columns for ${states.length} states`)
  const stateOf = (name: string) => {
    const state = states[short.indexOf(name)]
    if (state === undefined) throw new Error(`${name} is no column`)
    return state
  }
  return lines.flatMap((line) => {
    const [action = '', refusal = '', effect = '', ...cells] = line.trim().split(/\s+/)
    if (cells.length !== states.length) throw new Error(`${action} has ${cells.length} cells`)
    return cells.map((cell, column) => {
      const moves = cell !== '-' && !cell.startsWith('(')
      return {
        action,
        from: states[column] ?? '',
        to: moves ? stateOf(cell.replace(/[+~]/, '')) : null,
        newGeneration: cell.endsWith('+'),
        told: moves && !cell.endsWith('~'),
        refusal: cell.startsWith('(') ? cell.slice(1, -1) : refusal,
        effect: moves && effect !== '-' ? effect : null,
      }
    })
  })
}
