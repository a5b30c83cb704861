// What a promotion that is not made tells: the real reason first, what each variable refers to, and a way that is accepted.
// And that no secret leaves its environment without an approval.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { refused } from '../../src/drivers/outcome.ts'
import type { Refusal } from '../../src/refusals.ts'
import { type PromotionPayload, promoteStack } from '../../src/resolvers/promotion.ts'
import { approvePromotion } from '../../src/resolvers/promotion-decision.ts'
import { type RequestPayload, requestPromotion } from '../../src/resolvers/promotion-request.ts'
import { deleteStack, mergeStackEnv } from '../../src/resolvers/stack.ts'
import { requestTwin, twinResource } from '../../src/resolvers/twin.ts'
import { contextFor } from '../row.ts'
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

const secretName = () => unique('S').toUpperCase()
const bare = (stackId: string, to = toEnvironment) => promoteStack(world.context, { stackId, toEnvironment: to })
const callOf = (result: object) => (result as Refusal).remedies.find(({ mutation }) => mutation !== null)

test('without an approval no secret is copied into development; an approval may copy it', async () => {
  const name = secretName()
  await world.secret('production', name, 'of production')
  const env = { PASSWORD: `secret://${name}`, MODE: 'fast' }
  const stackId = await world.stack({ environment: 'production', env })
  const free = await bare(stackId, 'development')
  expect(free).toMatchObject({ refusal: 'SecretUnresolved', facts: { keys: ['PASSWORD'] } })
  expect((free as Refusal).remedies.map(({ explanation }) => explanation).join(' ')).toMatch(/approval.*setSecret/)
  expect(await world.secretValue('development', name)).toBe(null)

  const call = callOf(free)
  expect(call?.mutation).toBe('requestPromotion')
  const input = call?.arguments?.input as Parameters<typeof requestPromotion>[1]
  const { approval } = accepted<RequestPayload>(await requestPromotion(world.context, input))
  accepted(await approvePromotion(world.context, { id: approval.id }))
  const wish = { stackId, toEnvironment: 'development', approvalId: approval.id }
  const { stack } = accepted<PromotionPayload>(await promoteStack(world.context, wish))
  expect(Object.keys(stack.env).sort()).toEqual(['MODE', 'PASSWORD'])
  expect(await world.secretValue('development', name)).toBe('of production')
})

test('without an approval a secret that development has of its own is kept and used', async () => {
  const name = secretName()
  await world.secret('production', name, 'of production')
  await world.secret('development', name, 'its own')
  const stackId = await world.stack({ environment: 'production', env: { PASSWORD: `secret://${name}` } })
  accepted(await bare(stackId, 'development'))
  expect(await world.secretValue('development', name)).toBe('its own')
})

test('without an approval the real reason is told before it is asked for', async () => {
  const { stackId } = await pair(world)
  const set = [
    { key: 'A', value: 'secret://NOWHERE' },
    { key: 'B', value: 'resource://nobody' },
  ]
  accepted(await mergeStackEnv(world.context, { id: stackId, set } as never))
  const answer = await bare(stackId)
  expect(answer).toMatchObject({
    refusal: 'SecretUnresolved',
    message:
      `A refers to secret://NOWHERE, and there is no secret of that name in ${toEnvironment}; ` +
      `B refers to resource://nobody, and there is no resource of that name in ${toEnvironment}. Nothing was started.`,
    facts: { keys: ['A', 'B'] },
  })
  expect(outcome(await bare(await world.stack({ services: [] })))).toBe('NoServices')
  expect(outcome(await bare(stackId, 'development'))).toBe('ValidationFailed')
  const images = { resolveImage: async () => refused('there is no such image'), reserves: () => false }
  const blind = contextFor(world.pool.db, world.team.actor, { images })
  const plain = await world.stack()
  expect(outcome(await promoteStack(blind, { stackId: plain, toEnvironment }))).toBe('MissingImage')
  accepted(await deleteStack(world.context, { id: plain }))
  expect(outcome(await bare(plain))).toBe('StackDeleting')
  expect((await requestPromotion(world.context, { stackId: plain, toEnvironment })) as Refusal).toMatchObject({
    refusal: 'StackDeleting',
    message: expect.stringMatching(/^requestPromotion is not possible/),
  })
  const name = unique('shop-')
  const same = await world.stack({ name })
  await world.stack({ name, environment: toEnvironment })
  expect(await bare(same)).toMatchObject({
    refusal: 'ApprovalRequired',
    message: expect.stringContaining(`${name} in ${toEnvironment} has all already`),
  })
})

test('a secret that the policy requires is told by the variables that refer to it', async () => {
  const name = secretName()
  await world.secret('development', name, 'value')
  const { stackId } = await pair(world, { P: `secret://${name}`, Q: `secret://${name}` })
  const wish = { stackId, toEnvironment, envPolicy: 'KEEP_TARGET', secretPolicy: 'REQUIRE' } as const
  expect(await requestPromotion(world.context, wish)).toMatchObject({
    refusal: 'SecretUnresolved',
    message: expect.stringContaining(`P, Q refers to secret://${name}`),
    facts: { keys: ['P', 'Q'] },
  })
})

test.each(['EXPIRED', 'REJECTED', 'WITHDRAWN', 'over'] as const)(
  'with an approval that is %s another one is offered, and that is accepted',
  async (state) => {
    const [stackId, resourceId] = [await world.stack(), await world.resource()]
    const made = async (kind: 'STACK' | 'TWIN', subjectId: string) => {
      if (state !== 'over') return world.approval({ state, kind, subjectId })
      const id = await world.approved(kind, subjectId)
      await outdate(world, id)
      return id
    }
    const stack = { stackId, toEnvironment, approvalId: await made('STACK', stackId) }
    const again = callOf(await promoteStack(world.context, stack))
    expect(again?.mutation).toBe('requestPromotion')
    accepted(await requestPromotion(world.context, again?.arguments?.input as never))
    const twin = { resourceId, toEnvironment, approvalId: await made('TWIN', resourceId) }
    const another = callOf(await twinResource(world.context, twin))
    expect(another?.mutation).toBe('requestTwin')
    accepted(await requestTwin(world.context, another?.arguments?.input as never))
  },
)

test('an approval of something else leads to what it is for', async () => {
  const [stackId, other] = [await world.stack(), await world.stack()]
  const wish = { stackId, toEnvironment, approvalId: await world.approved('STACK', other) }
  expect(await promoteStack(world.context, wish)).toMatchObject({
    refusal: 'ApprovalMismatch',
    remedies: [{ explanation: 'See what it is for.' }],
  })
})
