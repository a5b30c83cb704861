// Every state and every move, through the code: the mutation where a caller may ask, the rule where a runner or a loop does.
// Held to the grids that were written by hand; a refusal changes nothing, a move leaves its event and its operation.

import { eq } from 'drizzle-orm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/db/id.ts'
import { resource } from '../../src/db/resource.ts'
import type { DeploymentState } from '../../src/lifecycle/deployment.ts'
import type { InstanceState } from '../../src/lifecycle/instance.ts'
import type { InvitationState } from '../../src/lifecycle/invitation.ts'
import type { MemberState } from '../../src/lifecycle/member.ts'
import type { OperationState } from '../../src/lifecycle/operation.ts'
import type { PromotionApprovalState } from '../../src/lifecycle/promotion-approval.ts'
import { resourceMachine } from '../../src/lifecycle/resource.ts'
import type { StackState } from '../../src/lifecycle/stack.ts'
import type { TeamState } from '../../src/lifecycle/team.ts'
import { isRefusal } from '../../src/refusals.ts'
import * as tokens from '../../src/resolvers/api-token.ts'
import * as resources from '../../src/resolvers/resource.ts'
import { defineRule, transition, transitionEach } from '../../src/resolvers/transition.ts'
import { textParam } from '../../src/resolvers/transition-statement.ts'
import { putInstance } from '../instances/row.ts'
import { callOf, openWorld, type World } from '../races/world.ts'
import { putToken, withTriggersOff } from '../row.ts'
import { putSecret } from '../secrets/fixture.ts'
import { giveStackRoom, putStack } from '../stacks/row.ts'
import { approvalMove } from './approval-moves.ts'
import { type Cell, cellsOf } from './expected.ts'
import { apiTokenGrid, apiTokenStates } from './expected-api-token.ts'
import { deploymentGrid, deploymentStates } from './expected-deployment.ts'
import { instanceGrid, instanceStates } from './expected-instance.ts'
import { invitationGrid, invitationStates, memberGrid, memberStates } from './expected-member.ts'
import { operationGrid, operationStates } from './expected-operation.ts'
import { promotionApprovalGrid, promotionApprovalStates } from './expected-promotion-approval.ts'
import { resourceGrid, resourceStates } from './expected-resource.ts'
import { secretGrid, secretStates } from './expected-secret.ts'
import { stackGrid, stackStates } from './expected-stack.ts'
import { teamGrid, teamStates } from './expected-team.ts'
import { instanceMoves } from './instance-moves.ts'
import { deploymentMoves, operationMoves } from './moves.ts'
import { secretMoves } from './secret-moves.ts'
import { stackMoves } from './stack-moves.ts'
import { invitationMove, memberMove, teamMove } from './team-moves.ts'

let world: World
beforeAll(async () => {
  world = await openWorld({ cap: 100_000 })
  await giveStackRoom(world.stranger, world.team.teamId)
})
afterAll(() => world.close())

interface Stored {
  readonly state: string
  readonly generation: number
  readonly version: number
}
const stored = async (table: string, id: string): Promise<Stored> => {
  const [row] = await world.stranger.unsafe(`select state, generation, version from ${table} where id = '${id}'`)
  return row as unknown as Stored
}
/** `refused`, the refusal's name, or null for a move. */
type Answer = Promise<string | null>

/** Plays one cell on a row of its own, and compares the answer, the row, its events and its operations. */
async function check(cell: Cell, table: string, id: string, ask: () => Answer): Promise<void> {
  const before = await stored(table, id)
  const refusal = await ask()
  const after = await stored(table, id)
  const events = await world.stranger`
    select from_state as from, to_state as to, generation, version from event where subject_id = ${id} order by id`
  const queued = await world.stranger<{ kind: string }[]>`
    select kind from operation where subject_id = ${id} and request_id <> 'fixture'`
  const moved = cell.to !== null
  expect({ refusal, ...after, events: [...events], queued: queued.map(({ kind }) => kind) }).toEqual({
    refusal: moved ? null : cell.refusal,
    state: cell.to ?? cell.from,
    generation: before.generation + (cell.newGeneration ? 1 : 0),
    version: before.version + (moved ? 1 : 0),
    events: cell.told ? [{ from: cell.from, to: cell.to, generation: after.generation, version: after.version }] : [],
    queued: cell.effect ? [`${table}.${cell.effect}`] : [],
  })
}

const declined = ({ kind }: { kind: string }) => (kind === 'moved' ? null : kind)
const resourceMutations: Readonly<Record<string, (context: World['context'], input: never) => Promise<object>>> = {
  pauseResource: resources.pauseResource,
  resumeResource: resources.resumeResource,
  rotateResourceCredentials: resources.rotateResourceCredentials,
  setResourceTtl: resources.setResourceTtl,
  deleteResource: resources.deleteResource,
}

const titled = (cell: Cell) => [cell.action, cell.from, cell.to ?? cell.refusal, cell] as const

describe('Deployment', () => {
  test.each(cellsOf(deploymentGrid, deploymentStates).map(titled))('%s from %s: %s', async (_, from, __, cell) => {
    const overdue = cell.action === 'expireDeployment'
    const id = await world.deployment({ state: from as DeploymentState, expiresInSeconds: overdue ? -1 : 3600 })
    const move = deploymentMoves[cell.action]
    if (!move) throw new Error(`no way is known to ask for ${cell.action}`)
    await check(cell, 'deployment', id, () => move(world, id))
    // What a pass of a loop finds must not be found again by the next cell.
    await world.stranger`update deployment set expires_at = expires_at + interval '1 day' where id = ${id}`
  })
})

