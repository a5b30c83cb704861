// Every remedy that names a mutation is accepted as it stands: each refusal of the grid is provoked, and each of its
// remedies taken, on a deployment of its own.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Context } from '../../src/context.ts'
import type { DeploymentState } from '../../src/lifecycle/deployment.ts'
import { isRefusal, type Refusal } from '../../src/refusals.ts'
import * as mutations from '../../src/resolvers/deployment.ts'
import { cancelOperation, retryOperation } from '../../src/resolvers/operation.ts'
import { cellsOf } from '../lifecycle/expected.ts'
import { deploymentGrid, deploymentStates } from '../lifecycle/expected-deployment.ts'
import { openWorld, outcomeOf, type World } from '../races/world.ts'

let world: World
beforeAll(async () => {
  world = await openWorld()
})
afterAll(() => world.close())

type Ask = (context: Context, input: never) => Promise<object>
const asks: Readonly<Record<string, Ask>> = {
  deploy: mutations.deploy as Ask,
  redeployDeployment: mutations.redeployDeployment as Ask,
  startDeployment: mutations.startDeployment as Ask,
  stopDeployment: mutations.stopDeployment as Ask,
  deleteDeployment: mutations.deleteDeployment as Ask,
  mergeDeploymentEnv: mutations.mergeDeploymentEnv as Ask,
  setDeploymentTtl: mutations.setDeploymentTtl as Ask,
  makeDeploymentPermanent: mutations.makeDeploymentPermanent as Ask,
  retryOperation: retryOperation as Ask,
  cancelOperation: cancelOperation as Ask,
}
const ask = (mutation: string, input: unknown) => {
  const mutate = asks[mutation]
  if (!mutate) throw new Error(`a remedy names ${mutation}, which is no mutation`)
  return mutate(world.context, input as never)
}

/** Provokes the refusal again and again, each time taking the next of its remedies; returns what was taken. */
async function takeAll(provoke: () => Promise<object>): Promise<string[]> {
  const taken: string[] = []
  for (let index = 0; ; index++) {
    const result = await provoke()
    if (!isRefusal(result)) throw new Error(`not refused: ${outcomeOf(result)}`)
    const remedies = (result as Refusal).remedies.filter(({ mutation }) => mutation !== null)
    const remedy = remedies[index]
    if (!remedy) return taken
    const answer = await ask(String(remedy.mutation), remedy.arguments?.input)
    const accepted = isRefusal(answer) ? answer.refusal : 'accepted'
    expect([remedy.mutation, accepted]).toEqual([remedy.mutation, 'accepted'])
    taken.push(String(remedy.mutation))
  }
}

const refusedCells = cellsOf(deploymentGrid, deploymentStates).filter((cell) => cell.to === null && cell.action in asks)

/** What serves the same wish, by action and state; anything else would reverse it, or there is nothing to be done. */
const serving: Readonly<Record<string, Readonly<Record<string, string[]>>>> = {
  redeployDeployment: { STOPPED: ['startDeployment'], EXPIRED: ['deploy'], DELETING: ['deploy'], DELETED: ['deploy'] },
  startDeployment: { FAILED: ['redeployDeployment'], EXPIRED: ['deploy'], DELETING: ['deploy'], DELETED: ['deploy'] },
}

describe('a remedy is accepted', () => {
  test.each(refusedCells.map((cell) => [cell.action, cell.from, cell] as const))(
    'after %s from %s',
    async (action, from, cell) => {
      let made = 0
      const taken = await takeAll(async () => {
        const id = await world.deployment({
          state: from as DeploymentState,
          expiresInSeconds: 3600,
          name: `n-${made++}-${crypto.randomUUID().slice(0, 8)}`,
        })
        const more = action === 'setDeploymentTtl' ? { ttlHours: 1 } : {}
        return ask(action, { id, ...more })
      })
      expect(taken).toEqual(cell.refusal === 'DeploymentAlreadyDeleted' ? [] : (serving[action]?.[from] ?? []))
    },
  )

  test.each(deploymentStates.slice(0, 6))(
    'after deploy of a name that is taken by a deployment that is %s',
    async (state) => {
      await takeAll(async () => {
        const name = `t-${crypto.randomUUID().slice(0, 8)}`
        await world.deployment({ state, name })
        return ask('deploy', { name, image: 'hello:1' })
      })
    },
  )

  test.each([...deploymentStates.slice(5), null])(
    'after deploy with redeploy: true where the newest is %s',
    async (state) => {
      const taken = await takeAll(async () => {
        const name = `r-${crypto.randomUUID().slice(0, 8)}`
        if (state) await world.deployment({ state, name })
        return ask('deploy', { name, image: 'hello:1', redeploy: true })
      })
      expect(taken.length).toBeGreaterThan(0)
    },
  )

  test('after an end whose name another deployment has taken since: there is only something to look at', async () => {
    const name = `heir-${crypto.randomUUID().slice(0, 8)}`
    const id = await world.deployment({ state: 'DELETED', name })
    const heir = await world.deployment({ state: 'HEALTHY', name })
    const result = await mutations.redeployDeployment(world.context, { id })
    expect(result).toMatchObject({ remedies: [{ mutation: null, query: 'deployment', arguments: { id: heir } }] })
  })

  test('after a cancellation that comes too late', async () => {
    const taken = await takeAll(async () => {
      const subjectId = await world.deployment({ state: 'DEPLOYING' })
      const id = await world.operation({ subjectId, state: 'RUNNING', claimToken: 'theirs' })
      return ask('cancelOperation', { id })
    })
    expect(taken).toEqual(['stopDeployment'])
  })
})
