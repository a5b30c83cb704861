// Connections over TLS: verified as the URL says, and as easy to retire as plain ones. A small front decrypts and
// passes on to the server, so no server needs a certificate.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPool } from '../../src/db/client.ts'
import { makeCertificate } from '../certificate.ts'
import { addItem, faultOf, openProbe, type Probe, sleepOn, untilRunning, wholeAgain } from './probe.ts'

let probe: Probe
let folder: string
let url: string
const sockets = new Set<Socket>()
const { key, cert } = makeCertificate('localhost')

const front = createServer((raw) => {
  raw.on('error', () => {})
  raw.once('data', () => {
    raw.write('S')
    const clear = new TLSSocket(raw, { isServer: true, key, cert })
    sockets.add(clear)
    const target = new URL(probe.url)
    const server = connect(Number(target.port), target.hostname)
    clear.pipe(server).pipe(clear)
    clear.on('error', () => server.destroy()).on('close', () => server.destroy())
    server.on('error', () => clear.destroy()).on('close', () => clear.destroy())
  })
})

beforeAll(async () => {
  probe = await openProbe()
  folder = await mkdtemp(join(tmpdir(), 'pawl-tls-'))
  await writeFile(join(folder, 'root.pem'), cert)
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve))
  const through = new URL(probe.url)
  through.hostname = 'localhost'
  through.port = String((front.address() as { port: number }).port)
  url = through.href
})

afterAll(async () => {
  await probe.close()
  front.close()
  await rm(folder, { recursive: true, force: true })
})

test('verifies as the URL asks', async () => {
  const root = `&sslrootcert=${join(folder, 'root.pem')}`
  for (const query of ['sslmode=require', 'sslmode=prefer', `sslmode=verify-full${root}`]) {
    expect(await sleepOn(probe.open({ url: `${url}?${query}` }), 0)).toHaveLength(1)
  }
  const byAddress = url.replace('localhost', '127.0.0.1')
  expect(await sleepOn(probe.open({ url: `${byAddress}?sslmode=verify-ca${root}` }), 0)).toHaveLength(1)
  for (const refused of [`${byAddress}?sslmode=verify-full${root}`, `${url}?sslmode=verify-full`]) {
    const { fault } = await faultOf(sleepOn(probe.open({ url: refused }), 0))
    expect(fault).toMatchObject({ kind: 'unavailable' })
    expect(fault.message).toMatch(/ERR_TLS_CERT_ALTNAME_INVALID|DEPTH_ZERO_SELF_SIGNED_CERT/)
  }
})

test('a server without TLS is refused where TLS is required, and used where it is preferred', async () => {
  const { fault } = await faultOf(sleepOn(probe.open({ url: `${probe.proxy.url}?sslmode=require` }), 0))
  expect(fault.message).toContain('NO_TLS')
  expect(await sleepOn(probe.open({ url: `${probe.proxy.url}?sslmode=prefer` }), 0)).toHaveLength(1)
})

test('a URL that is not understood is refused when the pool is opened', () => {
  for (const query of ['ssl=true', 'sslmode=allow']) {
    expect(() => openPool({ url: `${url}?${query}`, purpose: 'api', slots: 1, statementTimeoutMs: 1 })).toThrow(/ssl/)
  }
})

test('a lost connection and a missed deadline cost the statement, never the process', async () => {
  const pool = probe.open({ url: `${url}?sslmode=require`, slots: 2, statementTimeoutMs: 1000 })
  const sleepy = sql`/* item.slow */ INSERT INTO item SELECT 9 FROM pg_sleep(0.9)`
  const call = faultOf(pool.db.execute(sleepy).then())
  await untilRunning(probe.stranger, 'item.slow')
  for (const socket of sockets) socket.destroy()
  expect((await call).fault).toMatchObject({ kind: 'unknown-outcome' })
  await wholeAgain(pool, 2)
  for (const socket of sockets) socket.pause()
  const { fault } = await faultOf(addItem(pool, 10))
  expect(fault.kind).toMatch(/^(unavailable|unknown-outcome)$/)
  await wholeAgain(pool, 2)
})
