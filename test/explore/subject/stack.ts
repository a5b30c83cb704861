// Stacks on the stage, at rest and while they are rolled out, and secrets, which are decided on in the same way.
import { cancelOperation, retryOperation } from '../../../src/resolvers/operation.ts'
import { reseal as resealAll, sealedColumns } from '../../../src/resolvers/sealed.ts'
import { deleteSecret, setSecret } from '../../../src/resolvers/secret.ts'
import * as stacks from '../../../src/resolvers/stack.ts'
import { serviceOf } from '../../stacks/row.ts'
import { type Actor, bothKeys, calls, type Subject } from '../play.ts'
import { runs, settles } from '../runner.ts'

const id = (ids: Readonly<Record<string, string>>) => ({ id: String(ids.id) })
const name = 'shop'
const merging = (key: string, ...unset: string[]) =>
  calls((context, ids) =>
    stacks.mergeStackEnv(context, { ...id(ids), set: [{ key, value: '1' }], unset, expect: [] } as never),
  )

const callers: Readonly<Record<string, Actor>> = {
  create: calls((context) => stacks.createStack(context, { name, services: [serviceOf('web', 'hello:7')] })),
  redeploy: calls((context, ids) => stacks.redeployStack(context, id(ids))),
  change: calls((context, ids) =>
    stacks.redeployStack(context, { ...id(ids), services: [serviceOf('api', 'hello:2')] }),
  ),
  delete: calls((context, ids) => stacks.deleteStack(context, id(ids))),
  env: merging('A'),
  env2: merging('B', 'A'),
  keyed: calls((context, ids) => stacks.redeployStack(context, { ...id(ids), idempotencyKey: 'one' })),
}
const retry = calls((context, ids) => retryOperation(context, { id: String(ids.work) }))
const cancel = calls((context, ids) => cancelOperation(context, { id: String(ids.work) }))

export const stackSubjects: readonly Subject[] = [
  { name: 'stack', scene: (scene) => ({ ids: { id: scene.stack({ name }) } }), actors: callers },
  {
    name: 'stack.building',
    scene: (scene) => {
      const ids = { id: scene.stack({ name, state: 'BUILDING' }) }
      return { ids: { ...ids, work: scene.operation('Stack', ids.id, 'stack.roll_out') } }
    },
    actors: {
      change: callers.change as Actor,
      delete: callers.delete as Actor,
      env: callers.env as Actor,
      cancel,
      run: runs('Stack'),
    },
    settles: settles('Stack'),
  },
  {
    name: 'stack.failed',
    scene: (scene) => {
      const ids = { id: scene.stack({ name, state: 'FAILED' }) }
      return { ids: { ...ids, work: scene.operation('Stack', ids.id, 'stack.roll_out', { state: 'FAILED' }) } }
    },
    actors: { ...callers, retry },
  },
]

const setting = (value: string, key?: string) =>
  calls((context) => setSecret(context, { name: 'key', value, ...(key ? { idempotencyKey: key } : {}) }))
const secrets: Readonly<Record<string, Actor>> = {
  set: setting('one'),
  set2: setting('two'),
  keyed: setting('three', 'k'),
  delete: calls((context) => deleteSecret(context, { name: 'key' })),
}

const [values] = sealedColumns
const reseal: Actor = {
  kind: 'runner',
  run: async (_, { db }) => void (values && (await resealAll(db, bothKeys, values))),
}

export const secretSubjects: readonly Subject[] = [
  {
    name: 'secret',
    scene: (scene) => ({ ids: { id: scene.secret({ name: 'key' }) } }),
    actors: { ...secrets, deleteById: calls((context, ids) => deleteSecret(context, id(ids))) },
  },
  {
    // A new key has come, and what the older one has sealed is sealed anew.
    name: 'secret.sealed',
    scene: (scene) => ({ ids: { id: scene.secret({ name: 'key' }) } }),
    actors: { ...secrets, reseal },
  },
  { name: 'secret.none', scene: () => ({ ids: {} }), actors: secrets },
]
