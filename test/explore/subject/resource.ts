// Resources on the stage: one that is there, one that is being made, one on its way out; and the twin of one.
import { cancelOperation } from '../../../src/resolvers/operation.ts'
import * as resources from '../../../src/resolvers/resource.ts'
import { judgeSize } from '../../../src/resolvers/resource-size.ts'
import { type Actor, calls, type Subject } from '../play.ts'
import { expires, runs, settles, tearsDown } from '../runner.ts'
import { hoursFromNow } from '../scene.ts'
import type { Row } from '../stage.ts'

const id = (ids: Readonly<Record<string, string>>) => ({ id: String(ids.id) })
const name = 'store'

const callers: Readonly<Record<string, Actor>> = {
  create: calls((context) => resources.createResource(context, { type: 'POSTGRES', name })),
  delete: calls((context, ids) => resources.deleteResource(context, id(ids))),
  pause: calls((context, ids) => resources.pauseResource(context, id(ids))),
  resume: calls((context, ids) => resources.resumeResource(context, id(ids))),
  rotate: calls((context, ids) => resources.rotateResourceCredentials(context, id(ids))),
  ttl: calls((context, ids) => resources.setResourceTtl(context, { ...id(ids), ttlHours: 5 })),
  expire: expires('expireResource'),
}
const only = (...names: string[]) => Object.fromEntries(names.map((each) => [each, callers[each] as Actor]))
const cancel = calls((context, ids) => cancelOperation(context, { id: String(ids.work) }))
const run = runs('Resource')
const kinds = (...verbs: string[]) => runs('Resource', ...verbs.map((verb) => `resource.${verb}`))

/** A measurement that found so much: first the size is stored, then judged; what moves meanwhile is measured again. */
const measures = (bytes: number): Actor => ({
  kind: 'loop',
  run: async ({ ids, scene }, { db }) => {
    const found = {
      id: String(ids.id),
      teamId: scene.teamId,
      type: 'POSTGRES' as const,
      incarnation: '',
      generation: 1,
    }
    const cause = { actor: { kind: 'loop', id: 'measure' }, requestId: 'explore' }
    return (await judgeSize(db, found, bytes, cause)) ? 1 : 0
  },
})
const measure = measures(2_000)

/** In a state, with what is behind it. */
const there = (of: string, facts: Row, actors: Readonly<Record<string, Actor>>): Subject => ({
  name: of,
  scene: (scene) => ({ ids: { id: scene.resource({ name, expires_at: hoursFromNow(-1), ...facts }) } }),
  prepare: async ({ scene, ids, provisioner }) => {
    const [row] = scene.tables.resource ?? []
    const ref = { subjectId: String(ids.id), incarnation: String(row?.incarnation) }
    const fence = { operationId: 'scene', attempt: 1, subjectId: ref.subjectId, generation: 1 }
    provisioner.world.provision({ ...ref, name, password: 'before'.repeat(4) }, fence)
    return {}
  },
  actors,
  settles: settles('Resource'),
})

export const resourceSubjects: readonly Subject[] = [
  {
    name: 'resource',
    scene: (scene) => ({ ids: { id: scene.resource({ name, expires_at: hoursFromNow(-1) }) } }),
    actors: { ...callers, measure },
  },
  there('resource.active', {}, { ...only('pause', 'rotate', 'delete'), run: kinds('pause', 'rotate', 'deprovision') }),
  there(
    'resource.paused',
    { state: 'PAUSED' },
    { ...only('resume', 'rotate', 'delete', 'expire'), run: kinds('resume', 'deprovision') },
  ),
  there('resource.large', {}, { ...only('pause', 'rotate', 'delete'), measure, run: kinds('suspend', 'pause') }),
  there(
    'resource.suspended',
    { state: 'SUSPENDED', size_bytes: 2_000 },
    { ...only('rotate', 'delete', 'ttl'), small: measures(10), run: kinds('release', 'deprovision') },
  ),
  {
    name: 'resource.provisioning',
    scene: (scene) => {
      const ids = {
        id: scene.resource({ name, state: 'PROVISIONING', connection: null, expires_at: hoursFromNow(-1) }),
      }
      return { ids: { ...ids, work: scene.operation('Resource', ids.id, 'resource.provision') } }
    },
    actors: {
      delete: callers.delete as Actor,
      expire: callers.expire as Actor,
      rotate: callers.rotate as Actor,
      cancel,
      run: kinds('provision', 'deprovision'),
    },
    settles: settles('Resource'),
  },
  {
    name: 'resource.deleting',
    scene: (scene) => {
      const ids = { id: scene.resource({ name, state: 'DELETING', deleted_at: hoursFromNow(0) }) }
      return { ids: { ...ids, work: scene.operation('Resource', ids.id, 'resource.deprovision') } }
    },
    actors: {
      delete: callers.delete as Actor,
      create: callers.create as Actor,
      cancel,
      teardown: tearsDown('deprovisionResource'),
      run,
    },
    settles: settles('Resource'),
  },
]
