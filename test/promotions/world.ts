// The world of promotions: stacks and resources made by the real calls, approvals asked for and approved, or put in any state
// past the triggers, and what has become of all of them.
import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import type { Context } from '../../src/context.ts'
import { newId } from '../../src/db/id.ts'
import type { CopyPolicy } from '../../src/db/promotion-approval.ts'
import type { StackService } from '../../src/db/stack.ts'
import type { PromotionApprovalState } from '../../src/lifecycle/promotion-approval.ts'
import { type ApprovalPayload, approvePromotion } from '../../src/resolvers/promotion-decision.ts'
import { type RequestPayload, requestPromotion } from '../../src/resolvers/promotion-request.ts'
import { secretPlace } from '../../src/resolvers/reference.ts'
import { createResource, type ResourcePayload } from '../../src/resolvers/resource.ts'
import { setSecret } from '../../src/resolvers/secret.ts'
import { createStack, type StackPayload } from '../../src/resolvers/stack.ts'
import { requestTwin } from '../../src/resolvers/twin.ts'
import type { Mutation } from '../interleave.ts'
import { putMember, type TestMember } from '../member-row.ts'
import { ownerOf } from '../owner.ts'
import { openWorld, type World } from '../races/world.ts'
import { contextFor, testSealing, withTriggersOff } from '../row.ts'
import { serviceOf } from '../stacks/row.ts'

export type Kind = 'STACK' | 'TWIN'
export interface StackWish {
  readonly name?: string
  readonly environment?: string
  readonly services?: readonly StackService[]
  readonly env?: Readonly<Record<string, string>>
}
export interface ApprovalFacts {
  readonly state: PromotionApprovalState
  readonly kind?: Kind
  readonly subjectId?: string
  readonly toEnvironment?: string
  readonly requestedBy?: string | null
  readonly expiresInSeconds?: number
  readonly planDigest?: string
}

export interface PromotionWorld extends World {
  withMutants(...mutations: Mutation[]): PromotionWorld
  /** A stack made by the real call. */
  stack(wish?: StackWish): Promise<string>
  resource(environment?: string, name?: string): Promise<string>
  secret(environment: string, name: string, value: string): Promise<void>
  /** The plain value of a live secret; null where there is none. */
  secretValue(environment: string, name: string): Promise<string | null>
  /** Asks, and returns the id of the approval. */
  asked(kind: Kind, subjectId: string, toEnvironment?: string, policies?: Policies): Promise<string>
  /** Asks and approves. */
  approved(kind: Kind, subjectId: string, toEnvironment?: string, policies?: Policies): Promise<string>
  /** An approval in any state. */
  approval(facts: ApprovalFacts): Promise<string>
  approvalState(id: string): Promise<PromotionApprovalState>
  /** Another member, of the role admin where none is given. */
  member(role?: TestMember['actor']['role']): Promise<Context>
  /** All that is stored of a row, as one text. */
  row(table: 'stack' | 'resource' | 'promotion_approval', id: string): Promise<string>
  /** How many live stacks, or resources, of that name there are in an environment. */
  live(table: 'stack' | 'resource', environment: string, name: string): Promise<number>
}
interface Policies {
  readonly envPolicy?: CopyPolicy
  readonly secretPolicy?: CopyPolicy
}

export const unique = (prefix: string) => `${prefix}${randomBytes(5).toString('hex')}`
const guarded = ['stack', 'resource', 'secret', 'promotion_approval']

/** Opens a world; without guards, nothing but the statements themselves keeps states right. */
export async function openPromotionWorld({ guards = true } = {}): Promise<PromotionWorld> {
  const world = await openWorld({ guards })
  if (!guards) for (const table of guarded) await world.stranger.unsafe(`alter table ${table} disable trigger user`)
  await world.stranger`update plan_usage set cap = 100000 where team_id = ${world.team.teamId}`
  return withPromotions(world)
}

/** What a payload has; fails on a refusal. */
export function accepted<P>(result: object): P {
  expect('refusal' in result ? `${result.refusal}: ${(result as { message?: string }).message}` : 'accepted').toBe(
    'accepted',
  )
  return result as P
}

/** What became of a call, in one word. */
export const outcome = (result: object): string =>
  'refusal' in result ? String(result.refusal) : (result as { replayed: boolean }).replayed ? 'replayed' : 'accepted'

