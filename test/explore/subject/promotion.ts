// Approvals on the stage: asked for, approved, overdue; everybody who may decide on one, use it, or change what it was given
// for. They are asked for by the product's own calls, so that their digest is that of the plan.
import { promoteStack } from '../../../src/resolvers/promotion.ts'
import { approvePromotion, rejectPromotion, withdrawPromotion } from '../../../src/resolvers/promotion-decision.ts'
import { requestPromotion } from '../../../src/resolvers/promotion-request.ts'
import { createResource, deleteResource } from '../../../src/resolvers/resource.ts'
import { setSecret } from '../../../src/resolvers/secret.ts'
import { createStack, deleteStack, mergeStackEnv, redeployStack } from '../../../src/resolvers/stack.ts'
import { requestTwin, twinResource } from '../../../src/resolvers/twin.ts'
import { serviceOf } from '../../stacks/row.ts'
import type { Seat } from '../gate.ts'
import { type Actor, calls, type Ids, type Play, type Subject } from '../play.ts'
import { expires } from '../runner.ts'
import { hoursFromNow, type Scene } from '../scene.ts'

const toEnvironment = 'staging'
const name = 'shop'
const approval = (ids: Ids) => ({ id: String(ids.approval) })

const source = (scene: Scene) => scene.stack({ name, services: [serviceOf('web', 'hello:9')] })
const withTarget = (scene: Scene) => ({
  ids: { source: source(scene), target: scene.stack({ name, environment: toEnvironment }) },
})

/** Asks for an approval, and approves it. */
const asked =
  (approved: boolean, twin = false) =>
  async (play: Play): Promise<Ids> => {
    const context = play.context(play.stage.seats[0] as Seat, 'prepare')
    const answer = twin
      ? await requestTwin(context, { resourceId: String(play.ids.source), toEnvironment })
      : await requestPromotion(context, { stackId: String(play.ids.source), toEnvironment })
    if (!('approval' in answer) || answer.approval === null) throw new Error(JSON.stringify(answer))
    const { id } = answer.approval
    if (approved) await approvePromotion(context, { id })
    return { approval: id }
  }

const decisions: Readonly<Record<string, Actor>> = {
  approve: calls((context, ids) => approvePromotion(context, approval(ids))),
  reject: calls((context, ids) => rejectPromotion(context, approval(ids))),
  withdraw: calls((context, ids) => withdrawPromotion(context, approval(ids))),
  expire: expires('expirePromotion'),
}
const use = (key?: string): Actor => ({
  ...calls((context, ids) =>
    promoteStack(context, {
      stackId: String(ids.source),
      toEnvironment,
      approvalId: String(ids.approval),
      ...(key ? { idempotencyKey: key } : {}),
    }),
  ),
  looks: true,
})
const twin = (key?: string): Actor => ({
  ...calls((context, ids) =>
    twinResource(context, {
      resourceId: String(ids.source),
      toEnvironment,
      approvalId: String(ids.approval),
      ...(key ? { idempotencyKey: key } : {}),
    }),
  ),
  looks: true,
})
const stackId = (which: string) => (ids: Ids) => ({ id: String(ids[which]) })
const merging = (which: string) =>
  calls((context, ids) =>
    mergeStackEnv(context, { ...stackId(which)(ids), set: [{ key: 'A', value: '1' }], unset: [], expect: [] } as never),
  )
const uses: Readonly<Record<string, Actor>> = {
  promote: use(),
  keyed: use('k'),
  withdraw: decisions.withdraw as Actor,
  deleteSource: calls((context, ids) => deleteStack(context, stackId('source')(ids))),
  envSource: merging('source'),
  changeSource: calls((context, ids) =>
    redeployStack(context, { ...stackId('source')(ids), services: [serviceOf('web', 'hello:10')] }),
  ),
}

const ask = calls((context, ids) => requestPromotion(context, { stackId: String(ids.source), toEnvironment }))
/** Where nobody has to approve. */
const free = 'development'

export const promotionSubjects: readonly Subject[] = [
  {
    name: 'approval',
    scene: (scene) => ({ ids: { source: source(scene) } }),
    prepare: asked(false),
    actors: { ...decisions, promote: use(), ask },
  },
  {
    name: 'approval.overdue',
    scene: (scene) => ({
      ids: {
        source: source(scene),
        approval: scene.approval({ state: 'APPROVED', to_environment: toEnvironment, expires_at: hoursFromNow(-1) }),
      },
    }),
    actors: { ...decisions, promote: use() },
  },
  {
    name: 'approval.approved',
    scene: withTarget,
    prepare: asked(true),
    actors: {
      ...uses,
      deleteTarget: calls((context, ids) => deleteStack(context, stackId('target')(ids))),
      envTarget: merging('target'),
      redeployTarget: calls((context, ids) => redeployStack(context, stackId('target')(ids))),
    },
  },
  {
    name: 'approval.new',
    scene: (scene) => {
      scene.room.stacks = 1
      return { ids: { source: source(scene) } }
    },
    prepare: asked(true),
    actors: {
      promote: use(),
      createTarget: calls((context) =>
        createStack(context, { name, environment: toEnvironment, services: [serviceOf('web', 'hello:7')] }),
      ),
      createOther: calls((context) => createStack(context, { name: 'other', services: [serviceOf('web')] })),
      deleteSource: uses.deleteSource as Actor,
    },
  },
  {
    name: 'approval.free',
    scene: (scene) => ({
      ids: { source: scene.stack({ name, environment: toEnvironment, services: [serviceOf('web', 'hello:9')] }) },
    }),
    actors: {
      promote: {
        ...calls((context, ids) => promoteStack(context, { stackId: String(ids.source), toEnvironment: free })),
        looks: true,
      },
      createTarget: calls((context) => createStack(context, { name, services: [serviceOf('web', 'hello:7')] })),
      envSource: merging('source'),
      deleteSource: uses.deleteSource as Actor,
    },
  },
  {
    name: 'approval.freeTwin',
    scene: (scene) => ({ ids: { source: scene.resource({ name: 'store', environment: toEnvironment }) } }),
    actors: {
      twin: {
        ...calls((context, ids) => twinResource(context, { resourceId: String(ids.source), toEnvironment: free })),
        looks: true,
      },
      create: calls((context) => createResource(context, { type: 'POSTGRES', name: 'store' })),
      delete: calls((context, ids) => deleteResource(context, { id: String(ids.source) })),
    },
  },
  {
    name: 'approval.secret',
    scene: (scene) => {
      const env = { A: { value: 'secret://key', revision: 1, changedAt: hoursFromNow(0), changedBy: 'x' } }
      const ids = { source: scene.stack({ name, env, env_revision: 1 }), secret: scene.secret({ name: 'key' }) }
      return { ids }
    },
    prepare: asked(true),
    actors: {
      promote: use(),
      setSource: calls((context) => setSecret(context, { name: 'key', value: 'w' })),
      setTarget: calls((context) => setSecret(context, { name: 'key', environment: toEnvironment, value: 'w' })),
    },
  },
  {
    name: 'approval.twin',
    scene: (scene) => ({ ids: { source: scene.resource({ name: 'store' }) } }),
    prepare: asked(true, true),
    actors: {
      twin: twin(),
      keyed: twin('k'),
      ask: calls((context, ids) => requestTwin(context, { resourceId: String(ids.source), toEnvironment })),
      withdraw: decisions.withdraw as Actor,
      delete: calls((context, ids) => deleteResource(context, { id: String(ids.source) })),
      create: calls((context) =>
        createResource(context, { type: 'POSTGRES', name: 'store', environment: toEnvironment }),
      ),
    },
  },
]
