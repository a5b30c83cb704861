// Asking for approvals: what is kept, what is refused and what leads on from there, and that a repeat under the same key is a
// repeat.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Context } from '../../src/context.ts'
import { refused } from '../../src/drivers/outcome.ts'
import type { Refusal } from '../../src/refusals.ts'
import { promoteStack } from '../../src/resolvers/promotion.ts'
import { approvePromotion } from '../../src/resolvers/promotion-decision.ts'
import { type RequestPayload, requestPromotion } from '../../src/resolvers/promotion-request.ts'
import { deleteResource } from '../../src/resolvers/resource.ts'
import { deleteStack, mergeStackEnv } from '../../src/resolvers/stack.ts'
import { requestTwin, twinResource } from '../../src/resolvers/twin.ts'
import { contextFor } from '../row.ts'
import { serviceOf } from '../stacks/row.ts'
import {
  accepted,
  openPromotionWorld,
  outcome,
  outdate,
  type PromotionWorld,
  pair,
  toEnvironment,
  unique,
} from './world.ts'

let world: PromotionWorld
beforeAll(async () => {
  world = await openPromotionWorld()
})
afterAll(() => world.close())

const ask = (stackId: string, more: object = {}, context = world.context) =>
  requestPromotion(context, { stackId, toEnvironment, ...more })

describe('a request', () => {
  test('keeps the plan by its digest, for 24 hours, for the member who asks, and holds no value', async () => {
    const { stackId, targetId } = await pair(world, { GREETING: 'not-for-the-plan' })
    const { approval, plan } = accepted<RequestPayload>(await ask(stackId))
    expect(approval).toMatchObject({
      state: 'PENDING',
      kind: 'STACK',
      subjectId: stackId,
      toEnvironment,
      planDigest: plan?.digest,
      requestedBy: world.team.actor.memberId,
      decidedBy: null,
      operationId: null,
    })
    expect((approval.expiresAt.getTime() - approval.createdAt.getTime()) / 3_600_000).toBeCloseTo(24, 2)
    expect(approval.plan).toMatchObject({
      source: { id: stackId },
      target: { id: targetId },
      env: [{ name: 'GREETING', change: 'COPIED', revision: 1 }],
    })
    expect(JSON.stringify(approval.plan)).not.toContain('not-for-the-plan')
  })

  const refusals: readonly [string, string, () => Promise<object>][] = [
    [
      'ValidationFailed',
      'into its own environment',
      async () => ask(await world.stack(), { toEnvironment: 'development' }),
    ],
    ['ValidationFailed', 'of a policy that is none', async () => ask(await world.stack(), { envPolicy: 'ALL' })],
    ['NotFound', 'of what is no stack', async () => ask(await world.resource())],
    ['NoServices', 'of a stack without services', async () => ask(await world.stack({ services: [] }))],
    [
      'NothingToPromote',
      'of what is there already',
      async () => {
        const { stackId } = await pair(world)
        accepted(
          await promoteStack(world.context, {
            stackId,
            toEnvironment,
            approvalId: await world.approved('STACK', stackId),
          }),
        )
        return ask(stackId)
      },
    ],
    [
      'MissingImage',
      'of an image that is not known',
      async () => {
        const images = { resolveImage: async () => refused('no such image'), reserves: () => false }
        return ask(await world.stack(), {}, contextFor(world.pool.db, world.team.actor, { images }))
      },
    ],
    [
      'SecretUnresolved',
      'of what lacks a variable that must be there',
      async () => ask(await world.stack({ env: { A: '1' } }), { envPolicy: 'REQUIRE' }),
    ],
    [
      'StackDeleting',
      'of a stack that is being deleted',
      async () => {
        const stackId = await world.stack()
        await deleteStack(world.context, { id: stackId })
        return ask(stackId)
      },
    ],
    [
      'StackDeleting',
      'into a stack that is being deleted',
      async () => {
        const { stackId, targetId } = await pair(world)
        await deleteStack(world.context, { id: targetId })
        return ask(stackId)
      },
    ],
    [
      'TwinExists',
      'of a twin that is there',
      async () => {
        const name = unique('db-')
        await world.resource(toEnvironment, name)
        return requestTwin(world.context, { resourceId: await world.resource('development', name), toEnvironment })
      },
    ],
    [
      'ResourceAlreadyDeleted',
      'of a twin of what is deleted',
      async () => {
        const resourceId = await world.resource()
        await deleteResource(world.context, { id: resourceId })
        return requestTwin(world.context, { resourceId, toEnvironment })
      },
    ],
    [
      'ResourceTypeUnavailable',
      'of a twin that nobody could make',
      async () => {
        const resourceId = await world.resource()
        const context = contextFor(world.pool.db, world.team.actor, { resourceTypes: () => 'Set PAWL_REDIS_URL.' })
        return requestTwin(context, { resourceId, toEnvironment })
      },
    ],
  ]
  test.each(refusals)('%s: %s', async (refusal, _, play) => {
    const count = () => world.stranger`select count(*)::int as n from promotion_approval where state = 'PENDING'`
    const before = await count()
    expect(outcome(await play())).toBe(refusal)
    expect(await count()).toEqual(before)
  })

  test('may be asked for without room, which the plan shows, and be asked for several times', async () => {
    const stackId = await world.stack()
    await world.stranger`update plan_usage set cap = used where team_id = ${world.team.teamId} and kind = 'stacks'`
    const first = accepted<RequestPayload>(await ask(stackId)).approval
    await world.stranger`update plan_usage set cap = 100000 where team_id = ${world.team.teamId} and kind = 'stacks'`
    const second = accepted<RequestPayload>(await ask(stackId)).approval
    expect([second.planDigest, second.id === first.id]).toEqual([first.planDigest, false])
  })
})

