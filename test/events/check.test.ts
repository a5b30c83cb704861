// The checks of the stored data: a database in which only real calls were made passes, and each kind of damage that is planted
// beneath the triggers is found and named, by the check that it concerns and by no other.
import type postgres from 'postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { answerChecks } from '../../src/resolvers/answer-check.ts'
import { runCheck } from '../../src/resolvers/check.ts'
import { mergeDeploymentEnv, redeployDeployment, stopDeployment } from '../../src/resolvers/deployment.ts'
import { sequenceEvents } from '../../src/resolvers/event.ts'
import { eventChecks } from '../../src/resolvers/event-check.ts'
import { rowChecks } from '../../src/resolvers/row-check.ts'
import { references } from '../../src/resolvers/sealed-check.ts'
import { setSecret } from '../../src/resolvers/secret.ts'
import { trimEvents } from '../../src/resolvers/trim.ts'
import { unitChecks } from '../../src/resolvers/unit-check.ts'
import { workChecks } from '../../src/resolvers/work-check.ts'
import { damaged as damagedIn, settled } from '../check/damage.ts'
import { openStage, type Stage } from '../loops/fixture.ts'
import { tell } from './fixture.ts'

const checks = [...eventChecks, ...rowChecks, ...workChecks, ...answerChecks, ...unitChecks, references]
let stage: Stage
let sql: postgres.Sql
let id = ''
beforeAll(async () => {
  stage = await openStage()
  sql = stage.sql
  // The stage puts its team in place without a call.
  const { teamId } = stage
  await tell(sql, { teamId, type: 'Team', subject: teamId, kind: 'createTeam', to: 'ACTIVE' })
  const [owner] = await sql<{ id: string }[]>`select id from member`
  await tell(sql, { teamId, type: 'Member', subject: String(owner?.id), kind: 'joinTeam', to: 'ACTIVE' })
  id = await stage.deploy({ name: 'kept' })
  await redeployDeployment(stage.context, { id })
  await stopDeployment(stage.context, { id })
  await mergeDeploymentEnv(stage.context, { id, set: [{ key: 'A', value: '1' }] } as never)
  await setSecret(stage.context, { name: 'S', value: 'one' } as never)
  await setSecret(stage.context, { name: 'S', value: 'two' } as never)
  while ((await sequenceEvents(stage.context.db, 1_000)) > 0);
})
afterAll(() => stage.close())

/** What all checks find, as `check: line`, with ids left out. */
async function findings(db = stage.context.db): Promise<string[]> {
  const lines: string[] = []
  for (const check of checks) {
    const { found, lines: told } = await runCheck(db, check)
    expect(found).toBe(told.length)
    lines.push(...told.map((line) => settled(`${check.name}: ${line}`, { it: id })))
  }
  return lines
}

/** What is found while damage is there that was planted beneath the triggers. */
const damaged = (...statements: string[]) =>
  damagedIn(
    sql,
    statements.map((statement) => statement.replaceAll('$it', `'${id}'`)),
    findings,
  )

test('a database in which only real calls were made passes every check', async () => {
  expect(await findings()).toEqual([])
  const looked = []
  for (const check of checks) looked.push((await runCheck(stage.context.db, check)).looked)
  expect(looked.map((text) => text.replaceAll(/\d+/g, 'n'))).toEqual([
    'n events in n chains',
    'n events of n declared moves',
    'n positions from n to n, n events wait for theirs',
    'n rows',
    'n counters of plans',
    'n names that are held',
    'n operations, n of them live',
    'n on their way, n past their deadline, n without work',
    'n approvals, n of them used',
    'n idempotency keys',
    'n instances that Pawl runs, n of them running',
    'n deliveries to n webhooks',
    'n references, n of them to what is not there: started with it nothing is',
  ])
})

