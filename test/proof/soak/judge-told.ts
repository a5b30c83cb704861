// Whether those who were told of events were told of all of them: a follower of a team without gap or repeat, over all its
// connections, and a receiver of webhooks at least once, and of each object in order. Pure: what was heard and rows in, findings out.
import { cursorAt } from '../../../src/resolvers/event-read.ts'
import type { EventRow, Finding } from './judge.ts'

/** What one follower has heard, over all its connections. */
export interface Heard {
  readonly teamId: string
  /** The cursor that it began after; null for the beginning of the log. */
  readonly after: string | null
  readonly cursors: readonly string[]
}

/** One delivery that a receiver got, in the order in which they came. */
export interface Receipt {
  readonly webhook: string
  readonly cursor: string
  readonly subjectId: string
  readonly teamId: string
  /** Whether it was answered with 2xx, and the answer could be sent. */
  readonly acknowledged: boolean
}

/** A webhook that was there all the time, for all events of its team. */
export interface Watched {
  readonly webhook: string
  readonly teamId: string
  /** Its events come after this place in the log. */
  readonly afterPosition: number
}

const inOrder = (events: readonly EventRow[], teamId: string) =>
  events
    .filter((event) => event.teamId === teamId && event.position !== null)
    .sort((a, b) => Number(a.position) - Number(b.position))

const few = (items: readonly string[]) =>
  `${items.slice(0, 5).join(', ')}${items.length > 5 ? ` and ${items.length - 5} more` : ''}`

/** What has its place in the log up to `through` must have been told of; what came after that may still be on its way. */
export function judgeFollower(
  { teamId, after, cursors }: Heard,
  events: readonly EventRow[],
  through = Number.POSITIVE_INFINITY,
): Finding[] {
  const all = inOrder(events, teamId).map((event) => ({ event, cursor: cursorAt(teamId, Number(event.position)) }))
  const from = after === null ? 0 : all.findIndex(({ cursor }) => cursor === after) + 1
  const due = all.slice(from)
  const findings: Finding[] = []
  const find = (rule: string, what: string) => void findings.push({ rule, what: `the follower of ${teamId} ${what}` })
  const places = new Map(all.map(({ cursor }, index) => [cursor, index]))
  const heard = new Set(cursors)
  const missed = due.filter(({ event, cursor }) => Number(event.position) <= through && !heard.has(cursor))
  if (missed.length > 0)
    find(
      'gap',
      `was not told of ${few(missed.map(({ event }) => `position ${event.position} (${event.subjectId} ${event.kind})`))}`,
    )
  let last = from - 1
  for (const cursor of cursors) {
    const place = places.get(cursor)
    if (place === undefined) find('gap', `was told of ${cursor}, which is nowhere in the log`)
    else if (place <= last) find('repeat', `was told of position ${all[place]?.event.position} again, or too late`)
    last = Math.max(last, place ?? last)
  }
  return findings
}

export function judgeReceiver(
  watched: Watched,
  receipts: readonly Receipt[],
  events: readonly EventRow[],
  through = Number.POSITIVE_INFINITY,
): Finding[] {
  const { webhook, teamId, afterPosition } = watched
  const findings: Finding[] = []
  const find = (rule: string, what: string) => void findings.push({ rule, what: `webhook ${webhook}: ${what}` })
  const mine = receipts.filter((receipt) => receipt.webhook === webhook)
  for (const stray of mine.filter((receipt) => receipt.teamId !== teamId))
    find('let in', `got an event of ${stray.teamId}`)
  const acknowledged = new Set(mine.filter((receipt) => receipt.acknowledged).map(({ cursor }) => cursor))
  // Of deliveries themselves nobody is told.
  const due = inOrder(events, teamId).filter(
    ({ position, subjectType }) => Number(position) > afterPosition && subjectType !== 'WebhookDelivery',
  )
  const cursors = new Map(due.map((event) => [event, cursorAt(teamId, Number(event.position))]))
  const missed = due.filter(
    (event) => Number(event.position) <= through && !acknowledged.has(String(cursors.get(event))),
  )
  if (missed.length > 0)
    find(
      'undelivered',
      `never delivered ${few(missed.map((event) => `position ${event.position} (${event.subjectId} ${event.kind})`))}`,
    )
  const firsts = new Map<string, number>()
  const acknowledgedAt = new Map<string, number>()
  mine.forEach((receipt, index) => {
    if (!firsts.has(receipt.cursor)) firsts.set(receipt.cursor, index)
    if (receipt.acknowledged && !acknowledgedAt.has(receipt.cursor)) acknowledgedAt.set(receipt.cursor, index)
  })
  for (const [subjectId, chain] of Map.groupBy(due, (event) => event.subjectId)) {
    for (const [index, event] of chain.entries()) {
      const before = chain[index - 1]
      if (!before) continue
      const first = firsts.get(String(cursors.get(event)))
      const heardBefore = acknowledgedAt.get(String(cursors.get(before)))
      if (first !== undefined && (heardBefore === undefined || heardBefore > first))
        find('order', `${subjectId}: position ${event.position} was sent before ${before.position} had arrived`)
    }
  }
  return findings
}
