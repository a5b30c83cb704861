// Clients that take their time: each is answered or cut off after the time that it may take, holds nothing meanwhile that
// others need, and leaves nothing behind. The server's times are short here; what is waited for is its answer.
import type { Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Api, openApi } from '../schema/api.ts'
import { open, post, say, type Target } from './client.ts'

let api: Api
let target: Target
beforeAll(async () => {
  const times = { headersMs: 600, requestMs: 900, checkMs: 50, lingerMs: 200 }
  api = await openApi({ times })
  target = { url: api.url, token: api.team.token }
})
afterAll(() => api.close())

const first = 'POST /graphql HTTP/1.1\r\nhost: pawl\r\n'
const begun = () => `${first}authorization: Bearer ${target.token}\r\ncontent-type: application/json\r\n`
const served = async () => expect((await post(target, '{ viewer { scopes } }')).status).toBe(200)

/** A letter every now and then, for as long as the connection is there. */
function drip(socket: Socket, text: string): void {
  let at = 0
  const dripping = setInterval(() => socket.write(text.charAt(at++ % text.length)), 20)
  socket.once('close', () => clearInterval(dripping))
}

test.concurrent.each<[string, () => string, string?]>([
  ['says nothing at all', () => ''],
  ['says half a word', () => 'POS'],
  ['never ends its headers', () => first],
  ['says a letter of a header now and then', () => `${first}x: `, 'y'],
  ['says a header now and then', () => first, 'x: y\r\n'],
  ['announces a body that never comes', () => `${begun()}content-length: 100\r\n\r\n`],
  ['says a letter of its body now and then', () => `${begun()}content-length: 200000\r\n\r\n`, ' '],
  ['says a chunk of its body now and then', () => `${begun()}transfer-encoding: chunked\r\n\r\n`, '1\r\nx\r\n'],
  [
    'waits to be told to go on, and then does not',
    () => `${begun()}content-length: 100\r\nexpect: 100-continue\r\n\r\n`,
  ],
])('a client that %s is answered 408, others meanwhile as ever', async (_, words, dripped) => {
  const { socket, heard } = await open(target)
  socket.write(words())
  if (dripped !== undefined) drip(socket, dripped)
  await served()
  const text = await heard
  // Whoever was told to go on has that before the answer.
  const [, told] = /(?:^|\r\n\r\n)(HTTP\/1\.1 408 .*)$/s.exec(text) ?? []
  expect(told, text).toContain('"REQUEST_TIMEOUT"')
  expect(told).toMatch(/\r\nx-content-type-options: nosniff\r\n/)
  expect(told).toMatch(/\r\nconnection: close\r\n/)
})

test.concurrent('40 slow clients at once hold up nobody', async () => {
  const slow = await Promise.all(Array.from({ length: 40 }, () => open(target)))
  for (const { socket } of slow) socket.write(`${begun()}content-length: 100\r\n\r\n`)
  for (let i = 0; i < 5; i++) await served()
  const answers = await Promise.all(slow.map(({ heard }) => heard))
  expect(new Set(answers.map((text) => text.slice(0, 12)))).toEqual(new Set(['HTTP/1.1 408']))
})

test.concurrent('a client that does not read its answers is cut off, and nothing more is made for it', async () => {
  const impatient = await openApi({ times: { idleMs: 200 } })
  const server = new Promise<Socket>((resolve) => impatient.server.http.once('connection', resolve))
  const { socket } = await open({ url: impatient.url, token: impatient.team.token })
  socket.pause()
  const body = JSON.stringify({ query: '{ __schema { types { name description fields { name description } } } }' })
  const head = `${first}authorization: Bearer ${impatient.team.token}\r\ncontent-type: application/json\r\n`
  for (let i = 0; i < 300; i++) socket.write(`${head}content-length: ${body.length}\r\n\r\n${body}`)
  const theirs = await server
  await new Promise((resolve) => theirs.once('close', resolve))
  // 300 answers are 20 MB; those that lay ready when nobody read them were all that was made.
  expect(theirs.bytesWritten).toBeLessThan(15_000_000)
  socket.destroy()
  await impatient.close()
})

test('without a token nobody waits for the body', async () => {
  const { status } = await say(target, `${first}content-length: 100000\r\ncontent-type: application/json\r\n\r\n`)
  expect(status).toBe(401)
})

test('of a client that goes on sending after its refusal only so much is dropped', async () => {
  const server = new Promise<Socket>((resolve) => api.server.http.once('connection', resolve))
  const { socket, heard } = await open(target)
  socket.write(`${begun()}transfer-encoding: chunked\r\n\r\n`)
  const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`
  const go = () => {
    while (!socket.destroyed && socket.write(chunk)) {}
  }
  socket.on('drain', go)
  go()
  expect(await heard).toMatch(/^HTTP\/1\.1 413 /)
  expect((await server).bytesRead).toBeLessThan(50_000_000)
})

test('clients that leave in the middle leave nothing behind, also no word in the log', async () => {
  api.logged.splice(0)
  const left = await Promise.all(Array.from({ length: 50 }, () => open(target)))
  for (const [i, { socket }] of left.entries()) {
    socket.write(`${begun()}content-length: 100\r\n\r\n${'x'.repeat(i)}`)
    if (i % 2 === 0) socket.resetAndDestroy()
    else socket.destroy()
  }
  await served()
  const count = () => new Promise<number>((resolve) => api.server.http.getConnections((_, open) => resolve(open)))
  await expect.poll(count).toBe(0)
  expect(api.logged).toEqual([])
})
