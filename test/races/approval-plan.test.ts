// An approval is of one subject, environment, kind and plan: the statement that uses it compares all of them under its locks,
// whatever was looked at before, and what has changed since that look makes it stale instead of being overwritten.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { envValues } from '../../src/resolvers/env.ts'
import { promoteStack } from '../../src/resolvers/promotion.ts'
import { promoteInto } from '../../src/resolvers/promotion-rule.ts'
import { setSecret } from '../../src/resolvers/secret.ts'
import { mergeStackEnv } from '../../src/resolvers/stack.ts'
import { transition } from '../../src/resolvers/transition.ts'
import { holdKey, underWay, untilBlocked } from '../interleave.ts'
import { openPromotionWorld, outcome, type PromotionWorld, pair, toEnvironment, unique } from '../promotions/world.ts'
import { callOf } from './world.ts'

let real: PromotionWorld
let bare: PromotionWorld
beforeAll(async () => {
  ;[real, bare] = await Promise.all([openPromotionWorld(), openPromotionWorld({ guards: false })])
})
afterAll(() => Promise.all([real.close(), bare.close()]))

const use = (world: PromotionWorld, stackId: string, approvalId: string) =>
  promoteStack(world.context, { stackId, toEnvironment, approvalId })

describe('R98', () => {
  /** The statement itself, asked for something else than was approved: by whoever has got past the looks before it. */
  const play = async (world: PromotionWorld, other: Record<string, string>) => {
    const { stackId, targetId } = await pair(world)
    const approval = await world.approved('STACK', stackId)
    const [row] = await world.stranger`select plan_digest from promotion_approval where id = ${approval}`
    const none = { secretSources: '[]', secretCopies: '[]', secretsNeeded: '', resourcesNeeded: '' }
    const wanted = { id: approval, sourceId: stackId, targetId, toEnvironment, digest: row?.plan_digest, ...other }
    const values = { ...wanted, ...none, sourceSpec: 1, targetSpec: 1, seenVersion: null, services: '[]' }
    const env = envValues({ set: [], unset: [], expect: [] })
    const found = await transition(world.pool.db, promoteInto, callOf(world, { ...values, ...env }))
    return [found.kind, await world.approvalState(approval)]
  }

  test.each([
    ['stack', (id: string) => ({ sourceId: id }), '"found"."subject_id" = '],
    ['environment', () => ({ toEnvironment: 'production' }), '"found"."to_environment" = '],
    ['plan', () => ({ digest: 'another' }), '"found"."plan_digest" = '],
  ] as const)('R98 an approval is of one %s, and the statement itself compares it', async (_, other, guard) => {
    const [mine, theirs] = [await real.stack(), await bare.stack()]
    expect(await play(real, other(mine))).toEqual(['refused', 'APPROVED'])
    const careless = bare.withMutants({ name: 'promoteStack:into', from: guard, to: `'' <> ` })
    expect(await play(careless, other(theirs))).toEqual(['moved', 'EXECUTED'])
  })

  test('R98 it is of one kind', async () => {
    const play = async (world: PromotionWorld) => {
      const { stackId } = await pair(world)
      const approval = await world.approved('STACK', stackId)
      await world.stranger`alter table promotion_approval disable trigger user`
      await world.stranger`update promotion_approval set kind = 'TWIN' where id = ${approval}`
      await world.stranger`alter table promotion_approval enable trigger user`
      return [outcome(await use(world, stackId, approval)), await world.approvalState(approval)]
    }
    expect(await play(real)).toEqual(['ApprovalMismatch', 'APPROVED'])
  })
})

describe('what was planned has changed since the promotion looked', () => {
  const play = async (world: PromotionWorld, name: string, change: (made: Made) => Promise<object>) => {
    const secret = unique('S').toUpperCase()
    await world.secret('development', secret, 'first')
    const made = { ...(await pair(world, { PASSWORD: `secret://${secret}` })), secret }
    const approval = await world.approved('STACK', made.stackId)
    const before = await world.row('stack', made.targetId)
    const idempotencyKey = unique('k')
    const key = await holdKey(world.stranger, world.team.actor.id, name, idempotencyKey)
    const winner = underWay(change({ ...made, idempotencyKey }))
    await untilBlocked(world.stranger, name)
    const loser = underWay(use(world, made.stackId, approval))
    await untilBlocked(world.stranger, 'promoteStack:into')
    await key.undo()
    const outcomes = [outcome(await winner), outcome(await loser)]
    const same = (await world.row('stack', made.targetId)) === before
    return { outcomes, approval: await world.approvalState(approval), same }
  }
  type Made = { stackId: string; targetId: string; secret: string; idempotencyKey?: string }
  const merge = (world: PromotionWorld, which: 'stackId' | 'targetId') => (made: Made) =>
    mergeStackEnv(world.context, {
      id: made[which],
      set: [{ key: 'A', value: 'late' }],
      idempotencyKey: made.idempotencyKey,
    } as never)
  const replace = (world: PromotionWorld) => (made: Made) =>
    setSecret(world.context, {
      environment: 'development',
      name: made.secret,
      value: 'second',
      idempotencyKey: made.idempotencyKey ?? null,
    })

  test('R50 the source is edited: stale, and nothing is used up', async () => {
    const stale = { outcomes: ['accepted', 'ApprovalStale'], approval: 'APPROVED', same: true }
    expect(await play(real, 'mergeStackEnv', merge(real, 'stackId'))).toEqual(stale)
    const blind = { name: 'promoteStack:into', from: '"found_read"."spec_version" = ', to: '0 <> ' }
    const careless = bare.withMutants(blind)
    expect(await play(careless, 'mergeStackEnv', merge(careless, 'stackId'))).toMatchObject({ approval: 'EXECUTED' })
  })

  test('R50 the target is edited: stale, and the edit is kept', async () => {
    const { same, ...rest } = await play(real, 'mergeStackEnv', merge(real, 'targetId'))
    expect([rest, same]).toEqual([{ outcomes: ['accepted', 'ApprovalStale'], approval: 'APPROVED' }, false])
  })

  test('R50 a secret that is copied gets another value: stale, and the old value goes nowhere', async () => {
    const stale = { outcomes: ['accepted', 'ApprovalStale'], approval: 'APPROVED', same: true }
    expect(await play(real, 'setSecret', replace(real))).toEqual(stale)
    const blind = { name: 'promoteStack:into', from: 's.id = c.id and s.revision = c.revision', to: 's.id = c.id' }
    const careless = bare.withMutants(blind)
    expect(await play(careless, 'setSecret', replace(careless))).toMatchObject({ approval: 'EXECUTED' })
  })
})
