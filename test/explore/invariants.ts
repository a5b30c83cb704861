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
import { historyFlaws } from './history.ts'
import { bothKeys, type Play } from './play.ts'
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
    return bothKeys.open(String(value), place) !== ''
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
    // The plan of a team that ends is closed, with whatever there is.
    const closed = rows.team?.some(({ state }) => state === 'DELETING') ?? false
    wrong(!closed && Number(used) > Number(cap) && `P3 the plan has room for ${cap} ${kind}, and ${used} are there`)
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
  for (const one of answers) for (const flaw of answerFlaws(one, rows, play)) wrong(flaw)
  for (const look of [worldFlaws, unitFlaws, deliveryFlaws, positionFlaws])
    for (const flaw of look(play, rows)) wrong(flaw)
  for (const flaw of historyFlaws(play, rows, answers)) wrong(flaw)
  return flaws
}

/** Every change is an event, each begins where the one before has ended, and each is a declared move. */
function* chainFlaws(machine: Machine, row: Row, chain: readonly Row[], placed: Row | undefined): Generator<string> {
  let [state, version] = placed ? [placed.state, Number(placed.version ?? 1)] : [null, 0]
  for (const event of chain) {
    const step = `${event.kind} ${event.from_state ?? ''}→${event.to_state} of ${machine.entity}`
    // A row that was made by a call before the play has its birth here, too.
    if (event.from_state !== state && !silently(machine, state, event.from_state))
      yield `${step} does not begin at ${state ?? 'nothing'}, where the event before it has ended`
    if (event.version !== version + 1 && !(tellsLess(machine) && Number(event.version) > version))
      yield `${step} is version ${event.version}, after ${version}`
    const move = machine.moves[String(event.kind)]
    const from = event.from_state as string | null
    if (!move || !(move.from === 'birth' ? from === null : from !== null && move.from.includes(from)))
      yield `P1 ${step} is not declared`
    if (over.includes(String(from)) && !over.includes(String(event.to_state))) yield `P1 ${step} brings it back`
    ;[state, version] = [event.to_state, Number(event.version)]
  }
  const same = row.state === state || silently(machine, state, row.state)
  if (!same || (row.version !== version && !(tellsLess(machine) && Number(row.version) > version)))
    yield `${machine.entity} is ${row.state} at version ${row.version}, its events end at ${state} and ${version}`
}

/** Some of its moves are bookkeeping that the log does not tell of, so versions have gaps there. */
const tellsLess = ({ moves }: Machine): boolean => Object.values(moves).some(({ untold }) => untold !== undefined)

/** Whether moves that the log does not tell of lead there. */
function silently({ moves }: Machine, from: unknown, to: unknown): boolean {
  const reached = new Set([from])
  const untold = Object.values(moves).filter((move) => move.untold === 'always' && move.to !== 'same')
  for (let before = -1; before !== reached.size; ) {
    before = reached.size
    for (const move of untold)
      if (move.from === 'birth' ? reached.has(null) : move.from.some((state) => reached.has(state)))
        reached.add(move.to)
  }
  return from !== to && reached.has(to)
}

interface Told {
  readonly refusal?: string
  readonly replayed?: boolean
  readonly operation?: Row | null
  readonly instance?: Row
}

/** A heartbeat of it has come during the play; most heartbeats leave no event. */
function isHeard({ scene }: Play, { id, heartbeat_at }: Row): boolean {
  const before = scene.tables.instance?.find((row) => row.id === id)?.heartbeat_at
  return Date.parse(String(heartbeat_at)) > (before ? Date.parse(String(before)) : 0)
}

/** Accepted is what is there; refused is nothing. */
function* answerFlaws({ name, requestId, kind, answer }: Answered, rows: Snapshot, play: Play): Generator<string> {
  if (answer instanceof Error) {
    // A pass that finds the database busy has failed, and the next one tries again.
    const isBusy = answer instanceof DatabaseFault && answer.kind === 'busy'
    if (kind !== 'loop' || !isBusy) yield `P9 ${name} has thrown: ${answer.message}`
    return
  }
  if (kind !== 'caller') return
  const { refusal, replayed, operation, instance } = answer as Told
  const traces = (rows.event ?? []).filter((event) => event.request_id === requestId)
  if (refusal !== undefined && traces.length > 0) yield `P3 ${name} was refused (${refusal}) and has changed something`
  const heard = rows.instance?.some((row) => row.id === instance?.id && isHeard(play, row))
  if (refusal === undefined && !replayed && traces.length === 0 && !heard)
    yield `P3 ${name} was accepted and has changed nothing`
  if (operation && !(rows.operation ?? []).some(({ id }) => id === operation.id))
    yield `P2 ${name} was told of an operation that is not there`
}

