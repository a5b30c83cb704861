// The PostgreSQL provisioner: the contract, then what only a real server can show: crashes at each step, runners that come too
// late, who can see and reach what, and where passwords never are.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Provisioner, ResourceSpec } from '../../src/drivers/provision/driver.ts'
import {
  calm,
  doneNull,
  doneValue,
  fenceOf,
  newPassword,
  newRef,
  provisionConformance,
  specOf,
} from './provision.conformance.ts'
import {
  around,
  clientOf,
  connectTo,
  createPostgresFixture,
  type PostgresFixture,
} from './provision-postgres-fixture.ts'

let fixture: PostgresFixture
beforeAll(async () => {
  fixture = await createPostgresFixture(inject('postgresMajor'))
})
afterAll(() => fixture?.dispose())

provisionConformance('PostgreSQL provisioner', async () => ({
  provisioner: () => fixture.provisioner(),
  connect: clientOf,
  exists: (ref) => fixture.exists(ref),
  plantForeign: (ref) => fixture.plantForeign(ref),
  dispose: async () => {},
}))

const made = async (spec: ResourceSpec, generation = 1) =>
  (await doneValue(fixture.provisioner().provision(spec, fenceOf(spec, generation), calm))).url
const sqlState = (code: string) => expect.objectContaining({ code })

describe('PostgreSQL provisioner: crashes', () => {
  /** Runs the call again and again, each time on a fresh resource, with the connection cut after one statement more. */
  async function cutEverywhere(
    prepare: (spec: ResourceSpec) => Promise<unknown>,
    call: (driver: Provisioner, spec: ResourceSpec, attempt: number) => Promise<{ kind: string }>,
    check: (spec: ResourceSpec) => Promise<void>,
  ): Promise<string[]> {
    const names: string[] = []
    for (let cutAfter = 1; ; cutAfter++) {
      const spec = specOf(newRef())
      await prepare(spec)
      let count = 0
      let last = ''
      const dying = fixture.provisioner(
        around(connectTo(), {
          async after(name, session) {
            last = name
            if (++count === cutAfter) await session.retire(true)
          },
        }),
      )
      const outcome = await call(dying, spec, 1)
      if (outcome.kind === 'done' && count < cutAfter) return names
      if (outcome.kind === 'done') names.push(`${last} (last)`)
      else names.push(last)
      expect(['done', 'unknown', 'unreachable']).toContain(outcome.kind)
      expect(await call(fixture.provisioner(), spec, 2), `cut after ${last}`).toMatchObject({ kind: 'done' })
      await check(spec)
    }
  }

  test('provision: cut after any statement, asked again, it is whole', async () => {
    const names = await cutEverywhere(
      async () => {},
      (driver, spec, attempt) => driver.provision(spec, fenceOf(spec, 1, 'op-1', attempt), calm),
      async (spec) => {
        const client = await clientOf(
          `${new URL(fixture.url).protocol}//pawl_${spec.incarnation}:${spec.password}@${new URL(fixture.url).host}/pawl_${spec.incarnation}`,
        )
        await client.write('x')
        await client.end()
      },
    )
    for (const step of ['fence', 'create role', 'create database', 'close database', 'open database', 'unlock role']) {
      expect(names).toContain(step)
    }
  })

  test('provision cut after any statement, then removed: nothing is left', async () => {
    const names = await cutEverywhere(
      async () => {},
      async (driver, spec, attempt) =>
        attempt === 1
          ? driver.provision(spec, fenceOf(spec, 1), calm)
          : driver.deprovision(spec, fenceOf(spec, 2), calm),
      async (spec) => expect(await fixture.exists(spec)).toBe(false),
    )
    expect(names).toContain('create database')
  })

  test('deprovision: cut after any statement, asked again, nothing is left', async () => {
    const names = await cutEverywhere(
      (spec) => made(spec),
      (driver, spec, attempt) => driver.deprovision(spec, fenceOf(spec, 2, 'op-2', attempt), calm),
      async (spec) => expect(await fixture.exists(spec)).toBe(false),
    )
    expect(names).toEqual(expect.arrayContaining(['lock role', 'shut database', 'drop database', 'drop role']))
  })

  test('rotate: cut after any statement, asked again, the new password alone works', async () => {
    const given = new Map<string, ResourceSpec>()
    const names = await cutEverywhere(
      async (spec) => {
        await made(spec)
        given.set(spec.incarnation, specOf(spec))
      },
      (driver, spec, attempt) =>
        driver.rotate(given.get(spec.incarnation) ?? spec, fenceOf(spec, 2, 'op-2', attempt), calm),
      async (spec) => {
        const { url } = await doneValue(
          fixture.provisioner().rotate(given.get(spec.incarnation) ?? spec, fenceOf(spec, 2, 'op-2', 3), calm),
        )
        await (await clientOf(url)).end()
        const old = new URL(url)
        old.password = spec.password
        await expect(clientOf(old.href)).rejects.toMatchObject({ code: '28P01' })
      },
    )
    expect(names).toContain('change password')
  })
})

