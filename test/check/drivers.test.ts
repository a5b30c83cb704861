// What drivers have against what rows say: a world that was only moved by its runners passes, and whatever differs from the rows is
// told, unless work is under way.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkProvisioner, checkRuntime } from '../../src/check-drivers.ts'
import { createFakeProvisioner } from '../../src/drivers/provision/fake.ts'
import { redeployDeployment, stopDeployment } from '../../src/resolvers/deployment.ts'
import { openStage, type Stage } from '../loops/fixture.ts'
import { damaged, settled } from './damage.ts'

let stage: Stage
let id = ''
let named: Record<string, string> = {}
beforeAll(async () => {
  stage = await openStage()
  stage.replica()
  id = await stage.deploy({ name: 'kept' })
  const row = await stage.reaches(id, 'HEALTHY')
  named = { it: id, INC: row.incarnation, RUN: String(row.instanceId) }
})
afterAll(() => stage?.close())

const calm = new AbortController().signal
const looked = async () =>
  (await checkRuntime(stage.context.db, stage.driver)).lines.map((line) => settled(line, named))
const ref = () => ({ subjectId: id, incarnation: String(named.INC) })
const unheard = `update instance set checked_at = now() - interval '1 h', started_at = now() - interval '1 h', state_changed_at = now() - interval '1 h'`
const withRows = (...statements: string[]) =>
  damaged(stage.sql, statements, async (db) =>
    (await checkRuntime(db, stage.driver)).lines.map((line) => settled(line, named)),
  )

test('what runs as its row says is sound', async () => {
  const { looked: said, found, incomplete } = await checkRuntime(stage.context.db, stage.driver)
  expect([said, found, incomplete]).toEqual([
    '1 workloads on this host, 1 of them running, of 1 rows, 0 with work under way',
    0,
    null,
  ])
})

test.each<[what: string, statement: string, line: string]>([
  [
    'runs for a row that has ended',
    "state = 'DELETED'",
    'it: its workload INC runs as RUN, and no living row has it, and it is DELETED',
  ],
  [
    'runs for a row that is another incarnation',
    "incarnation = 'other'",
    'it: its workload INC runs as RUN, and no living row has it',
  ],
  ['runs although it is stopped', "state = 'STOPPED'", 'it: is STOPPED, and runs as RUN'],
  ['has seen what its row never wished', 'generation = 0', 'it: its driver has seen generation 1, and its row 0 only'],
])('what %s is found', async (_, set, line) => {
  expect(await withRows(`update deployment set ${set} where id = '${id}'`)).toEqual([line])
})

test('a run of an older generation than its row, and another run than the one that is known, are found', async () => {
  const older = ['update deployment set generation = 5', 'update instance set generation = 5']
  expect(await withRows(...older)).toEqual(['it: is at generation 5, and runs as RUN for generation 1'])
  expect(await withRows("update instance set instance_id = 'run_x'")).toEqual([
    'it: runs as RUN, and its row names run_x',
  ])
})

test('what is on its way is no finding: a live operation of it is enough', async () => {
  const busy = `insert into operation (id, state, team_id, kind, subject_type, subject_id, generation, due_at, actor, request_id)
    select 'op_1', 'PENDING', team_id, 'deployment.stop', 'Deployment', id, 1, now(), '{}', 'r' from deployment`
  expect(await withRows("update deployment set state = 'STOPPED'", busy)).toEqual([])
})

test('a row that moves between the question and the answer is no finding', async () => {
  const gate = stage.driver.pauseBefore('listOwned')
  const asked = checkRuntime(stage.context.db, stage.driver)
  await gate.reached
  await redeployDeployment(stage.context, { id })
  const row = await stage.reaches(id, 'HEALTHY')
  gate.release()
  expect((await asked).lines).toEqual([])
  named = { ...named, RUN: String(row.instanceId) }
})

test('a run that is gone is found once nobody has looked after it for minutes', async () => {
  stage.driver.crash(ref())
  expect(await looked()).toEqual([])
  expect(await withRows(unheard)).toEqual(['it: is HEALTHY, and its run RUN is gone: The app exited with code 1'])
})

test('a driver that cannot be asked is told as not looked at, and nothing is made of it', async () => {
  stage.driver.faultNext('listOwned', { kind: 'unreachable' })
  const { found, incomplete } = await checkRuntime(stage.context.db, stage.driver)
  expect([found, incomplete]).toEqual([0, 'The fake runtime is unreachable'])
})

test('nothing is left of what was stopped', async () => {
  await stopDeployment(stage.context, { id })
  await stage.reaches(id, 'STOPPED')
  expect(await looked()).toEqual([])
})

test('resources: what is there for nobody, is gone, or is open and shut against its row is found', async () => {
  const provisioner = createFakeProvisioner()
  const insert = (name: string, state: string, incarnation: string) =>
    `insert into resource (id, state, team_id, environment, name, type, incarnation, password, limit_bytes)
      select '${name}', '${state}', id, 'development', '${name}', 'POSTGRES', '${incarnation}', '', 1 from team`
  const made = async (subjectId: string, incarnation: string) =>
    provisioner.provision(
      { subjectId, incarnation, name: 'x', password: 'p'.repeat(22) },
      { subjectId, operationId: `op-${subjectId}`, attempt: 1, generation: 1 },
      calm,
    )
  await made('res_sound', 'incarnation1')
  await made('res_gone', 'incarnation2')
  await made('res_shut', 'incarnation3')
  await made('res_nobody', 'incarnation5')
  const rows = [
    insert('res_sound', 'ACTIVE', 'incarnation1'),
    insert('res_gone', 'DELETED', 'incarnation2'),
    insert('res_shut', 'PAUSED', 'incarnation3'),
    insert('res_lost', 'ACTIVE', 'incarnation4'),
  ]
  const lines = await damaged(stage.sql, rows, async (db) => (await checkProvisioner(db, provisioner)).lines)
  expect([...lines].sort()).toEqual([
    'res_gone: pawl_incarnation2 is there, and no living row has it, and it is DELETED',
    'res_lost: is ACTIVE, and its provider has nothing of it',
    'res_nobody: pawl_incarnation5 is there, and no living row has it',
    'res_shut: is PAUSED, and can be connected to',
  ])
})
