// What the roles of resources can see and reach, what their owners cannot do to a pause or a removal, and where passwords
// never are. Against a real server that writes down all it is sent.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { ResourceSpec } from '../../src/drivers/provision/driver.ts'
import { calm, doneNull, doneValue, fenceOf, newPassword, newRef, specOf } from './provision.conformance.ts'
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

const made = async (spec: ResourceSpec, generation = 1) =>
  (await doneValue(fixture.provisioner().provision(spec, fenceOf(spec, generation), calm))).url
const sqlState = (code: string) => expect.objectContaining({ code })

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
