// What a lifecycle is, and what makes one sound. A machine is declared once per entity; the guard of every UPDATE,
// the CHECK constraint, the trigger, the GraphQL enum, allowedActions and docs/lifecycles.md all come from it.
// This folder imports nothing: everything else may build on it.

interface Described {
  readonly description: string
}
/** On its way somewhere: must leave within the deadline, and `owner` sees to it. */
export interface PassingState extends Described {
  readonly kind: 'passing'
  readonly deadlineMs: number
  readonly owner: string
}
/** May last. */
export interface RestingState extends Described {
  readonly kind: 'resting'
}
/** Never left. */
export interface TerminalState extends Described {
  readonly kind: 'terminal'
}
export type StateDeclaration = PassingState | RestingState | TerminalState

/** Who may ask for a move: a caller of the API, the dispatcher's runner, or a loop by name. */
export type Asker =
  | 'caller'
  | 'runner'
  | 'dispatch'
  | 'expire'
  | 'teardown'
  | 'reconcile-instances'
  | 'measure'
  | 'sweep'
  | 'deliver'
  | 'system'

export interface Move<State extends string = string> extends Described {
  /** The states that it may start from; `birth` makes the row. An allow-list, never "not in". */
  readonly from: readonly State[] | 'birth'
  /** Where it leads; `same` changes the row and keeps its state. */
  readonly to: State | 'same'
  readonly by: readonly Asker[]
  /** The refusal that a caller gets when the state is wrong. */
  readonly refusal: string
  /** Starts new work: the generation goes up, which fences out all older work. */
  readonly newGeneration?: true
  /** The effect that the move accepts, as an operation in the same statement. */
  readonly effect?: string
  /** Extra guard columns, in words. */
  readonly guard?: string
  /** Bookkeeping that the event log does not tell: at all, or unless the state changes by it. */
  readonly untold?: 'always' | 'unchanged'
}

export interface Machine<State extends string = string, Action extends string = string> {
  /** The entity's name as in the schema, e.g. `Deployment`. */
  readonly entity: string
  /** Its table. */
  readonly table: string
  readonly states: Readonly<Record<State, StateDeclaration>>
  readonly moves: Readonly<Record<Action, Move<State>>>
}

/**
 * Checks a declaration and returns it. Refuses (throws at load): a move out of a terminal state, a state that no move
 * leads to, a passing state without a way out, a deadline or an owner, a machine without a birth or a terminal state.
 */
export function declareMachine<const State extends string, const Action extends string>(
  machine: Machine<State, Action>,
): Machine<State, Action> {
  const flaws = flawsOf(machine)
  if (flaws.length > 0) throw new Error(`lifecycle ${machine.entity} is not sound: ${flaws.join('; ')}`)
  return Object.freeze(machine)
}

/** Every flaw of a declaration, in words; empty when it is sound. */
export function flawsOf(machine: Machine): string[] {
  const flaws: string[] = []
  const moves = Object.entries(machine.moves)
  for (const [action, move] of moves) {
    const from = move.from === 'birth' ? [] : move.from
    for (const state of [...from, ...(move.to === 'same' ? [] : [move.to])]) {
      if (!machine.states[state]) flaws.push(`${action} names the undeclared state ${state}`)
    }
    if (move.from === 'birth' && move.to === 'same') flaws.push(`${action} is a birth into no state`)
    if (move.from !== 'birth' && move.from.length === 0) flaws.push(`${action} starts from no state`)
    if (move.by.length === 0) flaws.push(`nobody may ask for ${action}`)
    for (const state of from) {
      if (machine.states[state]?.kind === 'terminal') flaws.push(`${action} leaves the terminal state ${state}`)
    }
  }
  for (const [name, state] of Object.entries(machine.states)) {
    const wayOut = moves.some(
      ([, m]) => m.from !== 'birth' && m.from.includes(name) && m.to !== 'same' && m.to !== name,
    )
    if (state.kind === 'passing' && !wayOut) flaws.push(`the passing state ${name} has no way out`)
    if (state.kind === 'passing' && !(state.deadlineMs > 0)) flaws.push(`the passing state ${name} has no deadline`)
    if (state.kind === 'passing' && state.owner === '') flaws.push(`the passing state ${name} has no owner`)
    if (!reachable(machine).has(name)) flaws.push(`the state ${name} cannot be reached`)
  }
  if (!moves.some(([, move]) => move.from === 'birth')) flaws.push('it has no birth')
  if (!Object.values(machine.states).some((state) => state.kind === 'terminal')) flaws.push('it has no terminal state')
  return flaws
}

function reachable(machine: Machine): Set<string> {
  const seen = new Set<string>()
  const moves = Object.values(machine.moves)
  for (let before = -1; before !== seen.size; ) {
    before = seen.size
    for (const move of moves) {
      if (move.to !== 'same' && (move.from === 'birth' || move.from.some((state) => seen.has(state)))) seen.add(move.to)
    }
  }
  return seen
}

/** The states of a machine, in the order of their declaration. */
export const statesOf = <S extends string>(machine: Machine<S, string>): S[] => Object.keys(machine.states) as S[]

/** The states of one kind. */
export const statesOfKind = <S extends string>(machine: Machine<S, string>, kind: StateDeclaration['kind']): S[] =>
  statesOf(machine).filter((state) => machine.states[state].kind === kind)

/** All states but those named: for from-lists that are easier to read by what they leave out, still stored as a list. */
export function allBut<const S extends string>(states: Readonly<Record<S, unknown>>, ...left: S[]): S[] {
  return (Object.keys(states) as S[]).filter((state) => !left.includes(state))
}

/** Whether a move may start from a state; `null` is "no row yet". */
export const mayMove = (move: Move, state: string | null): boolean =>
  state === null ? move.from === 'birth' : move.from !== 'birth' && move.from.includes(state)

/** Whether what is on its way in `state` leads, without anybody asking, to one of `states`: then asking again helps. */
export function comesTo(machine: Machine, state: string, states: readonly string[]): boolean {
  if (machine.states[state]?.kind !== 'passing') return false
  return Object.values(machine.moves).some(
    (move) => mayMove(move, state) && !move.by.includes('caller') && move.to !== state && states.includes(move.to),
  )
}
