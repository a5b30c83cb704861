// The answers that every mutation has, each brought about in one way for all of them: a wish that would be accepted is spoilt,
// or asked while a stranger holds what it needs, or while the database is away.
import { type GraphQLInputObjectType, getNamedType } from 'graphql'
import { entityOfId, newId } from '../../../src/db/id.ts'
import { mintToken } from '../../../src/token.ts'
import { createToken } from '../../fixture.ts'
import { hold, holdKey } from '../../interleave.ts'
import { mutations, places, put } from '../../sweep/walk.ts'
import type { Case, Wish } from './pair.ts'
import { ask, payloadOf } from './pair.ts'
import { type Ready, ready, validInput } from './ready.ts'
import type { Stage } from './stage.ts'

type Spoil = (stage: Stage, mutation: string, wish: Ready) => Promise<Wish> | Wish
const unique = () => crypto.randomUUID()
const namesOf = (mutation: string): string[] => {
  const field = mutations.find(({ name }) => name === mutation)
  const [arg] = field?.args ?? []
  return Object.keys((getNamedType(arg?.type) as unknown as GraphQLInputObjectType).getFields())
}
/** No version can be given to it: what is made has none yet. */
export const takesNoVersion = (mutation: string) => !namesOf(mutation).includes('expectedVersion')
const idPlaces = places('ID').filter(({ type }) => type === 'Mutation')
const placeOf = (mutation: string) => idPlaces.find(({ field }) => field === mutation)?.path.slice(1)
/** Nothing that there already is can be named to it: neither by an id, nor by a token, nor, with a version, by its name. */
export const takesNoId = (mutation: string) =>
  !placeOf(mutation) && !namesOf(mutation).includes('token') && mutation !== 'setSecret'

/** The same wish as another one, where a further input of the sweeps is no other. */
const others: Readonly<Record<string, (wish: Wish['input']) => Wish['input']>> = {
  requestPromotion: (input) => ({ ...input, toEnvironment: 'staging' }),
  requestTwin: (input) => ({ ...input, toEnvironment: 'staging' }),
  redeliverWebhookEvent: (input) => ({ ...input, id: newId('WebhookDelivery') }),
  acceptInvitation: (input) => ({ ...input, name: 'another' }),
}
function another(mutation: string, { input, scene }: Ready): Wish['input'] {
  if (others[mutation]) return others[mutation](input)
  const next = { ...input, ...validInput(mutation, scene) }
  return JSON.stringify(next) === JSON.stringify(input) ? { ...input, expectedVersion: '99' } : next
}

/** What two mutations that find their subject by its name need so that there is one of that name. */
const named: Readonly<Record<string, Spoil>> = {
  deploy: async ({ sql }, _, { scene, input, token }) => {
    const [row] = await sql`select name from deployment where id = ${String(scene.of.Deployment)}`
    return { token, input: { ...input, name: row?.name, redeploy: true } }
  },
  setSecret: async ({ sql }, _, { scene, input, token }) => {
    const [row] = await sql`select name from secret where id = ${String(scene.of.Secret)}`
    return { token, input: { ...input, name: row?.name } }
  },
}