describe('Operation', () => {
  test.each(cellsOf(operationGrid, operationStates).map(titled))('%s from %s: %s', async (_, from, __, cell) => {
    const move = operationMoves[cell.action]
    if (!move) throw new Error(`no way is known to ask for ${cell.action}`)
    const subjectId = await world.deployment({ state: move.subject, generation: move.outdated ? 2 : 1 })
    const facts = {
      subjectId,
      state: from as OperationState,
      claimToken: 'mine',
      attempt: from === 'PENDING' ? 0 : 1,
      dueInSeconds: -1,
    }
    const id = await world.operation({ ...facts, ...(move.ownKind ? { kind: `test.${cell.action}.${from}` } : {}) })
    const ask = () => move.ask(world, { id, subjectId, kind: `test.${cell.action}.${from}` })
    if (cell.action !== 'retryOperation') return check(cell, 'operation', id, ask)
    // The operation stays as it is; it is its deployment that moves.
    const refusal = await ask()
    expect([refusal, await stored('operation', id)]).toEqual([
      cell.to ? null : cell.refusal,
      { state: from, generation: 1, version: 1 },
    ])
    expect((await stored('deployment', subjectId)).generation).toBe(cell.to ? 2 : 1)
  })
})

describe('Resource', () => {
  test.each(cellsOf(resourceGrid, resourceStates).map(titled))('%s from %s: %s', async (action, from, __, cell) => {
    const id = newId('Resource')
    await withTriggersOff(world.stranger, async (sql) => {
      await sql`insert into resource (id, state, team_id, environment, name, type, incarnation, password, limit_bytes)
        values (${id}, ${from}, ${world.team.teamId}, 'test', ${id}, 'POSTGRES', ${id}, 'sealed', 1)`
    })
    const mutate = resourceMutations[action]
    const subject = { table: resource, machine: resourceMachine, action, where: eq(resource.id, textParam('id')) }
    const rule = defineRule({ name: `matrix.${action}`, subject })
    await check(cell, 'resource', id, async () => {
      if (!mutate) return declined(await transition(world.pool.db, rule, callOf(world, { id })))
      const result = await mutate(world.context, {
        id,
        ...(action === 'setResourceTtl' ? { ttlHours: 1 } : {}),
      } as never)
      return isRefusal(result) ? result.refusal : null
    })
  })
})

describe('Stack', () => {
  test.each(cellsOf(stackGrid, stackStates).map(titled))('%s from %s: %s', async (_, from, __, cell) => {
    const facts = { teamId: world.team.teamId, state: from as StackState, placed: { web: { instanceId: 'run' } } }
    const id = await putStack(world.stranger, facts)
    const move = stackMoves[cell.action]
    if (!move) throw new Error(`no way is known to ask for ${cell.action}`)
    await check(cell, 'stack', id, () => move(world, id))
  })
})

describe('Instance', () => {
  test.each(cellsOf(instanceGrid, instanceStates).map(titled))('%s from %s: %s', async (_, from, __, cell) => {
    const id = await putInstance(world.stranger, { teamId: world.team.teamId, state: from as InstanceState })
    const move = instanceMoves[cell.action]
    if (!move) throw new Error(`no way is known to ask for ${cell.action}`)
    await check(cell, 'instance', id, () => move(world, id))
  })
})

describe('Secret', () => {
  test.each(cellsOf(secretGrid, secretStates).map(titled))('%s from %s: %s', async (action, from, __, cell) => {
    const id = await putSecret(world, { state: from, name: `${action}-${from}` })
    const move = secretMoves[action]
    if (!move) throw new Error(`no way is known to ask for ${action}`)
    await check(cell, 'secret', id, () => move(world, id))
  })
})

describe('PromotionApproval', () => {
  test.each(cellsOf(promotionApprovalGrid, promotionApprovalStates).map(titled))(
    '%s from %s: %s',
    async (action, from, __, cell) => {
      const { id, ask } = await approvalMove(world, action, from as PromotionApprovalState)
      await check(cell, 'promotion_approval', id, ask)
    },
  )
})

describe('Team', () => {
  test.each(cellsOf(teamGrid, teamStates).map(titled))('%s from %s: %s', async (action, from, __, cell) => {
    const { id, ask } = await teamMove(world, action, from as TeamState)
    await check(cell, 'team', id, ask)
  })
})

describe('Member', () => {
  test.each(cellsOf(memberGrid, memberStates).map(titled))('%s from %s: %s', async (action, from, __, cell) => {
    const { id, ask } = await memberMove(world, action, from as MemberState)
    await check(cell, 'member', id, ask)
  })
})

describe('Invitation', () => {
  test.each(cellsOf(invitationGrid, invitationStates).map(titled))('%s from %s: %s', async (action, from, __, cell) => {
    const { id, ask } = await invitationMove(world, action, from as InvitationState)
    await check(cell, 'invitation', id, ask)
  })
})

describe('ApiToken', () => {
  test.each(cellsOf(apiTokenGrid, apiTokenStates).map(titled))('%s from %s: %s', async (action, from, __, cell) => {
    const overdue = action === 'expireApiToken'
    const { id } = await putToken(world.stranger, {
      teamId: world.team.teamId,
      state: from as never,
      expiresInSeconds: overdue ? -1 : 3600,
    })
    await check(cell, 'api_token', id, async () => {
      if (overdue) {
        const moved = await transitionEach(world.pool.db, tokens.expireApiToken, callOf(world, {}), 100)
        return moved.some(({ row }) => row.id === id) ? null : 'refused'
      }
      const result = await tokens.revokeApiToken(world.context, { id })
      return isRefusal(result) ? result.refusal : null
    })
  })
})
