// What a promotion does when it is made: services, variables and secrets by the policies, nothing of the target overwritten,
// and a launch that fails later is the target's trouble, not the approval's.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { retryOperation } from '../../src/resolvers/operation.ts'
import { type PromotionPayload, promoteStack } from '../../src/resolvers/promotion.ts'
import { approvePromotion } from '../../src/resolvers/promotion-decision.ts'
import { type RequestPayload, requestPromotion } from '../../src/resolvers/promotion-request.ts'
import { mergeStackEnv } from '../../src/resolvers/stack.ts'
import { type TwinPayload, twinResource } from '../../src/resolvers/twin.ts'
import { until } from '../loops/fixture.ts'
import { openResourceStage } from '../resources/fixture.ts'
import { contextFor } from '../row.ts'
import { openStackStage } from '../stacks/fixture.ts'
import { serviceOf } from '../stacks/row.ts'
import { closeFailing, failing } from './refusal-case.ts'
import { accepted, openPromotionWorld, outcome, type PromotionWorld, pair, toEnvironment, unique } from './world.ts'

let world: PromotionWorld
beforeAll(async () => {
  world = await openPromotionWorld()
})
afterAll(() => world.close())

const promoted = async (stackId: string, policies: object = {}) => {
  const approvalId = await world.approved('STACK', stackId, toEnvironment, policies)
  return accepted<PromotionPayload>(await promoteStack(world.context, { stackId, toEnvironment, approvalId }))
}
const valuesOf = (env: PromotionPayload['stack']['env']) =>
  Object.fromEntries(Object.entries(env).map(([key, { value }]) => [key, value]))
const name = () => unique('S').toUpperCase()

describe('a promotion', () => {
  test('into an environment without the stack makes it, with all that it needs, and one roll-out', async () => {
    const [secret, services] = [name(), [serviceOf('web', 'hello:2')]]
    await world.secret('development', secret, 'value')
    const stackId = await world.stack({ services, env: { PASSWORD: `secret://${secret}`, MODE: 'fast' } })
    const { stack, operation, approval } = await promoted(stackId)
    expect(stack).toMatchObject({
      environment: toEnvironment,
      services,
      state: 'BUILDING',
      generation: 1,
      specVersion: 1,
    })
    expect(valuesOf(stack.env)).toEqual({ PASSWORD: `secret://${secret}`, MODE: 'fast' })
    expect(operation).toMatchObject({ kind: 'stack.roll_out', subjectId: stack.id, generation: 1, state: 'PENDING' })
    expect(approval).toMatchObject({ state: 'EXECUTED', operationId: operation.id })
    expect(await world.secretValue(toEnvironment, secret)).toBe('value')
    // Sealed for its new place: the stored texts differ, and neither opens at the other's.
    const rows = await world.stranger<{ value: string }[]>`select value from secret where name = ${secret}`
    expect(new Set(rows.map(({ value }) => value)).size).toBe(2)
    // Nothing of the source has moved.
    expect(JSON.parse(await world.row('stack', stackId))).toMatchObject({ version: 1, spec_version: 1 })
  })

  test('keeps what the target has of its own: variables and secrets are never overwritten', async () => {
    const [secret, other] = [name(), name()]
    await world.secret('development', secret, 'of the source')
    await world.secret('development', other, 'lacking')
    await world.secret(toEnvironment, secret, 'of the target')
    const { stackId, targetId } = await pair(world, {
      A: 'of the source',
      B: 'lacking',
      P: `secret://${secret}`,
      Q: `secret://${other}`,
    })
    const own = [
      { key: 'A', value: 'of the target' },
      { key: 'C', value: 'its own' },
    ]
    accepted(await mergeStackEnv(world.context, { id: targetId, set: own } as never))
    const { stack } = await promoted(stackId)
    expect(stack).toMatchObject({ id: targetId, generation: 2, services: [serviceOf('web'), serviceOf('api')] })
    expect(valuesOf(stack.env)).toEqual({
      A: 'of the target',
      B: 'lacking',
      C: 'its own',
      P: `secret://${secret}`,
      Q: `secret://${other}`,
    })
    expect(await world.secretValue(toEnvironment, secret)).toBe('of the target')
    expect(await world.secretValue(toEnvironment, other)).toBe('lacking')
    const [counter] = await world.stranger`select used - (select count(*)::int from secret where state = 'ACTIVE'
      and team_id = ${world.team.teamId}) as wrong from plan_usage where team_id = ${world.team.teamId} and kind = 'secrets'`
    expect(counter).toEqual({ wrong: 0 })
  })

  test('copies nothing under KEEP_TARGET, and under REQUIRE is refused what is lacking', async () => {
    const { stackId } = await pair(world, { A: '1' })
    const wanted = { stackId, toEnvironment, envPolicy: 'REQUIRE' } as const
    expect(await requestPromotion(world.context, wanted)).toMatchObject({
      refusal: 'SecretUnresolved',
      facts: { keys: ['A'] },
    })
    const { stack } = await promoted(stackId, { envPolicy: 'KEEP_TARGET' })
    expect(valuesOf(stack.env)).toEqual({})
  })

  test('into development needs no approval, and is still made once for each call', async () => {
    const stackId = await world.stack({ environment: 'qa' })
    const free = { stackId, toEnvironment: 'development' }
    const made = accepted<PromotionPayload>(await promoteStack(world.context, free))
    expect(made).toMatchObject({ approval: null, stack: { environment: 'development', generation: 1 } })
    const again = accepted<PromotionPayload>(await promoteStack(world.context, free))
    expect(again).toMatchObject({ stack: { id: made.stack.id, generation: 2 } })
  })

  test('whose connection is lost with the answer is found by its event, and told as if nothing had been lost', async () => {
    const { stackId, targetId } = await pair(world)
    const into = failing(world, 'promoteStack:into', 'unknown-outcome')
    const approvalId = await world.approved('STACK', stackId)
    const result = accepted<PromotionPayload>(await promoteStack(into, { stackId, toEnvironment, approvalId }))
    expect(result).toMatchObject({
      replayed: false,
      stack: { id: targetId, generation: 2 },
      operation: { subjectId: targetId, generation: 2 },
      approval: { id: approvalId, state: 'EXECUTED', operationId: result.operation.id },
    })
    const resourceId = await world.resource()
    const twinning = failing(world, 'twinResource', 'unknown-outcome')
    const own = await world.approved('TWIN', resourceId)
    const twin = accepted<TwinPayload>(await twinResource(twinning, { resourceId, toEnvironment, approvalId: own }))
    expect(twin).toMatchObject({
      replayed: false,
      resource: { environment: toEnvironment, state: 'PROVISIONING' },
      operation: { subjectId: twin.resource.id, kind: 'resource.provision' },
      approval: { id: own, state: 'EXECUTED' },
    })
    await closeFailing()
  })

  test('that is repeated is told as what it was, with and without a key', async () => {
    const { stackId, targetId } = await pair(world)
    const approvalId = await world.approved('STACK', stackId)
    const input = { stackId, toEnvironment, approvalId, idempotencyKey: unique('k') }
    const first = accepted<PromotionPayload>(await promoteStack(world.context, input))
    const again = accepted<PromotionPayload>(await promoteStack(world.context, input))
    expect(again).toMatchObject({ replayed: true, stack: { id: targetId }, operation: { id: first.operation.id } })
    const other = { ...input, idempotencyKey: null }
    expect(await promoteStack(world.context, other)).toMatchObject({
      refusal: 'ApprovalAlreadyExecuted',
      facts: { operation: { id: first.operation.id }, promotionApproval: { id: approvalId } },
    })
  })
})

