// The database's own guard, asked by plain SQL: every change of state of every entity, every birth and every removal, held
// to what was written down by hand. Nothing of the product runs here but the triggers and constraints that it installed.
import type postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { ownerOf } from '../owner.ts'
import { openWorld, type World } from '../races/world.ts'
import { withTriggersOff } from '../row.ts'
import { apiTokenStates, expectedApiToken } from './expected-api-token.ts'
import { deploymentStates, expectedDeployment } from './expected-deployment.ts'
import { expectedInstance, instanceStates } from './expected-instance.ts'
import { expectedInvitation, expectedMember, invitationStates, memberStates } from './expected-member.ts'
import { expectedOperation, operationStates } from './expected-operation.ts'
import { expectedPromotionApproval, promotionApprovalStates } from './expected-promotion-approval.ts'
import { expectedResource, resourceStates } from './expected-resource.ts'
import { expectedSecret, secretStates } from './expected-secret.ts'
import { expectedStack, stackStates } from './expected-stack.ts'
import { expectedTeam, teamStates } from './expected-team.ts'
import { expectedWebhook, webhookStates } from './expected-webhook.ts'
import { expectedWebhookDelivery, webhookDeliveryStates } from './expected-webhook-delivery.ts'

let world: World
/** The webhook that every delivery is of, and the next place in the log. */
let hook = ''
let positions = 1
beforeAll(async () => {
  world = await openWorld()
  hook = await inserts.webhook(world.stranger, 'ACTIVE')
})
afterAll(() => world.close())

type Sql = postgres.Sql | postgres.TransactionSql
/** Inserts a row in a state, by plain SQL. */
const inserts = {
  deployment: async (sql: Sql, state: string) => {
    const id = newId('Deployment')
    await sql`insert into deployment (id, state, team_id, environment, name, image, ttl_policy, incarnation)
      values (${id}, ${state}, ${world.team.teamId}, 'test', ${id}, 'hello:1', 'PERMANENT', ${id})`
    return id
  },
  operation: async (sql: Sql, state: string) => {
    const id = newId('Operation')
    await sql`insert into operation (id, state, team_id, kind, subject_type, subject_id, due_at, actor, request_id)
      values (${id}, ${state}, ${world.team.teamId}, 'test', 'Deployment', ${id}, now(), '{}', 'test')`
    return id
  },
  resource: async (sql: Sql, state: string) => {
    const id = newId('Resource')
    await sql`insert into resource (id, state, team_id, environment, name, type, incarnation, password, limit_bytes)
      values (${id}, ${state}, ${world.team.teamId}, 'test', ${id}, 'POSTGRES', ${id}, 'sealed', 1)`
    return id
  },
  team: async (sql: Sql, state: string) => {
    const id = newId('Team')
    await sql`insert into team (id, state, name) values (${id}, ${state}, 'test')`
    return id
  },
  stack: async (sql: Sql, state: string) => {
    const id = newId('Stack')
    await sql`insert into stack (id, state, team_id, environment, name, services, incarnation)
      values (${id}, ${state}, ${world.team.teamId}, 'test', ${id}, '[]', ${id})`
    return id
  },
  promotion_approval: async (sql: Sql, state: string) => {
    const id = newId('PromotionApproval')
    await sql`insert into promotion_approval (id, state, team_id, kind, subject_id, to_environment, plan_digest, plan, expires_at)
      values (${id}, ${state}, ${world.team.teamId}, 'STACK', ${id}, 'test', 'digest', '{}', now())`
    return id
  },
  secret: async (sql: Sql, state: string) => {
    const id = newId('Secret')
    await sql`insert into secret (id, state, team_id, environment, name, value, changed_at, changed_by)
      values (${id}, ${state}, ${world.team.teamId}, 'test', ${id}, ${state === 'ACTIVE' ? 'sealed' : null}, now(), 'test')`
    return id
  },
  member: async (sql: Sql, state: string) => {
    const id = newId('Member')
    await sql`insert into member (id, state, team_id, identity, name, role)
      values (${id}, ${state}, ${world.team.teamId}, ${id}, 'test', 'viewer')`
    return id
  },
  invitation: async (sql: Sql, state: string) => {
    const id = newId('Invitation')
    await sql`insert into invitation (id, state, team_id, email, role, lookup_id, secret_hash, expires_at, invited_by)
      values (${id}, ${state}, ${world.team.teamId}, 'a@b.example', 'viewer', ${id}, 'hash', now(), ${ownerOf(world.team.teamId)})`
    return id
  },
  api_token: async (sql: Sql, state: string) => {
    const id = newId('ApiToken')
    await sql`insert into api_token (id, state, team_id, member_id, name, lookup_id, secret_hash, scopes, action_classes, expires_at)
      values (${id}, ${state}, ${world.team.teamId}, ${ownerOf(world.team.teamId)}, 'test', ${id}, 'hash', '{}', '{}', now())`
    return id
  },
  instance: async (sql: Sql, state: string) => {
    const id = newId('Instance')
    await sql`insert into instance (id, state, team_id, environment, name, runtime, instance_id)
      values (${id}, ${state}, ${world.team.teamId}, 'test', ${id}, 'EXTERNAL', ${id})`
    return id
  },
  webhook: async (sql: Sql, state: string) => {
    const id = newId('Webhook')
    await sql`insert into webhook (id, state, team_id, url, filter, secret, secret_changed_at, cursor)
      values (${id}, ${state}, ${world.team.teamId}, 'https://a.example', '{}', ${['ACTIVE', 'DISABLED'].includes(state) ? 'sealed' : null}, now(), 0)`
    return id
  },
  webhook_delivery: async (sql: Sql, state: string) => {
    const [id, webhookId] = [newId('WebhookDelivery'), hook]
    await sql`insert into webhook_delivery (id, state, team_id, webhook_id, position, subject_id, message_id)
      values (${id}, ${state}, ${world.team.teamId}, ${webhookId}, ${positions++}, ${id}, ${id})`
    return id
  },
}