describe('PostgreSQL provisioner: runners that come too late', () => {
  /** A provisioner that stops before the named statement until it is let go. */
  function parked(at: string, lockTimeoutMs = 3_000) {
    const reached = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    const connect = around(connectTo({ statementTimeoutMs: 10_000, lockTimeoutMs }), {
      async before(name) {
        if (name !== at) return
        reached.resolve()
        await go.promise
      },
    })
    return { driver: fixture.provisioner(connect), reached: reached.promise, go: go.resolve }
  }
  const hasty = () => fixture.provisioner(connectTo({ statementTimeoutMs: 10_000, lockTimeoutMs: 100 }))

  test('R19 while one call works on it another one waits, and says so when it waits too long', async () => {
    const spec = specOf(newRef())
    const first = parked('create database')
    const making = first.driver.provision(spec, fenceOf(spec, 1), calm)
    await first.reached
    const blocked = await hasty().deprovision(spec, fenceOf(spec, 2), calm)
    expect(blocked).toEqual({ kind: 'unreachable', reason: 'Another call holds the resource' })
    first.go()
    expect((await making).kind).toBe('done')
    expect(await hasty().deprovision(spec, fenceOf(spec, 2), calm)).toEqual(doneNull)
    expect(await fixture.exists(spec)).toBe(false)
  })

  test.each([
    ['create database', 'provision'],
    ['drop database', 'deprovision'],
  ] as const)('R62 one that lost its connection before "%s" does not do it any more', async (at, call) => {
    const spec = specOf(newRef())
    if (call === 'deprovision') await made(spec)
    const first = parked(at)
    const fence = fenceOf(spec, 1, 'op-1', 2)
    const late =
      call === 'provision' ? first.driver.provision(spec, fence, calm) : first.driver.deprovision(spec, fence, calm)
    await first.reached
    await fixture.admin`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pawl-provision'`
    if (call === 'provision') {
      expect(await fixture.provisioner().deprovision(spec, fenceOf(spec, 2), calm)).toEqual(doneNull)
    } else await made(spec, 2)
    first.go()
    expect((await late).kind).toBe('unknown')
    expect(await fixture.exists(spec)).toBe(call === 'deprovision')
  })

  test('an abort ends the call at once, and frees the resource', async () => {
    const spec = specOf(newRef())
    const abort = new AbortController()
    const first = parked('create database')
    const making = first.driver.provision(spec, fenceOf(spec, 1), abort.signal)
    await first.reached
    abort.abort()
    first.go()
    expect((await making).kind).toBe('unknown')
    expect(await fixture.provisioner().deprovision(spec, fenceOf(spec, 2), calm)).toEqual(doneNull)
    expect(await fixture.exists(spec)).toBe(false)
  })

  test('a session that was being let in while the doors closed is ended too', async () => {
    const spec = specOf(newRef())
    const url = await made(spec)
    const stop = new AbortController()
    const entering = Array.from({ length: 8 }, async () => {
      let open = 0
      while (!stop.signal.aborted) {
        const client = await clientOf(url).catch(() => null)
        if (client === null) continue
        open++
        await client.ended
      }
      return open
    })
    for (const generation of [2, 4, 6]) {
      await doneValue(fixture.provisioner().pause(spec, fenceOf(spec, generation), calm))
      const [row] =
        await fixture.admin`SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = ${`pawl_${spec.incarnation}`}`
      expect(row?.n).toBe(0)
      await doneValue(fixture.provisioner().resume(spec, fenceOf(spec, generation + 1), calm))
      await expect
        .poll(
          async () =>
            (await fixture.admin`SELECT FROM pg_stat_activity WHERE usename = ${`pawl_${spec.incarnation}`}`).length,
        )
        .toBeGreaterThan(0)
    }
    stop.abort()
    await doneValue(fixture.provisioner().deprovision(spec, fenceOf(spec, 9), calm))
    expect((await Promise.all(entering)).reduce((sum, open) => sum + open)).toBeGreaterThan(0)
  })
})

