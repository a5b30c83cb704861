// Query.stuck on every passing state of every machine: each tells at least one way out. A call that is named is accepted as it
// stands; where no call leads out of it, it is said whose business it is.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { statesOfKind } from '../../src/lifecycle/machine.ts'
import { machines } from '../../src/lifecycle/machines.ts'
import { createTeam, createToken } from '../fixture.ts'
import { withTriggersOff } from '../row.ts'
import { newObjects, put } from '../sweep/maker.ts'
import { type Api, openApi } from './api.ts'
import { mutate } from './call.ts'

let api: Api
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

interface Found {
  readonly subject: { readonly id: string } | null
  readonly entity: string
  readonly state: string
  readonly owner: string
  readonly remedies: readonly {
    readonly mutation: string | null
    readonly arguments: { readonly input: Record<string, unknown> } | null
    readonly explanation: string
  }[]
}
interface Case {
  readonly token: string
  readonly teamId: string
  readonly found: Found
}
type But = Readonly<Record<string, Readonly<Record<string, unknown>>>>

const passing = machines
  .flatMap((machine) => statesOfKind(machine, 'passing').map((state) => [machine.entity, state] as const))
  // Nobody is let in any more who could ask.
  .filter(([entity, state]) => !(entity === 'Team' && state === 'DELETING'))

/** A team of its own with one such object, and what it is part of; found as stuck. */
async function stuckIn(entity: string, state: string, more: But = {}): Promise<Case> {
  const { teamId, token } = await createTeam(api.database.url)
  const objects = { ...newObjects(), Team: teamId }
  const refer = (type: string) => String(objects[type as keyof typeof objects])
  const at = new Date()
  await withTriggersOff(api.database.url, async (sql) => {
    await sql`update plan_usage set cap = 1000, used = 10 where team_id = ${teamId}`
    const making = { teamId, mark: 'stuck', refer, at }
    if (entity === 'Team') {
      await sql`update team set state = ${state}, state_changed_at = now() - interval '1 year', deletion_at = now() + interval '1 day'
        where id = ${teamId}`
      return
    }
    const whole = { Operation: 'Deployment', Instance: 'Deployment', WebhookDelivery: 'Webhook' }[entity]
    const env = { env: {}, env_revision: 0 }
    const but: But = { Deployment: env, Stack: env, ...more }
    if (whole) await put(sql as never, whole, { ...making, id: refer(whole), but })
    await put(sql as never, entity, {
      ...making,
      id: refer(entity),
      but: { ...but, [entity]: { ...but[entity], state } },
    })
  })
  return { token, teamId, found: await stuckOf(token, entity, state) }
}

async function stuckOf(token: string, entity: string, state: string): Promise<Found> {
  const { data } = await api.call(
    '{ stuck(olderThanMs: 0) { subject { id } entity state owner remedies { mutation arguments explanation } } }',
    {},
    token,
  )
  const found = (data.stuck as Found[]).filter((row) => row.entity === entity && row.state === state)
  expect(found).toHaveLength(1)
  return found[0] as Found
}

/** Written down by hand: the calls that lead out of each, for a caller who may do everything; none: it is retried. */
const expected: Readonly<Record<string, readonly string[]>> = {
  'Deployment BUILDING': ['redeployDeployment', 'deleteDeployment'],
  'Deployment DEPLOYING': ['redeployDeployment', 'deleteDeployment'],
  'Deployment STOPPING': ['deleteDeployment'],
  'Deployment EXPIRED': [],
  'Deployment DELETING': [],
  'Resource PROVISIONING': ['deleteResource'],
  'Resource PAUSING': ['deleteResource'],
  'Resource RESUMING': ['deleteResource'],
  'Resource DELETING': [],
  'Stack BUILDING': ['redeployStack', 'deleteStack'],
  'Stack DEPLOYING': ['redeployStack', 'deleteStack'],
  'Stack DELETING': [],
  'Instance STARTING': ['removeInstance', 'redeployDeployment', 'deleteDeployment'],
  'Invitation PENDING': ['withdrawInvitation'],
  'PromotionApproval PENDING': ['rejectPromotion', 'withdrawPromotion'],
  'PromotionApproval APPROVED': ['withdrawPromotion'],
  'Operation PENDING': ['cancelOperation', 'redeployDeployment', 'deleteDeployment'],
  'Operation RUNNING': ['redeployDeployment', 'deleteDeployment'],
  'Operation UNKNOWN': ['redeployDeployment', 'deleteDeployment'],
  'Team DELETION_REQUESTED': ['restoreTeam'],
  'WebhookDelivery PENDING': ['updateWebhook', 'deleteWebhook'],
  'WebhookDelivery SENDING': ['updateWebhook', 'deleteWebhook'],
}

test('every passing state is one of these', () => {
  expect(Object.keys(expected).sort()).toEqual(passing.map(([entity, state]) => `${entity} ${state}`).sort())
})

const more: Readonly<Record<string, But>> = {
  // Taken back is what belongs to something that has not begun either.
  Operation: { Deployment: { env: {}, env_revision: 0, state: 'BUILDING' } },
}

describe('R57 R61 R70 a way out of', () => {
  test.each(passing)('%s %s', async (entity, state) => {
    const ways = expected[`${entity} ${state}`] ?? []
    const first = await stuckIn(entity, state, more[entity])
    expect(first.found.owner).toMatch(/\w/)
    expect(first.found.remedies.map(({ mutation }) => mutation ?? 'advice')).toEqual(
      ways.length > 0 ? ways : ['advice'],
    )
    if (ways.length === 0) {
      expect(first.found.remedies[0]?.explanation).toContain(`the loop ${first.found.owner} sees to it again and again`)
    }
    for (const [at, way] of ways.entries()) {
      const { token, found } = at === 0 ? first : await stuckIn(entity, state, more[entity])
      const remedy = found.remedies[at]
      const answer = await mutate(api, way, remedy?.arguments?.input ?? {}, '', token)
      expect(answer.__typename, JSON.stringify(answer)).toMatch(/Payload$/)
    }
  })

  test('a run of ours is led out of by what it is part of', async () => {
    const ours = { runtime: 'PROCESS', incarnation: 'made', instance_id: newId('Instance'), heartbeat_seconds: null }
    const { found } = await stuckIn('Instance', 'STARTING', { ...more.Operation, Instance: ours })
    expect(found.remedies.map(({ mutation }) => mutation)).toEqual(['redeployDeployment', 'deleteDeployment'])
  })

  test('what the caller may not do is not named', async () => {
    const { teamId, found } = await stuckIn('Deployment', 'BUILDING')
    const { token } = await createToken(api.database.url, teamId, { scopes: ['read'] })
    const seen = await stuckOf(token, 'Deployment', 'BUILDING')
    expect([found.remedies.length, seen.remedies.map(({ mutation }) => mutation)]).toEqual([2, [null]])
  })
})
