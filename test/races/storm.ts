// A storm of deletes: rounds of sixteen callers over three replicas on one resource each, in different states, with the expirer
// and the net under deprovisions among them. Not forced but many; after each round the invariants are asked of the database.
import { expect } from 'vitest'
import { expireLoop } from '../../src/loops/expire.ts'
import { teardownLoop } from '../../src/loops/teardown.ts'
import { isRefusal } from '../../src/refusals.ts'
import { deleteResource, pauseResource, rotateResourceCredentials } from '../../src/resolvers/resource.ts'
import { until } from '../loops/fixture.ts'
import type { ResourceReplicaOptions, ResourceStage } from '../resources/fixture.ts'
import { contextFor } from '../row.ts'

export const callers = 16
const calm = new AbortController().signal
const states = ['ACTIVE', 'PROVISIONING', 'PAUSED', 'rotating'] as const
type Begins = (typeof states)[number]

export interface StormCounts {
  rounds: number
  /** Calls that were told that they deleted it. */
  won: number
  /** Calls that were told that it was deleted already. */
  already: number
  /** Rounds in which the time limit was first. */
  expired: number
  /** Deprovisions that were accepted. */
  accepted: number
  /** Things that were made, and that were taken away. */
  made: number
  removed: number
}

/** What became of one resource outside, after its round. */
export interface Afterwards {
  readonly made: number
  readonly removed: number
  /** Whether anything of it is left. */
  readonly left: boolean
}

/** What is wrong with a resource after its deletion; empty when all is well. */
const flaws = (stage: ResourceStage, id: string) => stage.sql<{ flaw: string }[]>`
  with r as (select * from resource where id = ${id}),
    e as (select *, lag(to_state) over (order by id) as before, lag(version) over (order by id) as version_before,
      row_number() over (order by id desc) as from_end from event where subject_id = ${id}),
    o as (select * from operation where subject_id = ${id})
  select 'the chain is broken at ' || id as flaw from e where before is not null and (from_state <> before or version <> version_before + 1)
  union all select 'it was deleted so often: ' || count(*) from e where to_state = 'DELETING' and from_state <> 'DELETING' having count(*) <> 1
  union all select 'the last event is not of the row' from r, e where from_end = 1 and (e.to_state <> r.state or e.version <> r.version)
  union all select 'there are deprovisions: ' || count(*) from o where kind = 'resource.deprovision' having count(*) <> 1
  union all select 'an operation is ' || state from o where state in ('PENDING', 'RUNNING', 'UNKNOWN')
  union all select 'a deprovision is ' || state from o where kind = 'resource.deprovision' and state <> 'SUCCEEDED'
  union all select 'state is ' || state from r where state <> 'DELETED'
  union all select 'it can still be connected to' from r where connection is not null or next_password is not null
  union all select 'the counter is ' || used from plan_usage where kind = 'resources' and used <> 0`

async function begin(stage: ResourceStage, round: number, begins: Begins): Promise<string> {
  const id = await stage.create({ name: `s${round}` })
  if (begins !== 'PROVISIONING') await stage.comesTo(id, 'ACTIVE')
  if (begins === 'PAUSED') {
    await pauseResource(stage.context, { id })
    await stage.comesTo(id, 'PAUSED')
  }
  if (begins === 'rotating') await rotateResourceCredentials(stage.context, { id })
  // Every third one has had its time, too.
  if (round % 3 === 0) await stage.beneath((sql) => sql`update resource set expires_at = now() where id = ${id}`)
  return id
}

/** Runs the storm with three replicas, and returns what happened. */
export async function storm(
  stage: ResourceStage,
  rounds: number,
  through: ResourceReplicaOptions['through'],
  afterwards: (id: string) => Promise<Afterwards>,
): Promise<StormCounts> {
  const replicas = [1, 2, 3].map(() => stage.replica(through ? { through } : {}))
  const nudge = () => {
    for (const { dispatcher } of replicas) dispatcher.nudge()
  }
  const pools = replicas.map(() => stage.open({ purpose: 'api', slots: 6 }))
  const contexts = pools.map(({ db }) => contextFor(db, stage.context.actor, { nudge }))
  const loops = pools.flatMap(({ db }) => [expireLoop(db, nudge), teardownLoop(db, nudge)])
  const counts: StormCounts = { rounds, won: 0, already: 0, expired: 0, accepted: 0, made: 0, removed: 0 }
  for (let round = 0; round < rounds; round++) {
    const id = await begin(stage, round, states[round % states.length] ?? 'ACTIVE')
    const calls = Array.from({ length: callers }, (_, n) =>
      deleteResource(contexts[n % contexts.length] ?? stage.context, { id }),
    )
    const passes = loops.map((loop) => loop.pass(calm))
    const results = await Promise.all(calls)
    await Promise.all(passes)
    await until(async () => expect(await flaws(stage, id)).toEqual([]))

    const row = await stage.resource(id)
    const lost = results.filter(isRefusal)
    for (const { refusal, facts } of lost) {
      expect([refusal, facts.deletedAt]).toEqual(['ResourceAlreadyDeleted', row.deletedAt])
    }
    const won = callers - lost.length
    const expired = row.stateReason === 'its time limit has passed'
    expect(won).toBe(expired ? 0 : 1)
    const after = await afterwards(id)
    expect(after).toEqual({ made: after.made, removed: after.made, left: false })
    const deprovisions = (await stage.operations(id)).filter(({ kind }) => kind === 'resource.deprovision')
    counts.won += won
    counts.already += lost.length
    counts.expired += expired ? 1 : 0
    counts.accepted += deprovisions.length
    counts.made += after.made
    counts.removed += after.removed
  }
  expect(counts.won + counts.expired).toBe(rounds)
  expect(counts.accepted).toBe(rounds)
  return counts
}
