// One attempt to deliver, against real receivers: what counts as delivered, what each failure is called, and that only
// what was checked is dialled.
import { createHmac } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Allowed, parseAllowed } from '../../src/drivers/webhook/allowed.ts'
import { type Letter, type PostOptions, post } from '../../src/drivers/webhook/post.ts'
import { newSigningSecret } from '../../src/resolvers/webhook.ts'
import { makeCertificate } from '../certificate.ts'
import { cut, cutMidway, hang, huge, neverEnds, type Receiver, redirectTo, startReceiver } from './receiver.ts'

const loopback = parseAllowed('127.0.0.0/8') as Allowed
const secret = newSigningSecret()
let receiver: Receiver

beforeEach(async () => {
  receiver = await startReceiver()
})
afterEach(() => receiver.stop())

const letter = (parts: Partial<Letter> = {}): Letter => ({
  url: `http://127.0.0.1:${receiver.port}/hook?a=b`,
  id: 'whd_one',
  payload: '{"type":"deployment.deploy","name":"Zo\u00eb"}',
  secrets: [secret],
  ...parts,
})
const send = (parts: Partial<Letter> = {}, options: Partial<PostOptions> = {}) =>
  post(letter(parts), { allowed: loopback, ...options })

describe('what is sent', () => {
  test('is one POST of the payload as it is, signed over its id, its time and its bytes', async () => {
    const at = new Date('2026-05-01T10:20:30.900Z')
    expect(await send({}, { now: () => at })).toEqual({ kind: 'delivered', status: 204 })
    expect(receiver.received).toHaveLength(1)
    const [{ method, path, headers, text }] = receiver.received as [Receiver['received'][number]]
    expect({ method, path, text }).toEqual({ method: 'POST', path: '/hook?a=b', text: letter().payload })
    expect(headers).toMatchObject({
      host: `127.0.0.1:${receiver.port}`,
      'content-type': 'application/json',
      'webhook-id': 'whd_one',
      'webhook-timestamp': '1777630830',
    })
    const key = Buffer.from(secret.replace('whsec_', ''), 'base64')
    const expected = createHmac('sha256', key).update(`whd_one.1777630830.${text}`).digest('base64')
    expect(headers['webhook-signature']).toBe(`v1,${expected}`)
    expect(Object.keys(headers)).not.toContain('authorization')
  })

  test('carries one signature for each secret while one replaces the other', async () => {
    const next = newSigningSecret()
    await send({ secrets: [next, secret] })
    const signature = receiver.received[0]?.headers['webhook-signature'] as string
    expect(signature).toMatch(/^v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=$/)
    await send({ secrets: [secret] })
    expect(receiver.received[1]?.headers['webhook-signature']).not.toBe(signature.split(' ')[0])
  })

  test('agrees with the example of the specification', async () => {
    // github.com/standard-webhooks/standard-webhooks, libraries/*: the vector that all of them test.
    await send(
      {
        id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
        payload: '{"test": 2432232314}',
        secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
      },
      { now: () => new Date(1_614_265_330_000) },
    )
    expect(receiver.received[0]?.headers['webhook-signature']).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
  })

  test('a secret has 32 random bytes', () => {
    const secrets = Array.from({ length: 100 }, newSigningSecret)
    expect(new Set(secrets).size).toBe(100)
    for (const one of secrets) expect(one).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  })
})

describe('what the receiver does', () => {
  test.each([200, 201, 299])('%i is delivered', async (status) => {
    receiver.answer = () => status
    expect(await send()).toEqual({ kind: 'delivered', status })
  })

  test.each([400, 404, 410, 500, 503])('%i is a failure that tells the status', async (status) => {
    receiver.answer = () => status
    expect(await send()).toEqual({ kind: 'failed', status, reason: `The receiver answered ${status}.` })
  })

  test('a redirect is a failure that says so, and nothing is sent where it leads', async () => {
    const inside = await startReceiver()
    receiver.answer = () => redirectTo(`http://127.0.0.1:${inside.port}/admin`)
    expect(await send()).toEqual({
      kind: 'failed',
      status: 302,
      reason: 'The receiver answered 302: redirects are not followed, so give the URL that it leads to.',
    })
    expect(inside.received).toEqual([])
    await inside.stop()
  })

  test.each([
    ['hangs', hang],
    ['says 200 and never comes to an end', neverEnds],
  ])('%s: it has so much time in all', async (_, answer) => {
    receiver.answer = () => answer
    const reason = 'The receiver did not answer within 150 ms.'
    expect(await send({}, { limitMs: 150 })).toEqual({ kind: 'failed', status: null, reason })
  })

  test('a name that is never resolved takes of the same time', async () => {
    const resolve = () => new Promise<never>(() => {})
    const sent = send({ url: 'https://hooks.example/' }, { limitMs: 50, resolve })
    expect(await sent).toEqual({ kind: 'failed', status: null, reason: 'The host was not found within 50 ms.' })
  })

  test.each([
    ['closes at once', cut],
    ['closes midway', cutMidway],
  ])('%s: a failure', async (_, answer) => {
    receiver.answer = () => answer
    const reason = 'The connection was cut before the answer was there.'
    expect(await send()).toEqual({ kind: 'failed', status: null, reason })
  })

  test('of an answer without end 64 KB are read, then the connection is cut', async () => {
    const closed = Promise.withResolvers<void>()
    receiver.answer = () => (response) => {
      response.on('close', () => closed.resolve())
      huge(response)
    }
    expect(await send()).toEqual({ kind: 'delivered', status: 200 })
    await closed.promise
  })

  test('nothing listens', async () => {
    const url = `http://127.0.0.1:${receiver.port}/`
    await receiver.stop()
    expect(await send({ url })).toEqual({ kind: 'failed', status: null, reason: 'Nothing listens at the address.' })
    receiver = await startReceiver()
  })
})

