// The PostgreSQL provisioner cut off after each of its statements: asked again, or asked for the opposite, it leaves what was
// wanted and nothing else.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Provisioner, ResourceSpec } from '../../src/drivers/provision/driver.ts'
import { calm, doneValue, fenceOf, newRef, specOf } from './provision.conformance.ts'
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
