// Deliveries as actors: what webhooks are told of is stored, claimed and sent to a receiver that is there, by the product's own
// statements and over real connections. Where a letter is about to be sent, the schedule may let others go first.
import { type Allowed, parseAllowed } from '../../src/drivers/webhook/allowed.ts'
import { attemptsOf, causeOfDelivery, type DeliveryTools, deliver, timing as usual } from '../../src/loops/delivery.ts'
import { fanOutLoop } from '../../src/loops/fan-out.ts'
import { createMetrics } from '../../src/metrics.ts'
import { type Database, transitionEach } from '../../src/resolvers/transition.ts'
import { draftsOf } from '../../src/resolvers/webhook-delivery.ts'
import { claimDelivery } from '../../src/resolvers/webhook-delivery-rule.ts'
import { testSealing } from '../row.ts'
import { parkCall, type Seat } from './gate.ts'
import type { Actor, Play } from './play.ts'

const metrics = createMetrics({ strict: true })
const allowed = parseAllowed('127.0.0.0/8') as Allowed
/** Nothing ends by the clock while a schedule is played. */
const long = 3_600_000
export const timing = { ...usual, limitMs: long, leaseMs: 2 * long, retryMs: usual.retryMs.map(() => long) }

const toolsFor = ({ log }: Play, db: Database): DeliveryTools => ({
  db,
  log,
  metrics,
  timing,
  sealing: testSealing,
  posting: {
    allowed,
    async resolve() {
      await parkCall('before', { call: 'post' })
      return ['127.0.0.1']
    },
  },
})

/** Claims what is due, and sends it; returns how many attempts there were. */
async function deliverDue(play: Play, { db }: Seat): Promise<number> {
  const tools = toolsFor(play, db)
  const values = { fullWebhooks: '', fullTeams: '', leaseMs: timing.leaseMs, attempts: attemptsOf(timing) }
  const claimed = await transitionEach(db, claimDelivery, { ...causeOfDelivery(), values }, 4)
  const ids = claimed.map(({ row }) => row.id)
  const drafts = ids.length > 0 ? await draftsOf(db, ids) : new Map()
  await Promise.all(claimed.map(({ row }) => deliver(row, drafts.get(row.id), performance.now(), tools)))
  return claimed.length
}

export const delivers: Actor = { kind: 'runner', run: async (play, seat) => void (await deliverDue(play, seat)) }

const pass = async (play: Play, db: Database): Promise<number> =>
  (await fanOutLoop(toolsFor(play, db), () => {}).pass(new AbortController().signal)).moved ?? 0

/** A pass of the fan-out: stores what is to be told, drops what nobody wants, buries what no worker survives. */
export const fansOut = (...names: string[]): Actor => ({
  kind: 'loop',
  run: (play, { db }) => pass(play, db),
  stops: (label) => names.some((name) => label.startsWith(name)),
})

/** Whatever is left to be told is told. */
export async function settlesDeliveries(play: Play): Promise<null> {
  const [seat] = play.stage.seats
  if (!seat) return null
  // Whoever was at it has ended by now.
  await play.stage.control`update webhook_delivery set due_at = now() - interval '1 second'
    where team_id = ${play.scene.teamId} and state = 'SENDING'`
  await pass(play, seat.db)
  while ((await deliverDue(play, seat)) > 0);
  await pass(play, seat.db)
  return null
}
