// The embedded cluster for resources: made at the first use, shared by all Pawl processes of a data directory, and taken over
// on the same port when its owner stops or is killed.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { startEmbeddedPostgres } from '../../src/db/embedded.ts'
import {
  assertNotControlPlane,
  createPostgresProvisioner,
  type StartCluster,
} from '../../src/drivers/provision/postgres.ts'
import { SharedCluster } from '../../src/drivers/provision/postgres-shared.ts'
import { calm, doneNull, doneValue, fenceOf, newRef, specOf } from './provision.conformance.ts'
import { clientOf, connectTo } from './provision-postgres-fixture.ts'

const REPLICA = fileURLToPath(new URL('./provision-replica.ts', import.meta.url))
const startCluster: StartCluster = ({ dataDir, port }) =>
  startEmbeddedPostgres({ dataDir, durable: false, settings: port === null ? {} : { port: String(port) } })

describe('embedded cluster for resources', () => {
  let dataDir: string
  const running: { close(): Promise<void> }[] = []
  const newReplica = (controlUrl = inject('databaseUrl')) => {
    const replica = createPostgresProvisioner({
      installation: 'tests',
      url: null,
      dataDir,
      startCluster,
      connect: connectTo(),
      controlUrl,
    })
    running.push(replica)
    return replica
  }
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'pawl-provision-'))
  })
  afterAll(async () => {
    for (const replica of running) await replica.close()
    await rm(dataDir, { recursive: true, force: true })
  })

  test('replicas share it, outlive its owner, and every URL stays good', async () => {
    const [first, second] = [newReplica(), newReplica()]
    await first.start()
    // Nor is it made by whoever asks what is in it.
    expect(await second.listOwned(calm)).toEqual({ kind: 'done', value: [] })
    await expect(stat(join(dataDir, 'provision'))).rejects.toThrow('ENOENT')
    const [one, other] = [specOf(newRef()), specOf(newRef())]
    // Whoever asks while the other one is still at it may be told so, and asks again.
    const made = await Promise.all([
      vi.waitFor(() => doneValue(first.provision(one, fenceOf(one, 1), calm)), 60_000),
      vi.waitFor(() => doneValue(second.provision(other, fenceOf(other, 1), calm)), 60_000),
    ])
    const address = join(dataDir, 'provision', 'address.json')
    expect((await stat(address)).mode & 0o777).toBe(0o600)
    const writer = await clientOf(made[0].url)
    await writer.write('kept')
    expect(await second.observe(one, calm)).toMatchObject({ value: { state: 'active' } })

    // One of the two owns it; whichever is closed first, the other goes on.
    await first.close()
    const owned = await second.observe(one, calm)
    expect(owned).toMatchObject({ value: { state: 'active' } })
    const reader = await clientOf(made[0].url)
    expect(await reader.read()).toBe('kept')
    await reader.end()
    await second.close()
    await expect(clientOf(made[0].url)).rejects.toThrow()

    // After a restart of everything, what was made can be reached before anyone asks for anything.
    const third = newReplica()
    await third.start()
    const again = await clientOf(made[0].url)
    expect(await again.read()).toBe('kept')
    await again.end()
    await third.close()
  }, 30_000)

  test('kill -9 of the owner, in the middle of a step: the cluster is taken over as it is, the step made good', async () => {
    const spec = specOf(newRef())
    const args = [REPLICA, dataDir, spec.subjectId, spec.incarnation, spec.password]
    const owner = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = await once(createInterface(owner.stdout), 'line')
    const { url } = JSON.parse(String(line)).value
    const client = await clientOf(url)
    const dying = specOf(newRef())
    const borrower = spawn(
      process.execPath,
      [REPLICA, dataDir, dying.subjectId, dying.incarnation, dying.password, 'close database'],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    )
    await once(borrower, 'exit')
    owner.kill('SIGKILL')
    await once(owner, 'exit')

    const next = newReplica()
    expect(await next.observe(spec, calm)).toMatchObject({ value: { state: 'active' } })
    expect(await next.observe(dying, calm)).toMatchObject({ value: { state: 'paused' } })
    await client.write('the session was not disturbed')
    await client.end()
    const made = await doneValue(next.provision(dying, fenceOf(dying, 1, 'op-1', 2), calm))
    await (await clientOf(made.url)).end()
    expect(await next.deprovision(dying, fenceOf(dying, 2), calm)).toEqual(doneNull)
    await next.close()
  }, 30_000)

  test('the control plane is never given resources, under whatever name it is reached', async () => {
    const control = new URL(inject('databaseUrl'))
    const other = new URL(control)
    other.hostname = 'localhost'
    const options = { installation: 'tests', dataDir, startCluster, connect: connectTo(), controlUrl: control.href }
    const driver = createPostgresProvisioner({ ...options, url: other.href })
    const spec = specOf(newRef())
    const outcome = await driver.provision(spec, fenceOf(spec, 1), calm)
    expect(outcome).toMatchObject({ kind: 'refused', reason: expect.stringContaining('server of the control plane') })
    await expect(assertNotControlPlane(other.href, control.href, connectTo())).rejects.toThrow(
      'PAWL_PROVISION_POSTGRES_URL',
    )
    const alone = newReplica()
    await alone.start()
    const { url } = JSON.parse(await readFile(join(dataDir, 'provision', 'address.json'), 'utf8'))
    await assertNotControlPlane(url, control.href, connectTo())
    await alone.close()
  }, 30_000)
})