describe('one key', () => {
  test('asks once, approves once, promotes once, makes one twin', async () => {
    const { stackId } = await pair(world)
    const resourceId = await world.resource()
    const play = async (call: (idempotencyKey: string) => Promise<object>, word: string) => {
      const key = unique('k')
      const [first, again] = [await call(key), await call(key)]
      expect([outcome(first), outcome(again)]).toEqual(['accepted', 'replayed'])
      const id = (answer: object) => (answer as Record<string, { id: string }>)[word]?.id
      expect(id(again)).toBe(id(first))
      return id(first) ?? ''
    }
    const approval = await play((idempotencyKey) => ask(stackId, { idempotencyKey }), 'approval')
    await play((idempotencyKey) => approvePromotion(world.context, { id: approval, idempotencyKey }), 'approval')
    await play(
      (idempotencyKey) => promoteStack(world.context, { stackId, toEnvironment, approvalId: approval, idempotencyKey }),
      'operation',
    )
    const twin = await play(
      (idempotencyKey) => requestTwin(world.context, { resourceId, toEnvironment, idempotencyKey }),
      'approval',
    )
    accepted(await approvePromotion(world.context, { id: twin }))
    await play(
      (idempotencyKey) => twinResource(world.context, { resourceId, toEnvironment, approvalId: twin, idempotencyKey }),
      'operation',
    )
    const key = unique('k')
    expect(outcome(await ask(stackId, { toEnvironment: 'qa', idempotencyKey: key }))).toBe('accepted')
    expect(outcome(await ask(stackId, { toEnvironment: 'qb', idempotencyKey: key }))).toBe('IdempotencyKeyReused')
  })

  test('a refusal is not kept: the same key is asked anew', async () => {
    const { stackId, targetId } = await pair(world)
    const approvalId = await world.asked('STACK', stackId)
    const input = { stackId, toEnvironment, approvalId, idempotencyKey: unique('k') }
    expect(outcome(await promoteStack(world.context, input))).toBe('ApprovalNotApproved')
    accepted(await approvePromotion(world.context, { id: approvalId }))
    expect(await promoteStack(world.context, input)).toMatchObject({ replayed: false, stack: { id: targetId } })
    expect(await promoteStack(world.context, input)).toMatchObject({ replayed: true, stack: { id: targetId } })
  })
})