/** A run is asked about as what it is, a unit has one, and what runs is known; nobody who has been heard of is lost. */
function* unitFlaws(play: Play, rows: Snapshot): Generator<string> {
  const { driver, asked, died } = play
  const units = (rows.instance ?? []).filter(({ runtime }) => runtime !== 'EXTERNAL')
  const unitOf = new Map<string, string>()
  const living = new Map<string, string>()
  for (const [at, { ref, effects }] of driver.log().entries())
    for (const { effect, instanceId } of effects) {
      if (instanceId === null) continue
      const unit = unitOf.get(instanceId) ?? String(ref?.incarnation)
      const before = living.get(unit)
      const isDead = died.some((run) => run.instanceId === before && run.after <= at)
      if (effect !== 'started') living.delete(unit)
      else {
        if (before !== undefined && !isDead) yield `P5 ${unit} was started while a run of it was alive`
        unitOf.set(instanceId, unit)
        living.set(unit, instanceId)
      }
    }
  for (const { incarnation, instanceId } of asked)
    if (unitOf.get(instanceId) !== incarnation)
      yield `P1 ${incarnation} was asked about the run ${instanceId}, of another`
  for (const [run, all] of Map.groupBy(
    units.filter(({ instance_id }) => instance_id !== null),
    ({ instance_id }) => instance_id,
  ))
    if (all.length > 1) yield `P5 ${all.length} instances have the run ${run}`
  for (const { id, incarnation, state, instance_id } of units) {
    const run = driver.liveRuns().find((each) => each.incarnation === incarnation)?.run
    const up = ['ONLINE', 'DEGRADED'].includes(String(state))
    if (run && up && run.instanceId !== instance_id) yield `P1 ${id} is ${state} by a run that is not the living one`
  }
  for (const row of rows.instance ?? [])
    if (row.state === 'OFFLINE' && isHeard(play, row)) yield `P3 ${row.id} is OFFLINE, and has been heard of`
}

/** Positions that were given follow each other without a gap, and those of one subject in the order of its events. */
function* positionFlaws({ scene }: Play, rows: Snapshot): Generator<string> {
  const placed = scene.tables.event?.length ?? 0
  const given = (rows.event ?? []).filter(({ position }) => position !== null).slice(placed)
  const positions = given.map(({ position }) => Number(position)).sort((one, other) => one - other)
  if (positions.some((position, at) => at > 0 && position !== (positions[at - 1] ?? 0) + 1))
    yield `P6 the positions ${positions} have a gap`
  for (const [subject, events] of Map.groupBy(given, ({ subject_id }) => subject_id))
    if (events.some(({ position }, at) => at > 0 && Number(position) < Number(events[at - 1]?.position)))
      yield `P6 the events of ${subject} are not in order`
}

/** What is told to webhooks: everything once for each claim, in order, and never to one that is not told. */
function* deliveryFlaws({ received, scene }: Play, rows: Snapshot): Generator<string> {
  const deliveries = rows.webhook_delivery ?? []
  const placed = new Map((scene.tables.webhook_delivery ?? []).map((row) => [row.id, row]))
  const letters = Map.groupBy(received, ({ headers }) => headers['webhook-id'])
  for (const [message, all] of Map.groupBy(deliveries, (row) => row.message_id)) {
    const attempts = all.reduce(
      (sum, { id, attempt }) => sum + Number(attempt) - Number(placed.get(id)?.attempt ?? 0),
      0,
    )
    const told = letters.get(String(message))?.length ?? 0
    if (told > attempts) yield `P2 ${message} was sent ${told} times, by ${attempts} claims`
    const arrived = all.filter(({ id, state }) => state === 'DELIVERED' && placed.get(id)?.state !== 'DELIVERED')
    if (arrived.length > told) yield `P2 ${message} is DELIVERED ${arrived.length} times, and was sent ${told} times`
  }
  const positions = received.map(({ headers }) => {
    const row = deliveries.find(
      ({ message_id, redelivery_of }) => !redelivery_of && message_id === headers['webhook-id'],
    )
    return { of: `${row?.webhook_id} ${row?.subject_id}`, position: Number(row?.position), id: String(row?.id) }
  })
  const again = new Set(deliveries.flatMap(({ redelivery_of }) => (redelivery_of ? [String(redelivery_of)] : [])))
  for (const [of, all] of Map.groupBy(positions, (each) => each.of)) {
    const first = all.filter(({ id }) => !again.has(id)).map(({ position }) => position)
    if (first.some((position, at) => position < (first[at - 1] ?? 0))) yield `P6 ${of} was told out of order: ${first}`
  }
  for (const hook of rows.webhook ?? []) {
    const before = scene.tables.webhook?.find(({ id }) => id === hook.id)
    const switched = (rows.event ?? []).some(
      (event) => event.subject_id === hook.id && event.from_state !== event.to_state,
    )
    if (!before || hook.state !== 'ACTIVE' || switched) continue
    for (const { position } of scene.tables.event ?? []) {
      const wanted = Number(position) > Number(before.cursor) && Number(position) <= Number(hook.cursor)
      const stored = deliveries.filter((row) => row.webhook_id === hook.id && row.position === position)
      if (wanted && stored.length === 0)
        yield `P3 the cursor of ${hook.id} has passed ${position}, and nothing is stored`
    }
  }
}

/** What drivers were asked for, and what they have: effects never go back in time, and nothing outlives its row. */
function* worldFlaws({ driver, provisioner, interruptions }: Play, rows: Snapshot): Generator<string> {
  for (const line of interruptions) yield `P2 a runner was interrupted: ${line}`
  const newest = new Map<string, number>()
  const removed = new Map<string, number>()
  for (const { ref, fence, effects, call, result } of [...driver.log(), ...provisioner.log()]) {
    // What has ended by itself is told with the next call, even of one that was turned away.
    if (!ref || !fence || effects.length === 0 || result === 'stale') continue
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
