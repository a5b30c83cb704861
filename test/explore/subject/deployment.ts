// Deployments on the stage: in the states from which races start, and everybody who may want something of one.
import type { Fault } from '../../../src/drivers/runtime/fake-script.ts'
import { sequenceLoop } from '../../../src/loops/sequence.ts'
import * as deployments from '../../../src/resolvers/deployment.ts'
import { cancelOperation, retryOperation } from '../../../src/resolvers/operation.ts'
import { deleteSecret, setSecret } from '../../../src/resolvers/secret.ts'
import { type Actor, calls, type Subject } from '../play.ts'
import { expires, passes, runs, settles, tearsDown } from '../runner.ts'
import { hoursFromNow } from '../scene.ts'

const id = (ids: Readonly<Record<string, string>>) => ({ id: String(ids.id) })
const name = 'shop'
const merge = { set: [], unset: [], expect: [] }

const callers: Readonly<Record<string, Actor>> = {
  redeploy: calls((context, ids) => deployments.redeployDeployment(context, { ...id(ids), image: 'hello:2' })),
  deploy: calls((context) =>
    deployments.deploy(context, { name, image: 'hello:3', redeploy: true, env: [{ key: 'A', value: '3' }] }),
  ),
  anew: calls((context) => deployments.deploy(context, { name, image: 'hello:4' })),
  start: calls((context, ids) => deployments.startDeployment(context, id(ids))),
  stop: calls((context, ids) => deployments.stopDeployment(context, id(ids))),
  delete: calls((context, ids) => deployments.deleteDeployment(context, id(ids))),
  env: calls((context, ids) =>
    deployments.mergeDeploymentEnv(context, { ...id(ids), ...merge, set: [{ key: 'B', value: '1' }] } as never),
  ),
  env2: calls((context, ids) =>
    deployments.mergeDeploymentEnv(context, {
      ...id(ids),
      ...merge,
      set: [{ key: 'C', value: '1' }],
      unset: ['B'],
    } as never),
  ),
  ttl: calls((context, ids) => deployments.setDeploymentTtl(context, { ...id(ids), ttlHours: 5 })),
  permanent: calls((context, ids) => deployments.makeDeploymentPermanent(context, id(ids))),
  keyed: {
    key: 'one',
    ...calls((context, ids) => deployments.redeployDeployment(context, { ...id(ids), idempotencyKey: 'one' })),
  },
  seen: calls((context, ids) => deployments.stopDeployment(context, { ...id(ids), expectedVersion: '1' })),
}
const expire = expires('expireDeployment')
const teardown = tearsDown('tearDownDeployment')
const retry = calls((context, ids) => retryOperation(context, { id: String(ids.work) }))
const cancel = calls((context, ids) => cancelOperation(context, { id: String(ids.work) }))
const run = runs('Deployment', 'deployment.roll_out', 'deployment.stop', 'deployment.tear_down')

const only = (...names: string[]) => Object.fromEntries(names.map((each) => [each, callers[each] as Actor]))

/** In a state, with an operation beside it; its time is over. */
const withWork = (
  of: string,
  state: string,
  kind: string,
  workState: string,
  more: Readonly<Record<string, Actor>>,
): Subject => ({
  name: of,
  scene: (scene) => {
    const ids = { id: scene.deployment({ name, state, expires_at: hoursFromNow(-1) }) }
    return { ids: { ...ids, work: scene.operation('Deployment', ids.id, kind, { state: workState }) } }
  },
  actors: { ...only('redeploy', 'stop', 'delete', 'env', 'start'), expire, ...more },
  ...(more.run ? { settles: settles('Deployment') } : {}),
})

/** Its first start meets that. */
const failing = (of: string, fault: Fault): Subject => ({
  ...withWork(of, 'BUILDING', 'deployment.roll_out', 'PENDING', { run }),
  prepare: async ({ driver }) => {
    driver.faultNext('ensure', fault)
    return {}
  },
  actors: { ...only('redeploy', 'delete'), run: { ...run, lone: true } },
})

export const deploymentSubjects: readonly Subject[] = [
  {
    name: 'deployment',
    scene: (scene) => ({ ids: { id: scene.deployment({ name, expires_at: hoursFromNow(-1) }) } }),
    actors: { ...callers, expire },
  },
  {
    name: 'deployment.none',
    scene: (scene) => {
      scene.room.deployments = 1
      return { ids: {} }
    },
    actors: {
      ...only('deploy', 'anew'),
      other: calls((context) => deployments.deploy(context, { name: 'other', image: 'hello:5' })),
      keyed: calls((context) => deployments.deploy(context, { name, image: 'hello:4', idempotencyKey: 'one' })),
    },
  },
  {
    name: 'deployment.referring',
    scene: (scene) => {
      const env = { A: { value: 'secret://key', revision: 1, changedAt: hoursFromNow(0), changedBy: 'x' } }
      const secret = scene.secret({ name: 'key' })
      return { ids: { id: scene.deployment({ name, state: 'FAILED', env, env_revision: 1 }), secret } }
    },
    actors: {
      ...only('redeploy', 'deploy', 'delete', 'env'),
      forget: calls((context, ids) => deleteSecret(context, { id: String(ids.secret) })),
      keep: calls((context) => setSecret(context, { name: 'key', value: 'w' })),
    },
  },
  withWork('deployment.building', 'BUILDING', 'deployment.roll_out', 'PENDING', { cancel, retry, run }),
  withWork('deployment.failed', 'FAILED', 'deployment.roll_out', 'FAILED', { cancel, retry }),
  withWork('deployment.stopping', 'STOPPING', 'deployment.stop', 'PENDING', { cancel, run }),
  {
    name: 'deployment.stopped',
    scene: (scene) => ({ ids: { id: scene.deployment({ name, state: 'STOPPED', expires_at: hoursFromNow(-1) }) } }),
    actors: { ...only('start', 'redeploy', 'deploy', 'delete', 'permanent'), expire },
  },
  {
    // Its worker has died, and its lease is over.
    ...withWork('deployment.claimed', 'DEPLOYING', 'deployment.roll_out', 'RUNNING', { cancel, run }),
    actors: { ...only('redeploy', 'delete'), cancel, expire, run },
  },
  // Nobody can say whether its start has happened; or nothing could be reached, and it is tried again.
  failing('deployment.doubtful', { kind: 'unknown', done: true }),
  failing('deployment.unreachable', { kind: 'unreachable' }),
  {
    name: 'deployment.log',
    scene: (scene) => ({ ids: { id: scene.deployment({ name, expires_at: hoursFromNow(-1) }) } }),
    actors: {
      ...only('redeploy', 'env', 'delete'),
      expire,
      sequence: passes((_, db) => sequenceLoop(db), 'sequenceEvents'),
    },
  },
  withWork('deployment.expired', 'EXPIRED', 'deployment.tear_down', 'PENDING', { cancel, run, teardown }),
]