const entities = [
  ['resource', resourceStates, expectedResource],
  ['deployment', deploymentStates, expectedDeployment],
  ['operation', operationStates, expectedOperation],
  ['team', teamStates, expectedTeam],
  ['stack', stackStates, expectedStack],
  ['secret', secretStates, expectedSecret],
  ['promotion_approval', promotionApprovalStates, expectedPromotionApproval],
  ['member', memberStates, expectedMember],
  ['invitation', invitationStates, expectedInvitation],
  ['api_token', apiTokenStates, expectedApiToken],
  ['instance', instanceStates, expectedInstance],
  ['webhook', webhookStates, expectedWebhook],
  ['webhook_delivery', webhookDeliveryStates, expectedWebhookDelivery],
] as const

const sealed: Readonly<Record<string, string>> = { secret: 'value', webhook: 'secret' }

/** `done`, or the name of the constraint that refused. */
const attempt = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'done',
    (error: { code?: string; constraint_name?: string }) => {
      if (error.code !== '23514') throw error
      return String(error.constraint_name)
    },
  )

describe.each(entities)('%s', (table, states, expected) => {
  const refused = `${table}_lifecycle`
  const row = async (state: string) => {
    let id = ''
    await withTriggersOff(world.stranger, async (sql) => {
      id = await inserts[table](sql, state)
    })
    return id
  }
  /** Beside the state: what a secret or a webhook keeps sealed ends with it, by a constraint of its own. */
  const besides = (to: string) =>
    table in sealed ? `, ${sealed[table]} = ${to === 'DELETED' ? 'null' : "'sealed'"}` : ''
  const change = (id: string, assignments: string) =>
    attempt(world.stranger.unsafe(`update ${table} set ${assignments} where id = '${id}'`))

  test('is born in its first state and in no other', async () => {
    for (const state of states) {
      const born = (expected.births as readonly string[]).includes(state)
      expect([state, await attempt(inserts[table](world.stranger, state))]).toEqual([state, born ? 'done' : refused])
    }
  })

  test('changes its state as declared and in no other way', async () => {
    const pairs = expected.pairs as Readonly<Record<string, readonly string[]>>
    for (const from of states) {
      for (const to of states) {
        const id = await row(from)
        const allowed = from === to || pairs[from]?.includes(to)
        expect([from, to, await change(id, `state = '${to}', version = version + 1${besides(to)}`)]).toEqual([
          from,
          to,
          allowed ? 'done' : refused,
        ])
        const [{ state } = { state: '' }] = await world.stranger.unsafe(`select state from ${table} where id = '${id}'`)
        expect(state).toBe(allowed ? to : from)
      }
    }
  })

  test('changes no state without its version', async () => {
    for (const [from, tos] of Object.entries<readonly string[]>(expected.pairs)) {
      for (const to of tos) expect(await change(await row(from), `state = '${to}'`)).toBe(refused)
    }
  })

  test('is removed from a terminal state and from no other', async () => {
    for (const state of states) {
      const ended = (expected.terminal as readonly string[]).includes(state)
      const removal = attempt(world.stranger.unsafe(`delete from ${table} where id = '${await row(state)}'`))
      expect([state, await removal]).toEqual([state, ended ? 'done' : refused])
    }
  })

  test('never goes back in version or generation, and keeps its id', async () => {
    const id = await row(states[0])
    expect(await change(id, 'version = 5, generation = 5')).toBe('done')
    expect(await change(id, 'version = 4')).toBe(refused)
    expect(await change(id, 'generation = 4')).toBe(refused)
    expect(await change(id, `id = '${id}x', version = 6`)).toBe(refused)
  })

  test('knows no state beside its own', async () => {
    const id = await row(states[0])
    expect(await change(id, `state = 'SOMETHING', version = version + 1`)).toBe(refused)
    await expect(change(id, 'state = null')).rejects.toMatchObject({ code: '23502' })
    // The CHECK constraint holds where the trigger is off, too.
    await expect(row('SOMETHING')).rejects.toMatchObject({ code: '23514', constraint_name: `${table}_state` })
  })

  test('is never emptied', async () => {
    for (const how of ['', ' cascade', ' restart identity cascade']) {
      await expect(world.stranger.unsafe(`truncate ${table}${how}`)).rejects.toMatchObject({
        code: ['team', 'member', 'webhook'].includes(table) && how === '' ? '0A000' : '23514',
      })
    }
  })

  test('is guarded in batches and in upserts, too', async () => {
    const [first, ended] = [states[0], expected.terminal[0]]
    const [one, two] = [await row(first), await row(String(ended))]
    const both = `update ${table} set state = '${first}', version = version + 1 where id in ('${one}', '${two}')`
    expect(await attempt(world.stranger.unsafe(both))).toBe(refused)
    const upsert = `insert into ${table} select (jsonb_populate_record(t, '{"state": "${first}"}')).* from ${table} t where id = '${two}'
      on conflict (id) do update set state = excluded.state, version = ${table}.version + 1`
    expect(await attempt(world.stranger.unsafe(upsert))).toBe(refused)
  })
})
