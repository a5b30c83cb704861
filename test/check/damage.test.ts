// Each kind of damage to what is promised of work, approvals, keys, instances, deliveries and sealed values is found and named, by
// the check that it concerns. Damage to the log itself and to counters: test/events/check.test.ts.
import type postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { answerChecks } from '../../src/resolvers/answer-check.ts'
import { deleteDeployment, redeployDeployment } from '../../src/resolvers/deployment.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { eventChecks } from '../../src/resolvers/event-check.ts'
import { promoteStack } from '../../src/resolvers/promotion.ts'
import { rowChecks } from '../../src/resolvers/row-check.ts'
import { checkSealed, references } from '../../src/resolvers/sealed-check.ts'
import { setSecret } from '../../src/resolvers/secret.ts'
import { unitChecks } from '../../src/resolvers/unit-check.ts'
import { workChecks } from '../../src/resolvers/work-check.ts'
import { openStage, type Stage } from '../loops/fixture.ts'
import { openPromotionWorld, type PromotionWorld, toEnvironment } from '../promotions/world.ts'
import { testSealing } from '../row.ts'
import { damaged, findingsOf, settled } from './damage.ts'

const checks = [...eventChecks, ...rowChecks, ...workChecks, ...answerChecks, ...unitChecks, references]
let stage: Stage
let world: PromotionWorld
/** One that is HEALTHY at generation 2, one that was torn down, and one that runs. */
const ids = { it: '', gone: '', other: '' }
let approval = ''
beforeAll(async () => {
  stage = await openStage()
  stage.replica()
  ids.it = await stage.deploy({ name: 'kept' })
  ids.other = await stage.deploy({ name: 'other' })
  ids.gone = await stage.deploy({ name: 'gone' })
  for (const id of Object.values(ids)) await stage.reaches(id, 'HEALTHY')
  await redeployDeployment(stage.context, { id: ids.it, idempotencyKey: 'again' })
  await stage.reaches(ids.it, 'HEALTHY')
  await deleteDeployment(stage.context, { id: ids.gone })
  await stage.reaches(ids.gone, 'DELETED')
  await setSecret(stage.context, { name: 'S', value: 'one', idempotencyKey: 'secret' } as never)
  await setSecret(stage.context, { name: 'T', value: 'two' } as never)
  while ((await sequenceEvents(stage.context.db, 1_000)) > 0);
  world = await openPromotionWorld()
  const stackId = await world.stack()
  approval = await world.approved('STACK', stackId, toEnvironment)
  await promoteStack(world.context, { stackId, toEnvironment, approvalId: approval })
})
afterAll(async () => {
  await stage?.close()
  await world?.close()
})

/** What is found that was not found before. */
async function found(
  sql: postgres.Sql,
  named: Record<string, string>,
  statements: readonly string[],
): Promise<string[]> {
  const of = (lines: readonly string[]) => lines.map((line) => settled(line, named))
  const filled = statements.map((text) =>
    Object.entries(named).reduce((all, [name, id]) => all.replaceAll(`$${name}`, `'${id}'`), text),
  )
  const before = new Set(of(await damaged(sql, [], (db) => findingsOf(db, checks))))
  return of(await damaged(sql, filled, (db) => findingsOf(db, checks))).filter((line) => !before.has(line))
}

const last = (kind: string) => `id = (select max(id) from event where subject_id = $it and kind = '${kind}')`
const copy = (table: string, from: string, changes: Record<string, string>) =>
  `insert into ${table} select (jsonb_populate_record(r, jsonb_build_object(${Object.entries(changes)
    .map(([key, value]) => `'${key}', ${value}`)
    .join(', ')}))).* from ${table} r where ${from} limit 1`
const id = (prefix: string, n: number) => `${prefix}_${String(n).padStart(26, '0')}`
const webhook = `insert into webhook (id, state, team_id, url, filter, secret_changed_at, cursor)
  select '${id('whk', 1)}', 'ACTIVE', team_id, 'https://a.example', '{}', now(), 4 from deployment limit 1`
const delivery = (n: number, position: number, state: string, more = '') =>
  `insert into webhook_delivery (id, state, team_id, webhook_id, position, subject_id, message_id, state_changed_at)
   select '${id('whd', n)}', '${state}', team_id, '${id('whk', 1)}', ${position}, id, 'm${n}', now() ${more} from deployment where id = $it`