/** What promotions need, on a world that is open already. */
export function withPromotions(world: World): PromotionWorld {
  const { stranger, team, context } = world
  const { teamId } = team
  const asked: PromotionWorld['asked'] = async (kind, subjectId, toEnvironment = 'staging', policies = {}) => {
    const answer =
      kind === 'STACK'
        ? await requestPromotion(context, { stackId: subjectId, toEnvironment, ...policies })
        : await requestTwin(context, { resourceId: subjectId, toEnvironment })
    return accepted<RequestPayload>(answer).approval.id
  }
  return {
    ...world,
    withMutants: (...mutations) => withPromotions(world.withMutants(...mutations)),
    async stack({ name = unique('shop-'), environment = 'development', services, env = {} } = {}) {
      const answer = await createStack(context, {
        name,
        environment,
        services: services ?? [serviceOf('web'), serviceOf('api')],
        env: Object.entries(env).map(([key, value]) => ({ key, value })),
      })
      return accepted<StackPayload>(answer).stack.id
    },
    async resource(environment = 'development', name = unique('db-')) {
      return accepted<ResourcePayload>(await createResource(context, { type: 'POSTGRES', name, environment })).resource
        .id
    },
    async secret(environment, name, value) {
      accepted(await setSecret(context, { environment, name, value }))
    },
    async secretValue(environment, name) {
      const [row] = await stranger<{ id: string; teamId: string; revision: number; value: string }[]>`
        select id, team_id as "teamId", revision, value from secret
        where team_id = ${teamId} and environment = ${environment} and name = ${name} and state = 'ACTIVE'`
      return row ? testSealing.open(row.value, secretPlace(row)) : null
    },
    asked,
    async approved(...wish) {
      const id = await asked(...wish)
      accepted<ApprovalPayload>(await approvePromotion(context, { id }))
      return id
    },
    async approval(facts) {
      const { state, kind = 'STACK', toEnvironment = 'staging', requestedBy = ownerOf(teamId) } = facts
      const { subjectId = newId(kind === 'STACK' ? 'Stack' : 'Resource') } = facts
      const { expiresInSeconds = 3_600, planDigest = 'none' } = facts
      const id = newId('PromotionApproval')
      await withTriggersOff(stranger, async (sql) => {
        await sql`insert into promotion_approval (id, state, team_id, kind, subject_id, to_environment, plan_digest, plan,
            requested_by, expires_at)
          values (${id}, ${state}, ${teamId}, ${kind}, ${subjectId}, ${toEnvironment}, ${planDigest}, '{}', ${requestedBy},
            now() + ${expiresInSeconds}::float8 * interval '1 second')`
      })
      return id
    },
    async approvalState(id) {
      const [row] = await stranger<{ state: PromotionApprovalState }[]>`
        select state from promotion_approval where id = ${id}`
      if (!row) throw new Error(`${id} is gone`)
      return row.state
    },
    async member(role = 'admin') {
      const { actor } = await putMember(stranger, { teamId, role: role ?? 'admin' })
      return contextFor(world.pool.db, actor)
    },
    async row(table, id) {
      const [found] = await stranger.unsafe(`select to_jsonb(t)::text as text from "${table}" t where id = '${id}'`)
      return String(found?.text)
    },
    async live(table, environment, name) {
      const [row] = await stranger.unsafe(`select count(*)::int as n from "${table}" where team_id = '${teamId}'
        and environment = '${environment}' and name = '${name}' and state not in ('DELETING', 'DELETED')`)
      return row?.n
    },
  }
}

/** Lets the time of an approval be over. */
export const outdate = (world: World, id: string) =>
  withTriggersOff(world.stranger, async (sql) => {
    await sql`update promotion_approval set expires_at = now() - interval '1 second' where id = ${id}`
  })

/** Undoes that. */
export const renew = (world: World, id: string) =>
  withTriggersOff(world.stranger, async (sql) => {
    await sql`update promotion_approval set expires_at = now() + interval '1 hour' where id = ${id}`
  })

/** Where all of these promote to. */
export const toEnvironment = 'staging'

/** A source in development and its target of older services. */
export async function pair(world: PromotionWorld, env: Readonly<Record<string, string>> = {}) {
  const name = unique('shop-')
  const stackId = await world.stack({ name, env })
  const targetId = await world.stack({ name, environment: toEnvironment, services: [serviceOf('web', 'hello:0')] })
  return { name, stackId, targetId }
}
