// What a promotion is refused for when its approval is good: the plan is another one now, or cannot be carried out.
import { done, refused } from '../../src/drivers/outcome.ts'
import { promoteStack } from '../../src/resolvers/promotion.ts'
import { planPromotion } from '../../src/resolvers/promotion-plan.ts'
import { createResource, deleteResource, type ResourcePayload } from '../../src/resolvers/resource.ts'
import { deleteSecret, setSecret } from '../../src/resolvers/secret.ts'
import { deleteStack, mergeStackEnv, redeployStack } from '../../src/resolvers/stack.ts'
import { contextFor } from '../row.ts'
import { serviceOf } from '../stacks/row.ts'
import { mending, promoting, step } from './promote-refusal.ts'
import { type Case, gone, room } from './refusal-case.ts'
import { accepted, toEnvironment, unique } from './world.ts'

export const planRefusals: readonly Case[] = [
  {
    refusal: 'ApprovalStale',
    because: 'the source has other services',
    async arrange(world) {
      const { stackId, approval, target } = await step(world)
      accepted(await redeployStack(world.context, { id: stackId, services: [serviceOf('web', 'hello:2')] }))
      return { approval, target, ask: () => promoting(world, stackId, approval) }
    },
  },
  {
    refusal: 'ApprovalStale',
    because: 'variables of the source were merged',
    async arrange(world) {
      const { stackId, approval, target } = await step(world)
      accepted(await mergeStackEnv(world.context, { id: stackId, set: [{ key: 'A', value: '1' }] } as never))
      return { approval, target, ask: () => promoting(world, stackId, approval) }
    },
  },
  {
    refusal: 'ApprovalStale',
    because: 'the target was edited',
    async arrange(world) {
      const { stackId, targetId, approval, target } = await step(world)
      accepted(await mergeStackEnv(world.context, { id: targetId, set: [{ key: 'A', value: '1' }] } as never))
      return { approval, target, ask: () => promoting(world, stackId, approval) }
    },
  },
  {
    refusal: 'ApprovalStale',
    because: 'the value of a secret that is copied was replaced',
    async arrange(world) {
      const secret = unique('S').toUpperCase()
      await world.secret('development', secret, 'old')
      const { stackId, approval, target } = await step(world, { PASSWORD: `secret://${secret}` })
      await world.secret('development', secret, 'new')
      return { approval, target, ask: () => promoting(world, stackId, approval) }
    },
  },
  {
    refusal: 'ApprovalStale',
    because: 'the target was given a secret of its own',
    async arrange(world) {
      const name = unique('S').toUpperCase()
      await world.secret('development', name, 'value')
      const made = await step(world, { PASSWORD: `secret://${name}` })
      accepted(await setSecret(world.context, { environment: toEnvironment, name, value: 'own' }))
      return mending(made, world, () => deleteSecret(world.context, { environment: toEnvironment, name }))
    },
  },
  {
    refusal: 'ApprovalStale',
    because: 'somebody else has made a stack of that name there',
    async arrange(world) {
      const name = unique('shop-')
      const stackId = await world.stack({ name })
      const approval = await world.approved('STACK', stackId)
      const other = await world.stack({ name, environment: toEnvironment })
      return {
        approval,
        target: ['stack', other],
        ask: () => promoting(world, stackId, approval),
        mend: async () => {
          accepted(await deleteStack(world.context, { id: other }))
          await gone(world, 'stack', other)
          return promoting(world, stackId, approval)
        },
      }
    },
  },
  {
    refusal: 'NoServices',
    because: 'the source has none',
    async arrange(world) {
      const stackId = await world.stack({ services: [] })
      const plan = await planPromotion(world.pool.db, world.team.teamId, stackId, toEnvironment, {
        envPolicy: 'COPY_MISSING',
        secretPolicy: 'COPY_MISSING',
      })
      const facts = { subjectId: stackId, planDigest: String(plan?.digest) }
      const approval = await world.approval({ state: 'APPROVED', ...facts })
      return { approval, ask: () => promoting(world, stackId, approval) }
    },
  },
  {
    refusal: 'MissingImage',
    because: 'the runtime does not know one',
    async arrange(world) {
      const made = await step(world)
      const images = { resolveImage: async () => refused('there is no such image'), reserves: () => false }
      const context = contextFor(world.pool.db, world.team.actor, { images })
      const ask = () => promoteStack(context, { stackId: made.stackId, toEnvironment, approvalId: made.approval })
      return { ...mending(made, world, async () => done(null)), ask }
    },
  },
  {
    refusal: 'SecretUnresolved',
    because: 'a resource that it refers to was deleted there',
    async arrange(world) {
      const name = unique('db-')
      await world.resource('development', name)
      const there = await world.resource(toEnvironment, name)
      const made = await step(world, { DATABASE_URL: `resource://${name}` })
      accepted(await deleteResource(world.context, { id: there }))
      return mending(made, world, async () => {
        const again = { type: 'POSTGRES', name, environment: toEnvironment } as const
        accepted<ResourcePayload>(await createResource(world.context, again))
      })
    },
  },
  {
    refusal: 'QuotaExceeded',
    because: 'no room for the secret that is copied',
    async arrange(world) {
      const name = unique('S').toUpperCase()
      await world.secret('development', name, 'value')
      const made = await step(world, { PASSWORD: `secret://${name}` })
      await room(world, 'secrets', 0)
      return mending(made, world, () => room(world, 'secrets', null))
    },
  },
  {
    refusal: 'QuotaExceeded',
    because: 'no room for the target that is made',
    async arrange(world) {
      const stackId = await world.stack()
      const approval = await world.approved('STACK', stackId)
      await room(world, 'stacks', 0)
      return {
        approval,
        ask: () => promoting(world, stackId, approval),
        mend: async () => {
          await room(world, 'stacks', null)
          return promoting(world, stackId, approval)
        },
      }
    },
  },
  {
    refusal: 'StackDeleting',
    because: 'the source is being deleted',
    async arrange(world) {
      const { stackId, approval, target } = await step(world)
      accepted(await deleteStack(world.context, { id: stackId }))
      return { approval, target, ask: () => promoting(world, stackId, approval) }
    },
  },
  {
    refusal: 'StackDeleting',
    because: 'the target is being deleted',
    async arrange(world) {
      const { stackId, targetId, approval, target } = await step(world)
      accepted(await deleteStack(world.context, { id: targetId }))
      return { approval, target, ask: () => promoting(world, stackId, approval) }
    },
  },
  {
    refusal: 'StackDeleting',
    because: 'what has the name there is being deleted; once it is gone the promotion makes a new one',
    async arrange(world) {
      const name = unique('shop-')
      const stackId = await world.stack({ name })
      const approval = await world.approved('STACK', stackId)
      const other = await world.stack({ name, environment: toEnvironment })
      accepted(await deleteStack(world.context, { id: other }))
      return {
        approval,
        target: ['stack', other],
        ask: () => promoting(world, stackId, approval),
        mend: async () => {
          await gone(world, 'stack', other)
          return promoting(world, stackId, approval)
        },
      }
    },
  },
]
