// What must hold after every play, whatever its schedule: promises P1 to P6 as far as rows, events and the fakes' logs can
// show them. Each check says what is wrong in words; none of them knows which operations were played.
import { DatabaseFault } from '../../src/db/fault.ts'
import type { UsageKind } from '../../src/db/team.ts'
import { liveDeploymentStates } from '../../src/lifecycle/deployment.ts'
import type { Machine } from '../../src/lifecycle/machine.ts'
import { machines } from '../../src/lifecycle/machines.ts'
import { liveResourceStates } from '../../src/lifecycle/resource.ts'
import { liveStackStates } from '../../src/lifecycle/stack.ts'
import { secretPlace } from '../../src/resolvers/reference.ts'
import { testSealing } from '../row.ts'
import { historyFlaws } from './history.ts'
import type { Play } from './play.ts'
import { counted } from './scene.ts'
import type { Row, Snapshot } from './stage.ts'

/** One task's request and what it was answered. */
export interface Answered {
  readonly name: string
  readonly requestId: string
  readonly kind: string
  readonly answer: unknown
  /** The idempotency key that it has sent. */
  readonly key?: string | undefined
}

const machineByTable = new Map(machines.map((machine) => [machine.table, machine]))
const subjectTables = ['deployment', 'resource', 'stack']
const liveOperations = ['PENDING', 'RUNNING', 'UNKNOWN']
const held = ['RUNNING', 'UNKNOWN']
/** The states that nothing comes back from. */
const over = ['EXPIRED', 'DELETING', 'DELETED', 'REVOKED', 'REMOVED', 'EXECUTED', 'REJECTED', 'WITHDRAWN']

/** In which states a name is held. */
const named: Readonly<Record<string, readonly string[]>> = {
  deployment: liveDeploymentStates,
  resource: liveResourceStates,
  stack: liveStackStates,
  secret: ['ACTIVE'],
}

/** Whether what is stored was sealed for that row and that revision. */
function opens({ id, team_id, revision, value }: Row): boolean {
  const place = secretPlace({ id: String(id), teamId: String(team_id), revision: Number(revision) })
  try {
    return testSealing.open(String(value), place) !== ''
  } catch {
    return false
  }
}

/** Everything that is wrong. */
export function flawsOf(play: Play, rows: Snapshot, answers: readonly Answered[]): string[] {
  const flaws: string[] = []
  const wrong = (flaw: string | false | undefined) => void (flaw && flaws.push(flaw))
  const events = Map.groupBy(rows.event ?? [], (event) => String(event.subject_id))
  const operations = Map.groupBy(rows.operation ?? [], (work) => String(work.subject_id))

  for (const [table, machine] of machineByTable) {
    for (const row of rows[table] ?? []) {
      const chain = events.get(String(row.id)) ?? []
      const placed = (play.scene.tables[table] ?? []).find(({ id }) => id === row.id)
      for (const flaw of chainFlaws(machine, row, chain, placed)) wrong(`P6 ${flaw}`)
    }
  }
  for (const table of subjectTables) {
    for (const row of rows[table] ?? []) {
      const work = operations.get(String(row.id)) ?? []
      const running = work.filter(({ state }) => held.includes(String(state)))
      wrong(running.length > 1 && `P5 ${running.length} operations of ${row.id} are RUNNING or UNKNOWN at once`)
      const passing = machineByTable.get(table)?.states[String(row.state)]?.kind === 'passing'
      const awaited = work.some(
        (one) => liveOperations.includes(String(one.state)) && one.generation === row.generation,
      )
      wrong(passing && !awaited && `P10 ${row.id} is ${row.state} and no live operation will change that`)
      const ahead = work.find(({ generation }) => Number(generation) > Number(row.generation))
      wrong(ahead && `P5 the operation ${ahead.kind} is of a generation that ${row.id} never had`)
      const ends = work.filter(({ kind }) => /deprovision|tear_down/.test(String(kind)))
      wrong(ends.length > 1 && `P2 ${row.id} is ended by ${ends.length} operations`)
    }
  }
  for (const { kind, used, cap } of rows.plan_usage ?? []) {
    const there = counted(rows)[kind as UsageKind] ?? 0
    wrong(used !== there && `P3 the plan counts ${used} ${kind}, and there are ${there}`)
    wrong(Number(used) > Number(cap) && `P3 the plan has room for ${cap} ${kind}, and ${used} are there`)
  }
  for (const [table, states] of Object.entries(named)) {
    const names = (rows[table] ?? []).filter(({ state }) => states.includes(String(state)))
    const holders = Map.groupBy(names, ({ environment, name }) => `${name} in ${environment}`)
    for (const [name, all] of holders)
      wrong(all.length > 1 && `P3 ${all.length} live rows of ${table} are named ${name}`)
  }
  for (const secret of rows.secret ?? [])
    wrong(secret.state === 'ACTIVE' && !opens(secret) && `P3 the value of ${secret.id} cannot be opened`)
  for (const approval of rows.promotion_approval ?? []) {
    const uses = (rows.event ?? []).filter((event) => event.subject_id === approval.id && event.to_state === 'EXECUTED')
    wrong(uses.length > 1 && `P4 ${approval.id} was used ${uses.length} times`)
    const launched = (rows.operation ?? []).filter(({ id }) => id === uses[0]?.operation_id)
    wrong(
      approval.state === 'EXECUTED' &&
        launched.length === 0 &&
        `P4 ${approval.id} is burnt: it is EXECUTED and nothing was launched`,
    )
  }
  for (const one of answers) for (const flaw of answerFlaws(one, rows)) wrong(flaw)
  for (const flaw of worldFlaws(play, rows)) wrong(flaw)
  for (const flaw of historyFlaws(play, rows, answers)) wrong(flaw)
  return flaws
}