test('R58 a promotion whose launch fails is repeated without a new approval, until it is done', async () => {
  const stage = await openStackStage()
  const { driver } = stage.replica()
  const given = await stage.create(['web'])
  await stage.comesTo(given, 'HEALTHY')
  const { context } = stage
  const wish = { stackId: given, toEnvironment }
  const { approval } = accepted<RequestPayload>(await requestPromotion(context, wish))
  accepted(await approvePromotion(context, { id: approval.id }))
  driver.faultNext('ensure', { kind: 'refuse', reason: 'not today' })
  const { stack, operation } = accepted<PromotionPayload>(
    await promoteStack(context, { ...wish, approvalId: approval.id }),
  )
  await stage.hurriedTo(stack.id, 'FAILED')
  const state = async () => (await stage.sql`select state, operation_id from promotion_approval`)[0]
  expect(await state()).toEqual({ state: 'EXECUTED', operation_id: operation.id })
  driver.clear()
  const again = accepted<{ operation: { id: string } }>(await retryOperation(context, { id: operation.id }))
  await stage.hurriedTo(stack.id, 'HEALTHY')
  expect((await stage.operations(stack.id)).map(({ id, state: of }) => [id, of])).toEqual([
    [operation.id, 'FAILED'],
    [again.operation.id, 'SUCCEEDED'],
  ])
  expect(await state()).toEqual({ state: 'EXECUTED', operation_id: operation.id })
  await stage.close()
})

test('a twin is provisioned as a resource of its own: another password, no time limit, nothing of the first one', async () => {
  const stage = await openResourceStage()
  stage.replica()
  const source = await stage.create({ name: 'db', ttlHours: 1 })
  await stage.comesTo(source, 'ACTIVE')
  const free = { resourceId: source, toEnvironment: 'development' }
  expect(outcome(await twinResource(stage.context, free))).toBe('ValidationFailed')
  expect(outcome(await twinResource(stage.context, { ...free, toEnvironment }))).toBe('ApprovalRequired')
  const far = await stage.create({ name: 'far', environment: 'qa' })
  const near = accepted<TwinPayload>(await twinResource(stage.context, { ...free, resourceId: far }))
  expect(near).toMatchObject({
    approval: null,
    operation: { kind: 'resource.provision' },
    resource: { name: 'far', environment: 'development', type: 'POSTGRES', expiresAt: null },
  })
  await stage.comesTo(near.resource.id, 'ACTIVE')
  await stage.comesTo(far, 'ACTIVE')
  expect(await stage.password(near.resource.id)).not.toBe(await stage.password(far))
  expect(await stage.url(near.resource.id)).not.toBe(await stage.url(far))
  await until(async () => expect(stage.effectsOn(near.resource.id)).toContain('made'))
  await stage.close()
})

test('two tokens of two members: who asks, who approves and who promotes are told apart', async () => {
  const [asker, approver] = [await world.member('developer'), await world.member('admin')]
  const { stackId } = await pair(world)
  const { approval } = accepted<RequestPayload>(await requestPromotion(asker, { stackId, toEnvironment }))
  expect(outcome(await approvePromotion(asker, { id: approval.id }))).toBe('Forbidden')
  accepted(await approvePromotion(approver, { id: approval.id }))
  const result = await promoteStack(contextFor(world.pool.db, asker.actor), {
    stackId,
    toEnvironment,
    approvalId: approval.id,
  })
  expect(accepted<PromotionPayload>(result).approval).toMatchObject({
    requestedBy: asker.actor.memberId,
    decidedBy: approver.actor.memberId,
    state: 'EXECUTED',
  })
})