const damage: Readonly<Record<string, readonly [statements: string[], found: string[]]>> = {
  'something that came back from its end': [
    [`update event set kind = 'reviveDeployment', from_state = 'DELETED' where ${last('rollOutDeployment')}`],
    [
      'chain: it: event n, reviveDeployment, goes on from DELETED, and event n has led to BUILDING',
      'moves: it: event n, reviveDeployment, brings it back: it was DELETED, which is never left',
    ],
  ],
  'a wish without a generation of its own': [
    ['update event set generation = 1 where subject_id = $it', 'update deployment set generation = 1 where id = $it'],
    [
      'chain: it: event n, redeployDeployment, stays at generation 1, and begins another one',
      'operations: op: is of generation 2 of it, which has come to 1 only',
      'instances: ins: is of generation 2 of it, which has come to 1 only',
    ],
  ],
  'a generation that nobody wished for': [
    [
      `update event set generation = 3 where ${last('markDeploymentHealthy')}`,
      'update deployment set generation = 3 where id = $it',
    ],
    [
      'chain: it: event n, markDeploymentHealthy, goes on to generation 3, and begins none',
      'instances: ins: is ONLINE and of generation 2, and it is HEALTHY at generation 3',
    ],
  ],
  'two that live under one name': [
    ['drop index deployment_name', "update deployment set name = 'kept' where id = $other"],
    ['names: team: 2 of deployment live under the name kept in development: it, other'],
  ],
  'an operation of a generation that its subject never had': [
    ['update operation set generation = 9 where subject_id = $it and generation = 2'],
    [
      'rows: op: is of generation 9, and event n of 2',
      'operations: op: is of generation 9 of it, which has come to 2 only',
    ],
  ],
  'what was taken down twice': [
    [copy('operation', "subject_id = $gone and kind like '%tear_down'", { id: `'${id('op', 2)}'` })],
    ['rows: op: is SUCCEEDED, and no event tells of it', 'operations: gone: was taken down by 2 operations: op, op'],
  ],
  'live work of what has ended': [
    ["update operation set state = 'PENDING' where subject_id = $gone and kind like '%tear_down'"],
    [
      'rows: op: is PENDING, and event n has led to SUCCEEDED',
      'operations: op: is PENDING, and gone, which it is to end, has ended',
    ],
  ],
  'a passing state that has lost its work': [
    ["update deployment set state = 'DEPLOYING', state_changed_at = now() - interval '11 minutes' where id = $it"],
    [
      'rows: it: is DEPLOYING, and event n has led to HEALTHY',
      'passing: it: is DEPLOYING since <time>, and no live operation of generation 2 will change that',
    ],
  ],
  'a passing state that has lost its work a moment ago, and gets it again when its deadline is over': [
    ["update deployment set state = 'DEPLOYING', state_changed_at = now() - interval '9 minutes' where id = $it"],
    ['rows: it: is DEPLOYING, and event n has led to HEALTHY'],
  ],
  'a key that names an operation which is not there': [
    [`update idempotency_key set operation_id = '${id('op', 3)}' where key = 'again'`],
    ['keys: tok redeployDeployment again: was answered with the operation op, which is not there'],
  ],
  'a key that names somebody else’s operation': [
    [
      `update operation set actor = '{"kind": "token", "id": "x"}' where id = (select operation_id from idempotency_key where key = 'again')`,
    ],
    ['keys: tok redeployDeployment again: was answered with the operation op, which x asked for'],
  ],
  'a key that names another subject than its events': [
    ["update idempotency_key set subject_id = $other where key = 'again'"],
    ['keys: tok redeployDeployment again: was answered with other and op, and no event tells that'],
  ],
  'a key of a call that no event tells of': [
    ["update idempotency_key set created_at = created_at - interval '1 hour' where key = 'secret'"],
    ['keys: tok setSecret secret: was answered with sec, and no event tells that'],
  ],
  'two keys with one operation': [
    [copy('idempotency_key', "key = 'again'", { key: "'more'" })],
    ['keys: op: was answered to 2 calls: tok redeployDeployment again, tok redeployDeployment more'],
  ],
  'two instances that run of one workload': [
    ["update instance set state = 'ONLINE' where subject_id = $it and generation = 1"],
    [
      'rows: ins: is ONLINE, and event n has led to REMOVED',
      'instances: it: 2 instances of it run at once: ins, ins',
      'instances: ins: is ONLINE and of generation 1, and it is HEALTHY at generation 2',
    ],
  ],
  'one run of two instances': [
    ['update instance i set instance_id = d.instance_id from deployment d where d.id = $it and i.subject_id = $other'],
    [
      expect.stringMatching(/^instances: run \S+: is that of 2 instances: ins, ins$/) as unknown as string,
      expect.stringMatching(/^instances: ins: is the run \S+, and other names \S+$/) as unknown as string,
    ],
  ],
  'an instance of what has ended': [
    [
      "update instance set state = 'OFFLINE' where subject_id = $gone",
      "update deployment set state_changed_at = now() - interval '11 minutes' where id = $gone",
    ],
    ['rows: ins: is OFFLINE, and event n has led to REMOVED', 'instances: ins: is OFFLINE, and gone is DELETED'],
  ],
  'deliveries out of order': [
    [
      webhook,
      delivery(1, 1, 'DELIVERED'),
      delivery(2, 2, 'DELIVERED', "- interval '1 s'"),
      delivery(3, 3, 'PENDING'),
      delivery(4, 4, 'DEAD'),
    ],
    [
      'deliveries: whd: has ended before whd, which comes before it',
      'deliveries: whd: is DEAD, and an earlier one of it to whk still waits',
    ],
  ],
  'an event that is delivered twice, and one that no webhook has come to': [
    [
      'drop index webhook_delivery_once',
      webhook,
      delivery(1, 2, 'PENDING'),
      delivery(2, 2, 'PENDING'),
      delivery(3, 5, 'PENDING'),
    ],
    [
      'deliveries: whk: event at position 2 is told 2 times: whd, whd',
      'deliveries: whd: is of position 5, and whk has come to 4 only',
    ],
  ],
  'a webhook that is ahead of the log': [
    [webhook, 'update webhook set cursor = 999999'],
    [
      expect.stringMatching(
        /^deliveries: whk: has come to position 999999, and the log to \d+ only$/,
      ) as unknown as string,
    ],
  ],
  'a secret that has lost its value': [
    ["update secret set value = null where name = 'S'"],
    ['references: sec: can be referred to and has no value'],
  ],
}

