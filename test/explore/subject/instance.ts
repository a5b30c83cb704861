// What Pawl runs, on the stage: a deployment or a stack whose run is there, fails its health check, is gone, dies meanwhile, or
// waits to be started again; the pass that asks about it, the restart, and everybody who may want something else.
import * as deployments from '../../../src/resolvers/deployment.ts'
import { maxRecentRestarts } from '../../../src/resolvers/instance-check.ts'
import * as stacks from '../../../src/resolvers/stack.ts'
import { serviceOf } from '../../stacks/row.ts'
import { parkCall } from '../gate.ts'
import { type Actor, calls, type Ids, type Play, type Subject } from '../play.ts'
import { expires, reconciles, runs, settles } from '../runner.ts'
import { hoursFromNow, type Scene } from '../scene.ts'
import type { Row } from '../stage.ts'

type Of = 'Deployment' | 'Stack'
type Run = 'well' | 'sick' | 'gone'
interface Unit {
  readonly of: Of
  /** What is stored of it. */
  readonly facts?: Row
  readonly run: Run | null
  /** An operation beside it, with its state. */
  readonly work?: readonly [kind: string, state: string]
  readonly image?: string
}

const id = (ids: Ids) => ({ id: String(ids.id) })
const name = 'shop'

function place(scene: Scene, { of, facts, work, image = 'hello:1' }: Unit): Ids {
  const subject =
    of === 'Stack'
      ? scene.stack({ name, services: [serviceOf('web', image)] })
      : scene.deployment({ name, image, expires_at: hoursFromNow(-1) })
  const unit = scene.unit(of, subject, { ...(of === 'Stack' ? { service: 'web' } : {}), ...facts })
  return { id: subject, unit, ...(work ? { work: scene.operation(of, subject, work[0], { state: work[1] }) } : {}) }
}

const workload = (scene: Scene) => {
  const [unit] = scene.tables.instance ?? []
  return { subjectId: String(unit?.subject_id), incarnation: String(unit?.incarnation) }
}

/** Starts what the rows say is there, and lets it come to what the subject is about. */
const started =
  ({ of, run, image = 'hello:1' }: Unit) =>
  async ({ scene, stage, driver, ids }: Play): Promise<Ids> => {
    if (run === null) return {}
    const ref = workload(scene)
    const fence = { operationId: 'scene', attempt: 1, subjectId: ref.subjectId, generation: 1 }
    const signal = new AbortController().signal
    const up = await driver.ensure({ ...ref, name, image, env: {} }, fence, signal)
    if (up.kind !== 'done') throw new Error(JSON.stringify(up))
    const { instanceId, url } = up.value
    const placed = { web: { instanceId, url, address: url, generation: 1, state: 'HEALTHY' } }
    await stage.control`update instance set instance_id = ${instanceId}, url = ${url} where id = ${String(ids.unit)}`
    if (of === 'Stack')
      await stage.control`update stack set placed = ${stage.control.json(placed)} where id = ${ref.subjectId}`
    else
      await stage.control`update deployment set instance_id = ${instanceId}, url = ${url} where id = ${ref.subjectId}`
    if (run === 'sick') driver.setHealth(ref, false)
    if (run === 'gone') driver.crash(ref)
    return { run: instanceId }
  }

/** The run ends by itself. */
const dies: Actor = {
  kind: 'runner',
  run: async ({ scene, driver }) => {
    await parkCall('before', { call: 'crash' })
    driver.crash(workload(scene))
  },
}

const decisions = ['restart', 'giveUp', 'offline', 'noteAnswers', 'degrade', 'recover', 'markInstanceOnline']
const reconcile = reconciles(...decisions)
const callers: Readonly<Record<Of, Readonly<Record<string, Actor>>>> = {
  Deployment: {
    redeploy: calls((context, ids) => deployments.redeployDeployment(context, { ...id(ids), image: 'hello:2' })),
    stop: calls((context, ids) => deployments.stopDeployment(context, id(ids))),
    delete: calls((context, ids) => deployments.deleteDeployment(context, id(ids))),
    expire: expires('expireDeployment'),
  },
  Stack: {
    redeploy: calls((context, ids) =>
      stacks.redeployStack(context, { ...id(ids), services: [serviceOf('api', 'hello:2')] }),
    ),
    env: calls((context, ids) =>
      stacks.mergeStackEnv(context, { ...id(ids), set: [{ key: 'A', value: '1' }], unset: [], expect: [] } as never),
    ),
    delete: calls((context, ids) => stacks.deleteStack(context, id(ids))),
  },
}

const subject = (of: string, unit: Unit, actors: Readonly<Record<string, Actor>>): Subject => ({
  name: of,
  scene: (scene) => ({ ids: place(scene, unit) }),
  prepare: started(unit),
  actors: { ...callers[unit.of], ...actors },
  settles: settles(unit.of),
})
const restartOf = { Deployment: 'deployment.restart', Stack: 'stack.restart' } as const
/** OFFLINE, and due. */
const waiting = {
  state: 'OFFLINE',
  instance_id: null,
  restart_due_at: hoursFromNow(-1),
  restarts: 1,
  recent_restarts: 1,
}
const exhausted = { recent_restarts: maxRecentRestarts, restarts: maxRecentRestarts }

const both = (of: Of, name: string): readonly Subject[] => [
  subject(`${name}.gone`, { of, run: 'gone' }, { reconcile, run: runs(of, restartOf[of]) }),
  subject(`${name}.dying`, { of, run: 'well' }, { reconcile, dies }),
  subject(`${name}.looping`, { of, run: 'gone', facts: exhausted }, { reconcile }),
  subject(
    `${name}.restarting`,
    { of, run: null, facts: waiting, work: [restartOf[of], 'PENDING'] },
    { reconcile, run: runs(of, restartOf[of]) },
  ),
  subject(
    `${name}.failingAgain`,
    { of, run: null, facts: waiting, work: [restartOf[of], 'PENDING'], image: 'crashing' },
    { run: runs(of, restartOf[of]) },
  ),
]

export const instanceSubjects: readonly Subject[] = [
  ...both('Deployment', 'unit'),
  ...both('Stack', 'service'),
  subject('unit.sick', { of: 'Deployment', run: 'sick', facts: { failed_checks: 1 } }, { reconcile, dies }),
  subject(
    'unit.recovering',
    { of: 'Deployment', run: 'well', facts: { state: 'DEGRADED', failed_checks: -1 } },
    { reconcile, dies },
  ),
  subject('unit.starting', { of: 'Deployment', run: 'well', facts: { state: 'STARTING' } }, { reconcile, dies }),
]
