// What runs elsewhere, on the stage: heard of long ago, lost, part of something that ends; and the ids by which it is known.
import { deleteDeployment } from '../../../src/resolvers/deployment.ts'
import { heartbeatInstance, registerInstance, removeInstance } from '../../../src/resolvers/instance.ts'
import { type Actor, calls, type Ids, type Subject } from '../play.ts'
import { expires, settlesExternal } from '../runner.ts'
import { hoursFromNow } from '../scene.ts'

const unit = (ids: Ids) => ({ id: String(ids.unit) })
const beats: Readonly<Record<string, Actor>> = {
  heartbeat: calls((context, ids) => heartbeatInstance(context, unit(ids))),
  unwell: calls((context, ids) => heartbeatInstance(context, { ...unit(ids), healthy: false, reason: 'full' })),
  remove: calls((context, ids) => removeInstance(context, unit(ids))),
}
const register = (instanceId: string, more: object = {}) =>
  calls((context) => registerInstance(context, { name: 'unit', instanceId, ...more }))

export const externalSubjects: readonly Subject[] = [
  {
    name: 'external',
    scene: (scene) => ({ ids: { unit: scene.external({ instance_id: 'one' }) } }),
    actors: {
      ...beats,
      keyed: calls((context, ids) => removeInstance(context, { ...unit(ids), idempotencyKey: 'k' })),
      register: register('one'),
      reconcile: settlesExternal('offlineSilentInstance'),
    },
  },
  {
    name: 'external.starting',
    scene: (scene) => ({
      ids: { unit: scene.external({ state: 'STARTING', heartbeat_at: null, state_changed_at: hoursFromNow(-1) }) },
    }),
    actors: { ...beats, reconcile: settlesExternal('offlineSilentInstance') },
  },
  {
    name: 'external.lost',
    scene: (scene) => {
      scene.room.instances = 0
      return { ids: { unit: scene.external({ state: 'OFFLINE', state_changed_at: hoursFromNow(-25) }) } }
    },
    actors: { ...beats, register: register('two'), reconcile: settlesExternal('removeLostInstance') },
  },
  {
    name: 'external.part',
    scene: (scene) => {
      const id = scene.deployment({ expires_at: hoursFromNow(-1) })
      const of = { subject_type: 'Deployment', subject_id: id, heartbeat_at: hoursFromNow(0) }
      return { ids: { id, unit: scene.external(of) } }
    },
    actors: {
      ...beats,
      register: calls((context, ids) =>
        registerInstance(context, { name: 'unit', instanceId: 'two', deploymentId: String(ids.id) }),
      ),
      delete: calls((context, ids) => deleteDeployment(context, { id: String(ids.id) })),
      expire: expires('expireDeployment'),
      reconcile: settlesExternal('removeLeftInstance'),
    },
  },
  {
    name: 'external.left',
    scene: (scene) => {
      const id = scene.deployment({ state: 'DELETED', state_changed_at: hoursFromNow(-1) })
      return {
        ids: { unit: scene.external({ subject_type: 'Deployment', subject_id: id, heartbeat_at: hoursFromNow(0) }) },
      }
    },
    actors: { ...beats, reconcile: settlesExternal('removeLeftInstance') },
  },
  {
    name: 'external.none',
    scene: (scene) => {
      scene.room.instances = 1
      return { ids: {} }
    },
    actors: { register: register('one'), other: register('two'), keyed: register('one', { idempotencyKey: 'k' }) },
  },
]
