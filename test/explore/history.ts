// What must hold of the way on which things have come to where they are, as their events tell it: who held which work, what was
// expired when, who has changed what. Part of the invariants: none of these knows which operations were played.
import type { Answered } from './invariants.ts'
import type { Play } from './play.ts'
import type { Row, Snapshot } from './stage.ts'

/** The request of claims that wait for leases as everybody does; after the actors have gone, leases are made to be over. */
export const inTime = 'explore'
const held = ['RUNNING', 'UNKNOWN']
const live = ['PENDING', ...held]
const dead = ['DELETED', 'REMOVED', 'REVOKED']

const timeOf = (value: unknown) => Date.parse(String(value))

/** What is wrong with how it came to be, in words. */
export function* historyFlaws(play: Play, rows: Snapshot, answers: readonly Answered[]): Generator<string> {
  const events = rows.event ?? []
  yield* claimFlaws(play, rows, events)
  yield* expiryFlaws(rows, events)
  yield* restartFlaws(rows)
  yield* teamFlaws(rows)
  yield* keyFlaws(answers)
  const ours = new Set((rows.api_token ?? []).map(({ id }) => id))
  for (const { actor_kind, actor_id, kind, subject_id } of events)
    if (actor_kind === 'token' && !ours.has(actor_id)) yield `P7 a stranger, ${actor_id}, did ${kind} to ${subject_id}`
  for (const { id, incarnation, state } of rows.resource ?? []) {
    const there = play.provisioner.world.exists({ subjectId: String(id), incarnation: String(incarnation) })
    const wasMade = events.some((event) => event.subject_id === id && event.kind === 'markResourceActive')
    if (state === 'ACTIVE' && wasMade && !there) yield `P2 ${id} is ACTIVE and was never made`
    if (state === 'DELETED' && there) yield `P2 ${id} is DELETED and is still there`
  }
}

/** What is to be started again has work that does it. */
function* restartFlaws(rows: Snapshot): Generator<string> {
  for (const { id, subject_id, generation, state, restart_due_at } of rows.instance ?? []) {
    const of = (rows.deployment ?? []).find((row) => row.id === subject_id && row.generation === generation)
    const work = (rows.operation ?? []).some((one) => one.subject_id === subject_id && live.includes(String(one.state)))
    if (state === 'OFFLINE' && restart_due_at !== null && of?.state === 'HEALTHY' && !work)
      yield `P10 ${id} is OFFLINE, and nobody will start it again`
  }
}

/** One runner for a subject; its work is taken from it when its lease is over, and then it writes nothing more of it. */
function* claimFlaws(play: Play, rows: Snapshot, events: readonly Row[]): Generator<string> {
  const claims = Map.groupBy(
    events.filter(({ kind }) => kind === 'claimOperation'),
    ({ subject_id }) => subject_id,
  )
  for (const { id, attempt } of rows.operation ?? []) {
    const counted = Number(attempt) - Number(play.scene.tables.operation?.find((row) => row.id === id)?.attempt ?? 0)
    const claimed = claims.get(id)?.length ?? 0
    if (counted !== claimed) yield `P5 ${id} was claimed ${claimed} times, and counts ${counted}`
  }
  const subjects = new Map((rows.operation ?? []).map(({ id, subject_id }) => [id, subject_id]))
  const holders = new Map<unknown, Map<unknown, unknown>>()
  for (const event of events) {
    if (event.subject_type !== 'Operation') continue
    const id = event.subject_id
    const subject = subjects.get(id)
    const mine = holders.get(subject) ?? new Map()
    holders.set(subject, mine)
    if (event.kind === 'claimOperation') {
      const isTaken = event.from_state === 'RUNNING' && event.request_id === inTime
      if (isTaken && mine.has(id))
        yield `P5 ${id} was claimed by ${event.actor_id} while the lease of ${mine.get(id)} lasted`
      mine.set(id, event.actor_id)
    } else if (event.actor_kind === 'runner' && event.from_state !== null && mine.get(id) !== event.actor_id)
      yield `P5 ${event.kind} of ${id} by ${event.actor_id}, and ${mine.get(id) ?? 'nobody'} had claimed it`
    if (!held.includes(String(event.to_state))) mine.delete(id)
    if (mine.size > 1) yield `P5 ${mine.size} operations of ${subject} were under way at once`
  }
}

/** Nothing ends before its time, nor used after it, nor in the window in which its team may come back. */
function* expiryFlaws(rows: Snapshot, events: readonly Row[]): Generator<string> {
  const expiries = new Map(
    Object.values(rows).flatMap((some) =>
      some.flatMap((row) => ('expires_at' in row ? [[row.id, row.expires_at]] : [])),
    ),
  )
  const digests = new Map((rows.promotion_approval ?? []).map(({ id, plan_digest }) => [id, plan_digest]))
  let team = ''
  for (const { kind, subject_type, subject_id, occurred_at, to_state, data, actor_kind, actor_id } of events) {
    if (subject_type === 'Team') team = String(to_state)
    const until = expiries.get(subject_id)
    const isOver = until !== null && timeOf(until) <= timeOf(occurred_at)
    const expires = actor_kind === 'loop' && actor_id === 'expire' && expiries.has(subject_id)
    if (expires && !isOver) yield `P3 ${subject_id} was expired before its time`
    if (expires && team === 'DELETION_REQUESTED')
      yield `P3 ${subject_id} was expired while its team could still be restored`
    const uses = ['APPROVED', 'EXECUTED', 'ACCEPTED'].includes(String(to_state))
    if (uses && isOver) yield `P4 ${kind} of ${subject_id} after its time`
    const digest = (data as { digest?: unknown } | null)?.digest
    if (to_state === 'EXECUTED' && digest !== undefined && digest !== digests.get(subject_id))
      yield `P4 ${subject_id} was used for another plan than it was given for`
  }
}

/** Somebody owns what there is, and of a team that is gone nothing is left. */
function* teamFlaws(rows: Snapshot): Generator<string> {
  const [team] = rows.team ?? []
  const owners = (rows.member ?? []).filter(({ state, role }) => state === 'ACTIVE' && role === 'owner')
  if (team?.state === 'ACTIVE' && owners.length === 0) yield 'P3 nobody owns the team'
  if (team?.state !== 'DELETED') return
  for (const table of ['deployment', 'resource', 'stack', 'member'])
    for (const { id, state } of rows[table] ?? [])
      if (!dead.includes(String(state))) yield `P10 the team is DELETED, and its ${table} ${id} is ${state}`
}

/** What is asked for under one key is done once, and only what was done is told again. */
function* keyFlaws(answers: readonly Answered[]): Generator<string> {
  for (const [name, some] of Map.groupBy(answers, ({ name, key }) =>
    key === undefined ? '' : `${name} under ${key}`,
  )) {
    if (name === '') continue
    const told = some.map(({ answer }) => answer as { refusal?: string; replayed?: boolean })
    const done = told.filter(({ refusal, replayed }) => refusal === undefined && !replayed).length
    if (done > 1) yield `P2 ${name} was done ${done} times`
    if (done === 0 && told.some(({ replayed }) => replayed)) yield `P3 ${name} is told of as done, and was not`
  }
}