test.each(Object.entries(damage))('%s is found', async (_, [statements, lines]) => {
  const newly = (await found(stage.sql, ids, statements)).filter(
    (line) => !/^rows: whk|^rows: whd|^counters: /.test(line),
  )
  expect(newly).toEqual(lines)
})

const approvalDamage: Readonly<Record<string, readonly [statements: string[], found: string[]]>> = {
  'an approval that is burnt: it names no operation': [
    ['update promotion_approval set operation_id = null where id = $apr'],
    ['approvals: apr: is burnt: it is used and names no operation'],
  ],
  'an approval whose operation was never launched': [
    [
      "delete from event where subject_type = 'Operation' and subject_id = (select operation_id from promotion_approval where id = $apr)",
    ],
    ['approvals: apr: is burnt: event n uses it, and the operation op was not launched by it'],
  ],
  'an approval that changes nothing': [
    [
      "delete from event where subject_type = 'Stack' and transition_id = (select transition_id from event where subject_id = $apr and to_state = 'EXECUTED')",
    ],
    ['approvals: apr: is burnt: event n uses it, and changes nothing'],
  ],
  'an approval that names another operation': [
    [`update promotion_approval set operation_id = '${id('op', 4)}' where id = $apr`],
    ['approvals: apr: names the operation op, and event n launched op'],
  ],
  'an approval that is used and says that it is not': [
    ["update promotion_approval set state = 'APPROVED' where id = $apr"],
    [
      'rows: apr: is APPROVED, and event n has led to EXECUTED',
      'approvals: apr: is APPROVED, and names the operation op',
    ],
  ],
  'an approval that is used twice': [
    [copy('event', "subject_id = $apr and to_state = 'EXECUTED'", { id: '9999999', position: 'null' })],
    [expect.stringMatching(/^approvals: apr: is used 2 times, by events \d+, 9999999$/) as unknown as string],
  ],
  'two approvals that launch one operation': [
    [copy('promotion_approval', 'id = $apr', { id: `'${id('apr', 5)}'` })],
    [expect.stringMatching(/^approvals: op: is launched by 2 approvals: apr, apr$/) as unknown as string],
  ],
}

test.each(Object.entries(approvalDamage))('%s is found', async (_, [statements, lines]) => {
  const newly = await found(world.stranger, { apr: approval }, statements)
  expect(newly).toEqual(expect.arrayContaining(lines))
})

test('a value that was moved, changed, or sealed with a key that is not in hand is found, and nothing of it is told', async () => {
  const look = (db: Parameters<typeof checkSealed>[0]) => checkSealed(db, testSealing)
  expect((await damaged(stage.sql, [], look)).found).toBe(0)
  const moved = "update secret set value = (select value from secret where name = 'T') where name = 'S'"
  const foreign = "update secret set value = replace(value, 'v1.test.', 'v1.lost.') where name = 'T'"
  const { found: count, lines } = await damaged(stage.sql, [moved, foreign], look)
  expect(count).toBe(2)
  expect(lines.map((line) => settled(line))).toEqual([
    'sec: secret.value: the secret of sec cannot be opened: it was changed, moved, or sealed with another key test',
    'sec: secret.value: the secret of sec was sealed with the key lost, which PAWL_SECRET_KEYS does not hold',
  ])
})
