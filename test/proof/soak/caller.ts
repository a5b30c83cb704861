// One caller: sends its orders one after the other, to whichever replica the seed names, repeats what it was not told under the
// same key, and writes down what it asked for and what it heard.
import type { Book } from './book.ts'
import { Dice } from './dice.ts'
import { flawsOf, textOf } from './document.ts'
import type { Answered, History } from './history.ts'
import { type Order, type Orderer, orderOf } from './order.ts'
import { pause } from './pace.ts'

export interface Caller extends Orderer {
  readonly name: string
  readonly token: string
  readonly own: Book
  readonly elsewhere: Book
}

export interface Calling {
  readonly seed: number
  readonly history: History
  /** What request ids begin with. */
  readonly prefix: string
  readonly receiver: string
  /** Where replica n answers now; what is down is asked in vain. */
  address(n: number): string
}

const answerWithinMs = 20_000
const triesAtMost = 5
/** What may be told to each. */
const reading = `{ deployments(first: 20) { nodes { id state version url allowedActions { action allowed } instances(first: 5) { nodes { id state } } } }
  operations(first: 20) { nodes { id state kind outcome } } stacks(first: 10) { nodes { id state services { name state url } } }
  events(last: 20) { nodes { cursor kind subjectId } } }`
const readingDeliveries = '{ webhooks(first: 10) { nodes { id version deliveries(first: 5) { nodes { id state } } } } }'

interface Heard extends Omit<Answered, 'atMs' | 'request'> {
  readonly data: Record<string, unknown> | null
}

/** Orders until the signal. */
export async function call(caller: Caller, calling: Calling, signal: AbortSignal): Promise<void> {
  for (let n = 0; !signal.aborted; n++) {
    const order = orderOf(calling.seed, caller, n, caller, calling.receiver)
    await pause(order.thinkMs, signal)
    if (signal.aborted) return
    if (new Dice(`${calling.seed}/reader/${caller.index}/${n}`).chance(0.1)) await read(caller, calling, n)
    await carry(caller, order, `${calling.prefix}${caller.index}.${n}`, calling)
  }
}

async function carry(caller: Caller, order: Order, wish: string, calling: Calling): Promise<void> {
  const key = order.keyed ? `key-${wish}` : null
  let tries = 0
  let repeats = order.repeats
  // An invitation is accepted by whoever holds it, and by nobody else afterwards.
  const invitation = order.mutation === 'acceptInvitation' ? (caller.own.invitations.pop() ?? null) : null
  const once = () => attempt(caller, order, { wish, key, invitation, nth: ++tries }, calling)
  if (key && order.doubled) await Promise.all([once(), once()])
  while (tries < triesAtMost) {
    const { kind, member } = await once()
    const again =
      kind === 'unknown' || /^(Busy|TemporarilyUnavailable|TEMPORARILY_UNAVAILABLE|SHUTTING_DOWN)$/.test(member)
    if (!key || (!again && repeats-- <= 0)) return
    await pause(again ? 300 : 20)
  }
}

interface Wish {
  readonly wish: string
  readonly key: string | null
  /** The credential, where it is not the caller's own. */
  readonly invitation: string | null
  readonly nth: number
}

async function attempt(
  caller: Caller,
  { mutation, input, wrongTeam, replica }: Order,
  { wish, key, invitation, nth }: Wish,
  { history, address }: Calling,
): Promise<Heard> {
  const request = `${wish}.${nth}`
  const hopeless = wrongTeam ? 'of another team' : caller.role === 'viewer' && !invitation ? "a viewer's" : null
  const sent = {
    request,
    call: wish,
    caller: caller.name,
    mutation,
    key,
    hopeless,
    input,
    replica: (replica + nth) % 3,
  }
  history.add({ kind: 'invoke', atMs: performance.now(), ...sent })
  const asked = { query: textOf(mutation), variables: { input: { ...input, ...(key ? { idempotencyKey: key } : {}) } } }
  const heard = await send(address(sent.replica), invitation ?? caller.token, request, asked, mutation)
  const expelled = heard.member === 'UNAUTHENTICATED' && !caller.ends && !invitation
  const flaws = [...heard.flaws, ...(expelled ? ['a token that is good is not let in'] : [])]
  const { data, ...told } = heard
  history.add({ atMs: performance.now(), request, ...told, flaws })
  if (data && told.kind === 'ok') learn(caller.own, data, input)
  return heard
}