describe('PostgreSQL provisioner: confinement', () => {
  test('a role is an owner at home and nobody elsewhere', async () => {
    const [one, other] = [specOf(newRef()), specOf(newRef())]
    const [url] = [await made(one), await made(other)]
    const { sql, end } = await clientOf(url)
    const [role] = await sql`SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolconnlimit
      FROM pg_roles WHERE rolname = current_user`
    expect(role).toEqual({
      rolsuper: false,
      rolcreatedb: false,
      rolcreaterole: false,
      rolreplication: false,
      rolbypassrls: false,
      rolconnlimit: 20,
    })
    await sql`CREATE TABLE public.mine (id int)`
    for (const place of ['postgres', 'template1', `pawl_${other.incarnation}`]) {
      const elsewhere = new URL(url)
      elsewhere.pathname = `/${place}`
      await expect(clientOf(elsewhere.href), place).rejects.toMatchObject({ code: '42501' })
    }
    for (const attempt of [
      `CREATE ROLE intruder`,
      `CREATE DATABASE intruder`,
      `ALTER ROLE "pawl_${other.incarnation}" PASSWORD 'x'`,
      `ALTER DATABASE "pawl_${other.incarnation}" CONNECTION LIMIT 0`,
      `DROP DATABASE "pawl_${other.incarnation}"`,
      `ALTER ROLE current_user CONNECTION LIMIT -1`,
      `ALTER ROLE current_user SUPERUSER`,
      `SET ROLE pawl`,
      `COPY (SELECT 1) TO PROGRAM 'true'`,
      `SELECT pg_read_file('PG_VERSION')`,
      `SELECT * FROM pg_authid`,
    ]) {
      await expect(sql.unsafe(attempt), attempt).rejects.toEqual(sqlState('42501'))
    }
    const [seen] = await sql`SELECT count(*)::int AS n FROM pg_shdescription`
    expect(seen?.n).toBe((await fixture.admin`SELECT FROM pg_shdescription`).length)
    expect((await fixture.admin`SELECT FROM pg_shdescription WHERE description LIKE '%tested%'`).length).toBe(0)
    await end()
  })

  test('what an owner can do to its own database stops neither a pause nor a removal', async () => {
    const [one, other] = [specOf(newRef()), specOf(newRef())]
    const name = `"pawl_${one.incarnation}"`
    const url = await made(one)
    await made(other)
    const { sql, ended } = await clientOf(url)
    await sql.unsafe(`ALTER DATABASE ${name} IS_TEMPLATE true`)
    await sql.unsafe(`ALTER DATABASE ${name} SET default_transaction_read_only = on`)
    await sql.unsafe(`CREATE SCHEMA trap`)
    await sql.unsafe(`CREATE FUNCTION trap.pg_backend_pid() RETURNS int LANGUAGE plpgsql AS
      $$ BEGIN EXECUTE 'ALTER ROLE ${name} SUPERUSER'; RETURN 1; END $$`)
    await sql.unsafe(`ALTER DATABASE ${name} SET search_path = trap, pg_catalog, public`)
    await sql.unsafe(`ALTER DATABASE ${name} SET role = ${name}`)
    await sql.unsafe(`GRANT CONNECT ON DATABASE ${name} TO PUBLIC`)
    await sql.unsafe(`GRANT ALL ON SCHEMA public TO "pawl_${other.incarnation}"`)
    const guest = new URL(url)
    guest.username = `pawl_${other.incarnation}`
    guest.password = other.password
    const visitor = await clientOf(guest.href)
    await visitor.sql`SET default_transaction_read_only = off`
    await visitor.sql`SET search_path = public`
    await visitor.sql`CREATE TABLE public.of_a_guest (id int)`
    await doneValue(fixture.provisioner().pause(one, fenceOf(one, 2), calm))
    await Promise.all([ended, visitor.ended])
    await expect(clientOf(guest.href)).rejects.toMatchObject({ code: '53300' })
    // The guest is removed although the host, which is paused, holds a table and rights of it.
    expect(await fixture.provisioner().deprovision(other, fenceOf(other, 2), calm)).toEqual(doneNull)
    expect(await fixture.exists(other)).toBe(false)
    const [owner] = await fixture.admin`SELECT rolsuper FROM pg_roles WHERE rolname = ${name.slice(1, -1)}`
    expect(owner?.rolsuper).toBe(false)
    await doneValue(fixture.provisioner().resume(one, fenceOf(one, 3), calm))
    const again = await clientOf(url)
    expect((await again.sql`SELECT to_regclass('public.of_a_guest')::text AS name`)[0]?.name).toBe('of_a_guest')
    await again.end()
    expect(await fixture.provisioner().deprovision(one, fenceOf(one, 4), calm)).toEqual(doneNull)
    expect(await fixture.exists(one)).toBe(false)
  })

  test('R87 read-only and back: open sessions end, and data can still be removed on purpose', async () => {
    const spec = specOf(newRef())
    const driver = fixture.provisioner()
    const url = await made(spec)
    const first = await clientOf(url)
    await first.write('kept')
    const freeze = (fence: ReturnType<typeof fenceOf>, writable = false) =>
      driver.setWritable(spec, writable, fence, calm)
    expect(await freeze(fenceOf(spec, 2))).toEqual(doneNull)
    await first.ended
    const second = await clientOf(url)
    await expect(second.write('more')).rejects.toMatchObject({ code: '25006' })
    await second.sql`SET default_transaction_read_only = off`
    await second.sql`DELETE FROM note`
    expect(await freeze(fenceOf(spec, 2, 'op-2', 2))).toEqual(doneNull)
    expect(await second.read()).toBe(null)
    expect(await freeze(fenceOf(spec, 1), true)).toMatchObject({ kind: 'stale' })
    expect(await freeze(fenceOf(spec, 3), true)).toEqual(doneNull)
    await second.ended
    const third = await clientOf(url)
    await third.write('again')
    await third.end()
  })

  test('a server where everyone may enter some database is refused, with what is to be done', async () => {
    await fixture.admin.unsafe('CREATE DATABASE left_open')
    const spec = specOf(newRef())
    const outcome = await fixture.provisioner().provision(spec, fenceOf(spec, 1), calm)
    await fixture.admin.unsafe('DROP DATABASE left_open')
    expect(outcome).toEqual({
      kind: 'refused',
      reason: expect.stringContaining('REVOKE CONNECT ON DATABASE "left_open" FROM PUBLIC'),
    })
    expect(await fixture.exists(spec)).toBe(false)
  })

  test('a role that may make databases and roles is enough; one that may not is refused by name', async () => {
    const password = newPassword()
    await fixture.admin.unsafe(`CREATE ROLE maker LOGIN CREATEDB CREATEROLE PASSWORD '${password}'`)
    await fixture.admin.unsafe(`CREATE ROLE idler LOGIN PASSWORD '${password}'`)
    await fixture.admin.unsafe('CREATE DATABASE maintenance OWNER maker')
    await fixture.admin.unsafe('REVOKE CONNECT ON DATABASE maintenance FROM PUBLIC')
    await fixture.admin.unsafe('GRANT CONNECT ON DATABASE maintenance TO idler')
    const as = (role: string) => {
      const url = new URL(fixture.url)
      url.username = role
      url.password = password
      url.pathname = '/maintenance'
      return fixture.provisioner((_, connect = connectTo()) => connect(url.href))
    }
    const spec = specOf(newRef())
    expect(await as('idler').provision(spec, fenceOf(spec, 1), calm)).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining('CREATEDB and CREATEROLE'),
    })
    const maker = as('maker')
    const { url } = await doneValue(maker.provision(spec, fenceOf(spec, 1), calm))
    const client = await clientOf(url)
    expect(await maker.pause(spec, fenceOf(spec, 2), calm)).toEqual(doneNull)
    await client.ended
    expect(await maker.resume(spec, fenceOf(spec, 3), calm)).toEqual(doneNull)
    await (await clientOf(url)).end()
    await doneValue(maker.observe(spec, calm))
    expect(await maker.deprovision(spec, fenceOf(spec, 4), calm)).toEqual(doneNull)
    expect(await fixture.exists(spec)).toBe(false)
  })

  test('a database that was dropped by hand is absent; resume is refused and provision makes it anew', async () => {
    const spec = specOf(newRef())
    const url = await made(spec)
    await fixture.admin.unsafe(`DROP DATABASE "pawl_${spec.incarnation}"`)
    expect(await fixture.provisioner().observe(spec, calm)).toEqual({ kind: 'done', value: { state: 'absent' } })
    expect(await fixture.provisioner().resume(spec, fenceOf(spec, 2), calm)).toMatchObject({ kind: 'refused' })
    expect(await made(spec, 3)).toBe(url)
    await (await clientOf(url)).end()
  })

  test('size is told', async () => {
    const spec = specOf(newRef())
    await made(spec)
    const seen = await doneValue(fixture.provisioner().observe(spec, calm))
    expect(seen.state === 'active' && seen.sizeBytes).toBeGreaterThan(1_000_000)
  })
})