/** All that the team has is held by a stranger; for what makes a team, the key under which it is made. */
async function whileHeld<T>(
  stage: Stage,
  mutation: string,
  { scene, input }: Ready,
  asking: () => Promise<T>,
): Promise<T> {
  const { sql } = stage
  const [caller] = await sql<
    { id: string }[]
  >`select id from api_token where team_id = ${scene.teamId} and name = 'test'`
  const key = String(input.idempotencyKey)
  if (mutation === 'createTeam') return letGo(await holdKey(sql, String(caller?.id), mutation, key), asking)
  const [invitation] = await sql<
    { team: string }[]
  >`select team_id as team from invitation order by created_at desc limit 1`
  const teams = mutation === 'acceptInvitation' ? [scene.teamId, String(invitation?.team)] : [scene.teamId]
  const of = `in (${teams.map((id) => `'${id}'`).join(', ')})`
  const tables = ['deployment', 'resource', 'stack', 'secret', 'instance', 'webhook', 'webhook_delivery', 'operation']
  const rows = [...tables, 'promotion_approval', 'invitation', 'member', 'plan_usage'].map(
    (table) => `select 1 from ${table} where team_id ${of} for update`,
  )
  rows.push(`select 1 from team where id ${of} for update`)
  rows.push(`select 1 from api_token where team_id ${of} and id <> '${caller?.id}' for update`)
  return letGo(await hold(sql, rows.join('; ')), asking)
}
async function letGo<T>(held: Awaited<ReturnType<typeof hold>>, asking: () => Promise<T>): Promise<T> {
  try {
    return await asking()
  } finally {
    await held.undo()
  }
}

const keyed = (wish: Ready): Ready => ({ ...wish, input: { ...wish.input, idempotencyKey: unique() } })

/** The wish with what is not there in the place of what is. */
export const ofNothing: Spoil = (_, mutation, wish) => {
  const { input } = wish
  if (mutation === 'acceptInvitation') return { ...wish, input: { ...input, token: mintToken().plaintext } }
  if (mutation === 'setSecret') return { ...wish, input: { ...input, expectedVersion: '1' } }
  const path = placeOf(mutation) ?? []
  const known = path.reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined)?.[step], input)
  return { ...wish, input: put(input, path, newId(entityOfId(String(known)) ?? 'Deployment')) as Wish['input'] }
}

/** By member; null for a mutation that cannot have it. */
const spoils: Readonly<Record<string, (mutation: string) => Spoil | null>> = {
  Payload: () => (_, __, wish) => keyed(wish),
  ValidationFailed: () => (_, __, wish) => ({ ...wish, input: { ...wish.input, idempotencyKey: '' } }),
  Forbidden: () => async (stage, _, wish) => {
    const { token } = await createToken(stage.url, wish.scene.teamId, { scopes: ['read'], classes: ['read'] })
    return { ...wish, token }
  },
  NotFound: (mutation) => (takesNoId(mutation) ? null : ofNothing),
  VersionConflict: (mutation) =>
    takesNoVersion(mutation)
      ? null
      : async (stage, _, wish) => {
          const { input, token } = (await named[mutation]?.(stage, mutation, wish)) ?? wish
          return { token, input: { ...input, expectedVersion: '77' } }
        },
  IdempotencyKeyReused: () => async (stage, mutation, wish) => {
    const first = keyed(wish)
    await accept(stage, mutation, first)
    return { ...first, input: { ...another(mutation, wish), idempotencyKey: first.input.idempotencyKey } }
  },
  Busy: () => (stage, mutation, wish) => {
    const held = keyed(wish)
    return { ...held, meanwhile: (asking) => whileHeld(stage, mutation, held, asking) }
  },
  TemporarilyUnavailable: () => (stage, _, wish) => ({
    ...wish,
    async meanwhile(asking) {
      stage.cut()
      return asking().finally(() => stage.mend())
    },
  }),
}

async function accept(stage: Stage, mutation: string, wish: Wish): Promise<void> {
  const answered = await ask(stage, mutation, wish)
  if (answered.__typename !== payloadOf(mutation)) throw new Error(`${mutation} is not accepted: ${answered.message}`)
}

/** A case for every mutation and each of these members that it can have. */
export const everyCases: readonly Case[] = mutations.flatMap(({ name: mutation }) =>
  Object.entries(spoils).flatMap(([of, spoilOf]): Case[] => {
    const spoil = spoilOf(mutation)
    const member = of === 'Payload' ? payloadOf(mutation) : of
    return spoil
      ? [{ mutation, member, arrange: async (stage) => spoil(stage, mutation, await ready(stage, mutation)) }]
      : []
  }),
)