async function read(caller: Caller, { history, prefix, address }: Calling, n: number): Promise<void> {
  const request = `${prefix}r${caller.index}.${n}`
  const replica = n % 3
  const sent = {
    request,
    call: request,
    caller: caller.name,
    mutation: 'read',
    key: null,
    hopeless: null,
    input: null,
    replica,
  }
  history.add({ kind: 'invoke', atMs: performance.now(), ...sent })
  const query = n % 2 === 0 ? reading : readingDeliveries
  const { data, ...told } = await send(address(replica), caller.token, request, { query }, null)
  history.add({ atMs: performance.now(), request, ...told })
  const webhooks = (data as { webhooks?: { nodes: { deliveries: { nodes: { id: string }[] } }[] } } | null)?.webhooks
  for (const webhook of webhooks?.nodes ?? [])
    for (const { id } of webhook.deliveries.nodes) caller.own.note('WebhookDelivery', id, null, {})
}

const nothing = { replayed: false, names: {}, flaws: [], data: null } as const

/** Sends one document, and says what its answer is. For null in place of a mutation: a read. */
async function send(
  address: string,
  token: string,
  request: string,
  asked: object,
  mutation: string | null,
): Promise<Heard> {
  let status = 0
  let text: string
  let type: string | null
  try {
    const response = await fetch(address, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, 'x-request-id': request },
      body: JSON.stringify(asked),
      signal: AbortSignal.timeout(answerWithinMs),
    })
    status = response.status
    type = response.headers.get('content-type')
    text = await response.text()
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause?.code ?? (error as Error).name
    return { ...nothing, kind: 'unknown', status: 0, member: String(cause) }
  }
  let body: {
    data?: Record<string, unknown> | null
    errors?: readonly { message: string; extensions?: { code?: string } }[]
  }
  try {
    body = JSON.parse(text)
  } catch {
    return {
      ...nothing,
      kind: 'unknown',
      status,
      member: 'no JSON',
      flaws: [`is no JSON but ${type}: ${text.slice(0, 80)}`],
    }
  }
  return { ...understood(body.data, body.errors ?? [], mutation), status }
}

function understood(
  data: Record<string, unknown> | null | undefined,
  errors: readonly { message: string; extensions?: { code?: string } }[],
  mutation: string | null,
): Omit<Heard, 'status'> {
  const code = errors[0]?.extensions?.code
  const flaws = errors.length > 0 && code === undefined ? [`an error without a code: ${errors[0]?.message}`] : []
  if (mutation === null) {
    const whole = data && errors.length === 0
    return {
      ...nothing,
      kind: whole ? 'ok' : 'refusal',
      member: whole ? 'read' : String(code),
      flaws,
      data: data ?? null,
    }
  }
  const result = data?.[mutation] as
    | ({ __typename: string; code?: string; message?: string } & Record<string, unknown>)
    | undefined
  // Without data it was not run. An error of a field may have come after the decision, and has taken its answer with it.
  if (!data || !result) {
    const kind = data === undefined ? 'refusal' : 'unknown'
    return {
      ...nothing,
      kind,
      member: code ?? 'no data',
      flaws: [...flaws, ...(code ? [] : ['neither data nor a code'])],
    }
  }
  const typed = errors.length > 0 ? [] : flawsOf(mutation, data)
  const member = result.__typename
  if (!member.endsWith('Payload')) {
    const open = member === 'TemporarilyUnavailable' && /not known/.test(String(result.message))
    return { ...nothing, kind: open ? 'unknown' : 'refusal', member, flaws: [...flaws, ...typed] }
  }
  const names: Record<string, string> = {}
  for (const [field, value] of Object.entries(result)) {
    const id = (value as { id?: unknown } | null)?.id
    if (typeof id === 'string') names[field.slice(member.length + 1)] = id
  }
  const replayed = result[`${member}_replayed`] === true
  return {
    kind: 'ok',
    member: code === undefined ? member : `${member} with ${code}`,
    replayed,
    names,
    flaws: [...flaws, ...typed],
    data,
  }
}

function learn(book: Book, data: Record<string, unknown>, input: Record<string, unknown>): void {
  const [result] = Object.values(data) as [Record<string, unknown>]
  for (const [field, value] of Object.entries(result)) {
    const { __typename: type, id, version } = (value ?? {}) as { __typename?: string; id?: string; version?: string }
    // Webhooks that others watch are left alone.
    if (type && id && field !== 'RedeliverWebhookEventPayload_webhook') book.note(type, id, version ?? null, input)
    if (field === 'InviteMemberPayload_plaintext' && typeof value === 'string') book.invitations.push(value)
  }
}