const event = (version: number) => `subject_id = $it and version = ${version}`
const matching = (pattern: RegExp) => expect.stringMatching(pattern) as unknown as string
const missing = matching(/^positions: event n: the positions from (\d+) to \1 are missing before it$/)
/** What damage does, and what is found of it. The deployment was deployed, redeployed, stopped and merged. */
const damage: Readonly<Record<string, readonly [statements: string[], found: string[]]>> = {
  'an event in the middle is gone': [
    [`delete from event where ${event(3)}`],
    ['chain: it: event n, mergeDeploymentEnv, goes on from STOPPING, and event n has led to BUILDING', missing],
  ],
  'a version that is left out': [
    [`update event set version = 5 where ${event(4)}`, 'update deployment set version = 5 where id = $it'],
    ['chain: it: event n, mergeDeploymentEnv, goes from version 3 to 5: what came between is missing'],
  ],
  'its birth is gone': [
    [`delete from event where ${event(1)}`],
    [
      'chain: it: event n, redeployDeployment, is the first and goes on from BUILDING: what came before is missing',
      missing,
    ],
  ],
  'a version twice': [
    [`update event set version = 2 where ${event(3)}`],
    [
      'chain: it: event n, stopDeployment, goes back from version 2 to 2',
      'chain: it: event n, mergeDeploymentEnv, goes from version 2 to 4: what came between is missing',
    ],
  ],
  'a generation that goes back': [
    [`update event set generation = 9 where ${event(3)}`],
    [
      'chain: it: event n, stopDeployment, goes from generation 2 to 9: what came between is missing',
      'chain: it: event n, mergeDeploymentEnv, goes back from generation 9 to 3',
    ],
  ],
  'a birth of a later version': [
    ["update event set version = 2 where subject_type = 'Member'", 'update member set version = 2'],
    ['chain: mem: event n, joinTeam, is a birth of version 2'],
  ],
  'a move that is not declared': [
    [
      `update event set to_state = 'STOPPED' where ${event(4)}`,
      "update deployment set state = 'STOPPED' where id = $it",
    ],
    ['moves: it: event n, mergeDeploymentEnv from STOPPING to STOPPED is no declared move'],
  ],
  'a gap in the positions': [
    ['drop index event_position', 'update event set position = position + 10 where position > 5'],
    ['positions: event n: the positions from 6 to 15 are missing before it'],
  ],
  'a position given twice': [
    ['drop index event_position', 'update event set position = position - 1 where position > 5'],
    ['positions: event n: position 5 was given twice'],
  ],
  'the beginning of the log is gone, and the horizon says nothing of it': [
    ["delete from event where position = 1 and subject_type = 'Team'", "update event set kind = 'other' where false"],
    [
      'positions: event n: the log begins at position 2, and was trimmed through 0',
      'rows: team: is ACTIVE, and no event tells of it',
    ],
  ],
  'the horizon says more than is gone': [
    ['update event_horizon set trimmed_through = 2'],
    ['positions: event n: the log begins at position 1, and was trimmed through 2'],
  ],
  'positions against the order of an object’s events': [
    [
      'drop index event_position',
      `update event e set position = o.position from event o where o.subject_id = $it and e.subject_id = $it and e.version + o.version = 3`,
    ],
    [matching(/^positions: it: event n has position \d+, and event n before it has \d+$/)],
  ],
  'an event that waits, and a later one of its object that does not': [
    [`update event set position = null where ${event(3)}`],
    [missing, matching(/^positions: it: event n has position \d+, and event n before it has none$/)],
  ],
  'a state that no event has led to': [
    ["update deployment set state = 'FAILED' where id = $it"],
    ['rows: it: is FAILED, and event n has led to STOPPING'],
  ],
  'a version that no event tells': [
    ['update deployment set version = 9 where id = $it'],
    ['rows: it: is of version 9, and event n of 4'],
  ],
  'a generation that no event tells': [
    ['update deployment set generation = 9 where id = $it'],
    ['rows: it: is of generation 9, and event n of 3'],
  ],
  'events of another team': [
    ["update event set team_id = 'team_other' where subject_id = $it"],
    ['rows: it: its events are of another type or team'],
  ],
  'a row that is gone and had not ended': [
    ['delete from deployment where id = $it'],
    [
      'rows: it: is gone, and event n has led to STOPPING',
      'counters: team: its counter of deployments says 1, and there are 0',
      ...Array(3).fill('operations: op: is of it, which is not there'),
    ],
  ],
  'R54 a counter that is stuck, and says more than there is': [
    ["update plan_usage set used = 3 where kind = 'secrets'"],
    ['counters: team: its counter of secrets says 3, and there are 1'],
  ],
  'a counter that is not there': [
    ["delete from plan_usage where kind = 'owners'"],
    ['counters: team: its counter of owners says nothing, and there are 1'],
  ],
  'two operations of one object at once': [
    ['drop index operation_one_per_subject', "update operation set state = 'RUNNING' where generation < 3"],
    [
      'rows: op: is RUNNING, and event n has led to PENDING',
      'rows: op: is RUNNING, and event n has led to PENDING',
      'operations: it: 2 operations of it are carried out at once: op, op',
    ],
  ],
}

test.each(Object.entries(damage))('%s', async (_, [statements, found]) => {
  expect(await damaged(...statements)).toEqual(found)
})

test('what was trimmed is not missed', async () => {
  await stage.beneath((s) => s`update event set occurred_at = now() - interval '91 days'`)
  expect(await trimEvents(stage.context.db, 90, 5)).toBe(5)
  expect(await findings()).toEqual([])
  expect(await trimEvents(stage.context.db, 90, 1_000)).toBe(6)
  expect(await findings()).toEqual([])
  await mergeDeploymentEnv(stage.context, { id, unset: ['A'] } as never)
  expect(await findings()).toEqual([])
})
