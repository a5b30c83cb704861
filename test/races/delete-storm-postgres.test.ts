// The storm of deletes on real databases: three replicas, each with a provisioner of its own, on one PostgreSQL that writes down
// every statement. Counted by what it was told, by the ledger, and by the databases and roles that are left.
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { createPostgresFixture, type PostgresFixture } from '../drivers/provision-postgres-fixture.ts'
import { openResourceStage, type ResourceStage } from '../resources/fixture.ts'
import { callers, storm } from './storm.ts'

const rounds = Number(process.env.PAWL_ROUNDS ?? 4)
let stage: ResourceStage
let postgres: PostgresFixture

beforeAll(async () => {
  ;[stage, postgres] = await Promise.all([openResourceStage(), createPostgresFixture(inject('postgresMajor'))])
})
afterAll(async () => {
  await stage.close()
  await postgres.dispose()
})

test(`deletes of databases: ${rounds} rounds of ${callers} callers on three replicas`, {
  timeout: 600_000,
}, async () => {
  const counts = await storm(
    stage,
    rounds,
    () => postgres.provisioner(),
    async (id) => {
      const ref = await stage.refOf(id)
      const [fence] = await postgres.admin`
        select state, removed from pawl_provision.ledger where incarnation = ${ref.incarnation}`
      expect(fence).toEqual({ state: 'removed', removed: true })
      const told = await postgres.serverLog()
      const count = (words: string) => told.split(`${words} "pawl_${ref.incarnation}"`).length - 1
      return {
        made: count('CREATE DATABASE'),
        removed: count('DROP DATABASE IF EXISTS'),
        left: await postgres.exists(ref),
      }
    },
  )
  const [left] = await postgres.admin`
    select (select count(*)::int from pg_database where datname like 'pawl\\_%') as databases,
      (select count(*)::int from pg_roles where rolname like 'pawl\\_%') as roles,
      (select count(*)::int from pawl_provision.ledger where state <> 'removed') as recorded`
  expect(left).toEqual({ databases: 0, roles: 0, recorded: 0 })
  console.log(`delete storm on PostgreSQL: ${JSON.stringify({ callers, ...counts })}`)
})