describe('what leads on is accepted', () => {
  const mutations: Readonly<Record<string, (context: Context, input: never) => Promise<object>>> = {
    requestPromotion,
    requestTwin,
    approvePromotion,
    promoteStack,
    twinResource,
  }
  /** Takes the first remedy that is a call, as it stands. */
  const take = async (result: object) => {
    const call = (result as Refusal).remedies.find(({ mutation }) => mutation !== null)
    if (!call) return 'none'
    const mutate = mutations[String(call.mutation)]
    return `${call.mutation}: ${mutate ? outcome(await mutate(world.context, call.arguments?.input as never)) : 'unknown'}`
  }

  test('without an approval: a request is named, or the approval that is there', async () => {
    const { stackId } = await pair(world)
    const bare = () => promoteStack(world.context, { stackId, toEnvironment })
    expect(await take(await bare())).toBe('requestPromotion: accepted')
    expect(await take(await bare())).toBe('none')
    await world.approved('STACK', stackId)
    expect(await take(await bare())).toBe('promoteStack: accepted')
    const resourceId = await world.resource()
    const twin = () => twinResource(world.context, { resourceId, toEnvironment })
    expect(await take(await twin())).toBe('requestTwin: accepted')
    expect(await take(await twin())).toBe('none')
    await world.approved('TWIN', resourceId)
    expect(await take(await twin())).toBe('twinResource: accepted')
  })

  test('with one that is stale or over: another request, unless that would be refused, too', async () => {
    const { stackId } = await pair(world)
    const approvalId = await world.approved('STACK', stackId)
    await mergeStackEnv(world.context, { id: stackId, set: [{ key: 'A', value: '1' }] } as never)
    const use = () => promoteStack(world.context, { stackId, toEnvironment, approvalId })
    const stale = await use()
    expect([outcome(stale), await take(stale)]).toEqual(['ApprovalStale', 'requestPromotion: accepted'])
    const late = await world.asked('STACK', await world.stack())
    await outdate(world, late)
    const over = await approvePromotion(world.context, { id: late })
    expect([outcome(over), await take(over)]).toEqual(['ApprovalExpired', 'requestPromotion: accepted'])
    await mergeStackEnv(world.context, { id: stackId, set: [{ key: 'B', value: 'secret://NOWHERE' }] } as never)
    expect(await take(await use())).toBe('none')
  })

  test('one that is not decided yet: by somebody else, who may', async () => {
    const { stackId } = await pair(world)
    const approvalId = await world.asked('STACK', stackId)
    const input = { stackId, toEnvironment, approvalId }
    expect(await take(await promoteStack(world.context, input))).toBe('none')
    const admin = await world.member('admin')
    expect(await promoteStack(admin, input)).toMatchObject({ remedies: [{ mutation: 'approvePromotion' }, {}] })
    const developer = await world.member('developer')
    expect((await promoteStack(developer, input)) as Refusal).toMatchObject({ remedies: [{ mutation: null }] })
  })
})

test('a stack of other services is another plan, and one that is only healthier is the same', async () => {
  const { stackId, targetId } = await pair(world)
  const approvalId = await world.approved('STACK', stackId)
  for (const id of [stackId, targetId]) {
    await world.stranger.unsafe(`update stack set state = 'DEPLOYING', version = version + 1 where id = '${id}'`)
    await world.stranger.unsafe(`update stack set state = 'FAILED', version = version + 1 where id = '${id}'`)
  }
  const result = accepted<{ stack: { services: unknown } }>(
    await promoteStack(world.context, { stackId, toEnvironment, approvalId }),
  )
  expect(result.stack.services).toEqual([serviceOf('web'), serviceOf('api')])
})