describe('only what was checked is dialled', () => {
  test('a name goes to the address that was checked, under its own name, which is never looked up again', async () => {
    let asked = 0
    const resolve = async () => {
      asked += 1
      return ['127.0.0.1']
    }
    const url = `http://hooks.invalid:${receiver.port}/`
    expect(await send({ url }, { resolve })).toEqual({ kind: 'delivered', status: 204 })
    expect(asked).toBe(1)
    expect(receiver.received[0]?.headers.host).toBe(`hooks.invalid:${receiver.port}`)
  })

  test('a name that is public at first and private then is refused then', async () => {
    const answers = [['127.0.0.1'], ['10.0.0.1'], ['127.0.0.1', '10.0.0.1']]
    const resolve = async () => answers.shift() ?? []
    const url = `http://hooks.invalid:${receiver.port}/`
    expect(await send({ url }, { resolve })).toMatchObject({ kind: 'delivered' })
    const reason = 'The host has no address, or one that is not public.'
    expect(await send({ url }, { resolve })).toEqual({ kind: 'failed', status: null, reason })
    expect(await send({ url }, { resolve })).toEqual({ kind: 'failed', status: null, reason })
    expect(receiver.received).toHaveLength(1)
  })

  test('an address that is down is passed over for the next one', async () => {
    const url = `http://hooks.invalid:${receiver.port}/`
    const sent = send({ url }, { resolve: async () => ['127.0.0.2', '127.0.0.1'] })
    expect(await sent).toEqual({ kind: 'delivered', status: 204 })
  })

  test.each(['http://127.0.0.1', 'http://[::ffff:127.0.0.1]', 'http://2130706433'])(
    '%s is not dialled',
    async (host) => {
      const sent = post(letter({ url: `${host}:${receiver.port}/` }), { allowed: { ranges: [], hosts: new Set() } })
      expect(await sent).toEqual({
        kind: 'failed',
        status: null,
        reason: 'The host has no address, or one that is not public.',
      })
      expect(receiver.received).toEqual([])
    },
  )

  test('a URL that would not be taken any more is not sent to', async () => {
    expect(await send({ url: 'ftp://hooks.example/' })).toMatchObject({ reason: 'The URL is neither http nor https.' })
  })
})

describe('TLS', () => {
  const certificate = makeCertificate('hooks.invalid')
  let secure: Receiver
  beforeEach(async () => {
    secure = await startReceiver(certificate)
  })
  afterEach(() => secure.stop())
  const resolve = async () => ['127.0.0.1']

  test('the certificate is checked against the name, though the address is dialled', async () => {
    const sent = send({ url: `https://hooks.invalid:${secure.port}/` }, { resolve, ca: certificate.cert })
    expect(await sent).toEqual({ kind: 'delivered', status: 204 })
    const other = send({ url: `https://other.invalid:${secure.port}/` }, { resolve, ca: certificate.cert })
    expect(await other).toEqual({
      kind: 'failed',
      status: null,
      reason: 'The certificate or TLS is not accepted (ERR_TLS_CERT_ALTNAME_INVALID).',
    })
  })

  test('a certificate that nobody vouches for is not accepted', async () => {
    const sent = await send({ url: `https://hooks.invalid:${secure.port}/` }, { resolve })
    expect(sent).toMatchObject({
      kind: 'failed',
      reason: expect.stringMatching(/^The certificate or TLS is not accepted/),
    })
    expect(secure.received).toEqual([])
  })
})