/** Every change is an event, each begins where the one before has ended, and each is a declared move. */
function* chainFlaws(machine: Machine, row: Row, chain: readonly Row[], placed: Row | undefined): Generator<string> {
  let [state, version] = placed ? [placed.state, Number(placed.version ?? 1)] : [null, 0]
  for (const event of chain) {
    const step = `${event.kind} ${event.from_state ?? ''}→${event.to_state} of ${machine.entity}`
    // A row that was made by a call before the play has its birth here, too.
    if (event.from_state !== state)
      yield `${step} does not begin at ${state ?? 'nothing'}, where the event before it has ended`
    if (event.version !== version + 1) yield `${step} is version ${event.version}, after ${version}`
    const move = machine.moves[String(event.kind)]
    const from = event.from_state as string | null
    if (!move || !(move.from === 'birth' ? from === null : from !== null && move.from.includes(from)))
      yield `P1 ${step} is not declared`
    if (over.includes(String(from)) && !over.includes(String(event.to_state))) yield `P1 ${step} brings it back`
    ;[state, version] = [event.to_state, Number(event.version)]
  }
  if (row.state !== state || row.version !== version)
    yield `${machine.entity} is ${row.state} at version ${row.version}, its events end at ${state} and ${version}`
}

/** Accepted is what is there; refused is nothing. */
function* answerFlaws({ name, requestId, kind, answer }: Answered, rows: Snapshot): Generator<string> {
  if (answer instanceof Error) {
    // A pass that finds the database busy has failed, and the next one tries again.
    const isBusy = answer instanceof DatabaseFault && answer.kind === 'busy'
    if (kind !== 'loop' || !isBusy) yield `P9 ${name} has thrown: ${answer.message}`
    return
  }
  if (kind !== 'caller') return
  const { refusal, replayed, operation } = answer as { refusal?: string; replayed?: boolean; operation?: Row | null }
  const traces = (rows.event ?? []).filter((event) => event.request_id === requestId)
  if (refusal !== undefined && traces.length > 0) yield `P3 ${name} was refused (${refusal}) and has changed something`
  if (refusal === undefined && !replayed && traces.length === 0) yield `P3 ${name} was accepted and has changed nothing`
  if (operation && !(rows.operation ?? []).some(({ id }) => id === operation.id))
    yield `P2 ${name} was told of an operation that is not there`
}

/** What drivers were asked for, and what they have: effects never go back in time, and nothing outlives its row. */
function* worldFlaws({ driver, provisioner, interruptions }: Play, rows: Snapshot): Generator<string> {
  for (const line of interruptions) yield `P2 a runner was interrupted: ${line}`
  const newest = new Map<string, number>()
  const removed = new Map<string, number>()
  for (const { ref, fence, effects, call } of [...driver.log(), ...provisioner.log()]) {
    if (!ref || !fence || effects.length === 0) continue
    const seen = newest.get(ref.subjectId) ?? 0
    if (fence.generation < seen) yield `P5 ${call} of generation ${fence.generation} took effect after one of ${seen}`
    newest.set(ref.subjectId, Math.max(seen, fence.generation))
    const unit = ref.incarnation
    const gone = effects.filter(({ effect }) => effect === 'removed').length
    removed.set(unit, (removed.get(unit) ?? 0) + gone)
  }
  for (const [unit, times] of removed) if (times > 1) yield `P2 ${unit} was removed ${times} times`
  const living = Map.groupBy(driver.liveRuns(), ({ subjectId, incarnation }) => `${subjectId} ${incarnation}`)
  for (const [unit, runs] of living) if (runs.length > 1) yield `P5 ${unit} runs ${runs.length} times`
  for (const table of ['deployment', 'stack'])
    for (const { id, state } of rows[table] ?? [])
      if ((state === 'DELETED' || state === 'STOPPED') && driver.liveRuns().some(({ subjectId }) => subjectId === id))
        yield `P2 ${id} is ${state} and runs`
}