describe('embedded cluster for resources: owners that come and go', () => {
  /** A cluster in memory that one at a time may own; `up` says whether it answers. */
  function pretend() {
    const world = { owner: null as object | null, up: false, starts: [] as (number | null)[], fails: '' }
    const start: StartCluster = async ({ port }) => {
      if (world.fails !== '') throw new Error(world.fails)
      if (world.owner !== null) throw new Error('The data directory is in use by another running Pawl process')
      const me = {}
      Object.assign(world, { owner: me, up: true })
      world.starts.push(port)
      return {
        url: 'postgres://pawl:secret@127.0.0.1:21000/postgres',
        stop: async () => void Object.assign(world, { owner: null, up: false }),
      }
    }
    const connect = async () => {
      if (!world.up) throw new Error('ECONNREFUSED')
      return { run: async () => [], retire: async () => {} }
    }
    return { world, start, connect }
  }
  const folder = () => mkdtemp(join(tmpdir(), 'pawl-provision-'))

  test('one that is not the owner notices by itself that the owner has gone, and takes over on its port', async () => {
    const directory = await folder()
    const { world, start, connect } = pretend()
    const owner = new SharedCluster({ directory, startCluster: start, connect })
    const other = new SharedCluster({ directory, startCluster: start, connect, watchMs: 10 })
    await owner.url()
    expect(await other.url()).toBe(await owner.url())
    await owner.close()
    await expect.poll(() => world.up).toBe(true)
    expect(world.starts).toEqual([null, 21_000])
    await other.close()
    expect(world.up).toBe(false)
    await rm(directory, { recursive: true })
  })

  test('one that comes while the owner is still starting waits for its address', async () => {
    const directory = await folder()
    const { world, start, connect } = pretend()
    world.owner = {}
    const other = new SharedCluster({ directory, startCluster: start, connect })
    const coming = other.url()
    const url = 'postgres://pawl:secret@127.0.0.1:21000/postgres'
    await writeFile(join(directory, 'address.json'), JSON.stringify({ url }), { mode: 0o600 })
    world.up = true
    expect(await coming).toBe(url)
    await other.close()
    await rm(directory, { recursive: true })
  })

  test('one that cannot be started says why, and is tried again', async () => {
    const dataDir = await folder()
    const { world, start, connect } = pretend()
    world.fails = 'no space left'
    const shared = new SharedCluster({
      directory: join(dataDir, 'provision'),
      startCluster: start,
      connect,
      waitForOwnerMs: 0,
    })
    await expect(shared.url()).rejects.toThrow('no space left')
    world.fails = ''
    expect(await shared.url()).toContain('21000')
    await shared.close()
    await expect(new SharedCluster({ directory: dataDir, startCluster: start, connect }).made()).resolves.toBe(false)
    await rm(dataDir, { recursive: true })
  })
})