describe('PostgreSQL provisioner: secrets', () => {
  test('no password is in a statement, in the log of the server, or in an outcome', async () => {
    const spec = specOf(newRef(), 'canaryFirst0canaryFirst0canaryFirst0')
    const next = specOf(spec, 'canarySecond0canarySecond0canarySecond0')
    const sent: string[] = []
    const outcomes: unknown[] = []
    const connect = around(connectTo(), {
      before: (name) => {
        sent.push(name)
        if (name === 'unlock role')
          throw Object.assign(new Error('canaryFirst0'), { code: '42501', query: next.password })
      },
    })
    const broken = fixture.provisioner(connect)
    outcomes.push(await broken.provision(spec, fenceOf(spec, 1), calm))
    await fixture.admin.unsafe(`DROP DATABASE "pawl_${spec.incarnation}"`)
    await fixture.admin.unsafe(`CREATE DATABASE "pawl_${spec.incarnation}"`)
    const failing = [
      await fixture.provisioner().provision(spec, fenceOf(spec, 1), calm),
      await fixture.provisioner().rotate(next, fenceOf(spec, 2), calm),
    ]
    await fixture.admin.unsafe(`DROP DATABASE "pawl_${spec.incarnation}"`)
    await made(spec, 3)
    await doneValue(fixture.provisioner().rotate(next, fenceOf(spec, 4), calm))
    outcomes.push(...failing)
    expect(outcomes.map((outcome) => (outcome as { kind: string }).kind)).toEqual(['refused', 'refused', 'refused'])
    expect(JSON.stringify([outcomes, sent])).not.toMatch(/canary(First|Second)0/)
    const log = await fixture.serverLog()
    expect(log).toContain(`CREATE ROLE "pawl_${spec.incarnation}"`)
    expect(log).not.toMatch(/canary(First|Second)0/)
    const [kept] = await fixture.admin`SELECT rolpassword FROM pg_authid WHERE rolname = ${`pawl_${spec.incarnation}`}`
    expect(kept?.rolpassword).toMatch(/^SCRAM-SHA-256\$4096:/)
  })
})
