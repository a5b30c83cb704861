// A control plane that is busy: two replicas in one world of fakes, and callers who do whatever they like to a handful of names, so
// that they meet. What is accepted and what is refused does not matter here; what is stored meanwhile does.
import { createTestDatabase } from '../database.ts'
import { ask, openFleet, openOutside, type Replica } from '../proof/fleet.ts'
import { startReceiver } from '../webhooks/receiver.ts'

const one = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T
const names = ['a', 'b', 'c', 'd', 'e', 'f']
const callersAtOnce = 6
const crashEvery = 20

export type Busy = Awaited<ReturnType<typeof openBusy>>

/** Starts it; it is busy until `settle`. */
export async function openBusy() {
  const database = await createTestDatabase()
  const receiver = await startReceiver()
  receiver.answer = () => (Math.random() < 0.2 ? 500 : 200)
  const outside = openOutside({ asksUntilHealthy: 3 })
  const env = { PAWL_WEBHOOK_ALLOW: '127.0.0.0/8', PAWL_LOG_LEVEL: 'error' }
  const fleet = await openFleet({ url: database.url, outside, env })
  const everyMs = { 'reconcile-instances': 300, teardown: 500, expire: 500, sequence: 50, deliver: 100, 'fan-out': 100 }
  const replicas = (await Promise.all([fleet.start({ everyMs }), fleet.start({ everyMs })])) as Replica[]
  const gone = new AbortController()
  let [calls, accepted] = [0, 0]

  const call = async (mutation: string, input: object) => {
    const type = `${mutation[0]?.toUpperCase()}${mutation.slice(1)}Input!`
    calls += 1
    const idempotencyKey = Math.random() < 0.5 ? `key-${calls}` : undefined
    const text = `mutation ($input: ${type}) { it: ${mutation}(input: $input) { __typename ... on Refusal { code } ${
      mutation === 'requestPromotion' ? '... on RequestPromotionPayload { approval { id } }' : ''
    } } }`
    const { data, errors } = await ask(one(replicas), fleet.token, text, { input: { ...input, idempotencyKey } })
    if (!data?.it) throw new Error(`${mutation} was answered with ${JSON.stringify(errors)}`)
    const it = data.it as { __typename: string; approval?: { id: string } }
    if (it.__typename.endsWith('Payload')) accepted += 1
    return it
  }
  const ids = async (list: string, filter = ''): Promise<string[]> => {
    const { data } = await ask(one(replicas), fleet.token, `{ ${list}(last: 30${filter}) { nodes { id } } }`)
    return (data as Record<string, { nodes: { id: string }[] }>)[list]?.nodes.map(({ id }) => id) ?? []
  }
  const to =
    (list: string, mutation: string, more: () => object = () => ({})) =>
    async () => {
      const known = await ids(list)
      if (known.length > 0) await call(mutation, { id: one(known), ...more() })
    }
  const services = () =>
    ['web', 'api', 'job'].slice(Math.floor(Math.random() * 2)).map((name) => ({ name, image: one(images) }))
  const images = ['hello', 'hello', 'hello', 'hello', 'unhealthy']
  const set = () => ({
    set: [{ key: one(['A', 'B']), value: one(['1', 'secret://S', 'resource://a']) }],
    unset: [one(['C', 'D'])],
  })
  const deeds: readonly (() => Promise<unknown>)[] = [
    () => call('deploy', { name: one(names), image: one(images) }),
    () => call('deploy', { name: one(names), image: one(images), redeploy: true }),
    to('deployments', 'redeployDeployment'),
    to('deployments', 'redeployDeployment'),
    to('deployments', 'stopDeployment'),
    to('deployments', 'startDeployment'),
    to('deployments', 'deleteDeployment'),
    to('deployments', 'mergeDeploymentEnv', set),
    () => call('createStack', { name: one(names), services: services() }),
    to('stacks', 'redeployStack', () => ({ services: services() })),
    to('stacks', 'mergeStackEnv', set),
    to('stacks', 'deleteStack'),
    to('operations', 'cancelOperation'),
    to('operations', 'retryOperation'),
    () => call('createResource', { type: one(['POSTGRES', 'REDIS']), name: one(names) }),
    to('resources', 'pauseResource'),
    to('resources', 'resumeResource'),
    to('resources', 'rotateResourceCredentials'),
    to('resources', 'deleteResource'),
    () => call('setSecret', { name: one(['S', 'T']), value: one(names) }),
    async () => {
      const live = await ids('stacks', ', filter: { environment: "development", states: [HEALTHY, FAILED] }')
      if (live.length === 0) return
      const stack = one(live)
      const asked = await call('requestPromotion', { stackId: stack, toEnvironment: 'staging' })
      const id = asked.approval?.id
      if (!id) return
      await call('approvePromotion', { id })
      const promote = { stackId: stack, toEnvironment: 'staging', approvalId: id }
      await Promise.all([call('promoteStack', promote), call('promoteStack', promote)])
    },
  ]
  await call('createWebhook', { url: `http://127.0.0.1:${receiver.port}/` })
  const callers = Array.from({ length: callersAtOnce }, async () => {
    while (!gone.signal.aborted) {
      await one(deeds)()
      if (calls % crashEvery === 0) outside.runtime.crashShare(0.2)
    }
  })
  return {
    url: database.url,
    outside,
    /** How much was asked for so far, and how much of it was accepted. */
    figures: () => ({ calls, accepted }),
    /** Nobody asks for anything any more. */
    async settle(): Promise<void> {
      gone.abort()
      await Promise.all(callers)
    },
    async close(): Promise<void> {
      gone.abort()
      await Promise.allSettled(callers)
      await fleet.close()
      await receiver.stop()
      await database.drop()
    },
  }
}
