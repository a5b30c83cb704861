// No remedy is named that would be refused: where its references lead nowhere, the plan is full, an image is not known any more, or
// somebody else has moved the subject on, what hinders it is told instead. And what is advised runs what the caller wants to run.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { callerCases } from '../proof/pair/caller.ts'
import { hinderedCases } from '../proof/pair/hindered.ts'
import { ask, nameOf, play } from '../proof/pair/pair.ts'
import { ready } from '../proof/pair/ready.ts'
import { openStage, type Stage } from '../proof/pair/stage.ts'

let stage: Stage
beforeAll(async () => {
  stage = await openStage()
})
afterAll(() => stage.close())

/** One of each kind: the others are seen by the proof. */
const callers = callerCases.filter(
  ({ mutation, because = '' }) => mutation === 'acceptInvitation' || /^stop.*nothing else/.test(mutation + because),
)
test.each([...hinderedCases, ...callers].map((one) => [nameOf(one), one.because, one] as const))(
  'every remedy is accepted: %s, %s',
  async (_, __, one) => {
    await play(stage, one)
  },
)

test.each([
  ['approvePromotion', 'There is no promotion approval ', 'List the promotion approvals that you may see.'],
  ['revokeApiToken', 'There is no API token ', 'List the API tokens that you may see.'],
])('%s tells what is not there in words', async (mutation, message, explanation) => {
  const { token } = await ready(stage, mutation)
  const { message: told, remedies } = await ask(stage, mutation, { input: { id: 'none' }, token })
  expect(told).toContain(message)
  expect(remedies).toMatchObject([{ explanation }])
})

const app = { env: {}, name: 'app', state: 'EXPIRED', image: 'old:1' }
test.each([
  ['deploy', { name: 'app', redeploy: true, image: 'new:1' }, 'deploy', { image: 'new:1' }],
  ['redeployDeployment', { image: 'new:1' }, 'deploy', { image: 'new:1' }],
  ['redeployDeployment', { image: null }, 'deploy', { image: 'old:1' }],
  [
    'redeployStack',
    { services: [{ name: 'new', image: 'new:1' }] },
    'createStack',
    { services: [expect.objectContaining({ name: 'new', image: 'new:1' })] },
  ],
])(
  'what is advised instead of %s of what has ended runs what was asked for: %j',
  async (mutation, more, remedy, runs) => {
    const ended = { env: {}, state: 'DELETED', deleted_at: new Date() }
    const { input, token } = await ready(stage, mutation, { Deployment: app, Stack: ended })
    const { remedies } = await ask(stage, mutation, { input: { ...input, ...more }, token })
    expect(remedies?.[0]).toMatchObject({ mutation: remedy, arguments: { input: runs } })
  },
)
