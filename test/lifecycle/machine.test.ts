// The loader: every flaw of a declaration is found and named, and what is declared is what was written down by hand.
import { describe, expect, test } from 'vitest'
import { apiTokenMachine } from '../../src/lifecycle/api-token.ts'
import { deploymentMachine } from '../../src/lifecycle/deployment.ts'
import { instanceMachine } from '../../src/lifecycle/instance.ts'
import { invitationMachine } from '../../src/lifecycle/invitation.ts'
import {
  allBut,
  declareMachine,
  flawsOf,
  type Machine,
  mayMove,
  statesOf,
  statesOfKind,
} from '../../src/lifecycle/machine.ts'
import { machineOf, machines } from '../../src/lifecycle/machines.ts'
import { memberMachine } from '../../src/lifecycle/member.ts'
import { operationMachine } from '../../src/lifecycle/operation.ts'
import { promotionApprovalMachine } from '../../src/lifecycle/promotion-approval.ts'
import { resourceMachine } from '../../src/lifecycle/resource.ts'
import { secretMachine } from '../../src/lifecycle/secret.ts'
import { stackMachine } from '../../src/lifecycle/stack.ts'
import { teamMachine } from '../../src/lifecycle/team.ts'
import { webhookMachine } from '../../src/lifecycle/webhook.ts'
import { webhookDeliveryMachine } from '../../src/lifecycle/webhook-delivery.ts'
import { refusalNames } from '../../src/refusals.ts'
import { cellsOf } from './expected.ts'
import { apiTokenGrid, apiTokenStates, expectedApiToken } from './expected-api-token.ts'
import { deploymentGrid, deploymentStates, expectedDeployment } from './expected-deployment.ts'
import { expectedInstance, instanceGrid, instanceStates } from './expected-instance.ts'
import {
  expectedInvitation,
  expectedMember,
  invitationGrid,
  invitationStates,
  memberGrid,
  memberStates,
} from './expected-member.ts'
import { expectedOperation, operationGrid, operationStates } from './expected-operation.ts'
import {
  expectedPromotionApproval,
  promotionApprovalGrid,
  promotionApprovalStates,
} from './expected-promotion-approval.ts'
import { expectedResource, resourceGrid, resourceStates } from './expected-resource.ts'
import { expectedSecret, secretGrid, secretStates } from './expected-secret.ts'
import { expectedStack, stackGrid, stackStates } from './expected-stack.ts'
import { expectedTeam, teamGrid, teamStates } from './expected-team.ts'
import { expectedWebhook, webhookGrid, webhookStates } from './expected-webhook.ts'
import { expectedWebhookDelivery, webhookDeliveryGrid, webhookDeliveryStates } from './expected-webhook-delivery.ts'

const move = { by: ['caller'], refusal: 'IllegalState', description: '' } as const
const sound: Machine = {
  entity: 'Lamp',
  table: 'lamp',
  states: {
    OFF: { kind: 'resting', description: '' },
    WARMING: { kind: 'passing', deadlineMs: 1, owner: 'dispatch', description: '' },
    BROKEN: { kind: 'terminal', description: '' },
  },
  moves: {
    make: { ...move, from: 'birth', to: 'OFF' },
    warm: { ...move, from: ['OFF'], to: 'WARMING' },
    smash: { ...move, from: ['OFF', 'WARMING'], to: 'BROKEN' },
  },
}
const withMove = (name: string, changes: object): Machine => ({
  ...sound,
  moves: { ...sound.moves, [name]: { ...move, from: ['OFF'], to: 'BROKEN', ...changes } },
})
const withState = (name: string, changes: object): Machine => ({
  ...sound,
  states: { ...sound.states, [name]: { ...sound.states[name], description: '', ...changes } as never },
})

describe('a declaration', () => {
  test('that is sound is taken, and frozen', () => {
    expect(flawsOf(sound)).toEqual([])
    expect(Object.isFrozen(declareMachine(sound))).toBe(true)
  })

  test.each<[string, Machine]>([
    ['fly names the undeclared state SKY', withMove('fly', { to: 'SKY' })],
    ['fall names the undeclared state SKY', withMove('fall', { from: ['OFF', 'SKY'] })],
    ['beget is a birth into no state', withMove('beget', { from: 'birth', to: 'same' })],
    ['idle starts from no state', withMove('idle', { from: [] })],
    ['nobody may ask for smash', withMove('smash', { from: ['OFF', 'WARMING'], by: [] })],
    ['mend leaves the terminal state BROKEN', withMove('mend', { from: ['BROKEN'], to: 'OFF' })],
    ['polish leaves the terminal state BROKEN', withMove('polish', { from: ['BROKEN'], to: 'same' })],
    ['the passing state WARMING has no way out', withMove('smash', {})],
    ['the passing state WARMING has no way out', withMove('smash', { from: ['OFF', 'WARMING'], to: 'same' })],
    ['the passing state WARMING has no deadline', withState('WARMING', { deadlineMs: 0 })],
    ['the passing state WARMING has no deadline', withState('WARMING', { deadlineMs: Number.NaN })],
    ['the passing state WARMING has no owner', withState('WARMING', { owner: '' })],
    ['the state LOST cannot be reached', withState('LOST', { kind: 'resting' })],
    ['it has no birth', { ...sound, moves: { smash: { ...move, from: ['OFF'], to: 'BROKEN' } } }],
    ['it has no terminal state', withState('BROKEN', { kind: 'resting' })],
  ])('is refused because %s', (flaw, machine) => {
    expect(flawsOf(machine)).toContain(flaw)
    expect(() => declareMachine(machine)).toThrow(`lifecycle Lamp is not sound: `)
    expect(() => declareMachine(machine)).toThrow(flaw)
  })

  test('that is reached only from what cannot be reached is not reached', () => {
    const island: Machine = {
      ...withState('LOST', { kind: 'resting' }),
      moves: { ...sound.moves, swim: { ...move, from: ['LOST'], to: 'LOST' } },
    }
    expect(flawsOf(island)).toEqual(['the state LOST cannot be reached'])
  })
})

const expectations = [
  [deploymentMachine, deploymentStates, expectedDeployment, deploymentGrid],
  [operationMachine, operationStates, expectedOperation, operationGrid],
  [teamMachine, teamStates, expectedTeam, teamGrid],
  [apiTokenMachine, apiTokenStates, expectedApiToken, apiTokenGrid],
  [resourceMachine, resourceStates, expectedResource, resourceGrid],
  [stackMachine, stackStates, expectedStack, stackGrid],
  [promotionApprovalMachine, promotionApprovalStates, expectedPromotionApproval, promotionApprovalGrid],
  [secretMachine, secretStates, expectedSecret, secretGrid],
  [memberMachine, memberStates, expectedMember, memberGrid],
  [invitationMachine, invitationStates, expectedInvitation, invitationGrid],
  [instanceMachine, instanceStates, expectedInstance, instanceGrid],
  [webhookMachine, webhookStates, expectedWebhook, webhookGrid],
  [webhookDeliveryMachine, webhookDeliveryStates, expectedWebhookDelivery, webhookDeliveryGrid],
] as const

describe.each(expectations.map(([machine, ...rest]) => [machine.entity, machine as Machine, ...rest] as const))(
  '%s',
  (_, machine, states, expected, grid) => {
    test('has each of its states in exactly one set', () => {
      const sets = { passing: expected.passing, resting: expected.resting, terminal: expected.terminal }
      for (const kind of ['passing', 'resting', 'terminal'] as const) {
        expect(statesOfKind(machine, kind).sort()).toEqual([...sets[kind]].sort())
      }
      expect(Object.values(sets).flat().sort()).toEqual([...states].sort())
      expect(statesOf(machine).sort()).toEqual([...states].sort())
    })

    test('has pairs that agree with its grid', () => {
      const moved = new Set(
        cellsOf(grid, states).flatMap(({ from, to }) => (to && to !== from ? [`${from} ${to}`] : [])),
      )
      const listed = Object.entries<readonly string[]>(expected.pairs).flatMap(([from, tos]) =>
        tos.map((to) => `${from} ${to}`),
      )
      expect([...moved].sort()).toEqual(listed.sort())
    })

    test('declares no move that is not in the grid, and refuses by names of the catalogue', () => {
      const actions = new Set(cellsOf(grid, states).map(({ action }) => action))
      for (const [action, { from, refusal, to }] of Object.entries(machine.moves)) {
        expect(refusalNames).toContain(refusal)
        if (from === 'birth') expect(expected.births).toContain(to)
        else expect(actions).toContain(action)
      }
    })
  },
)

test('every machine has its expectations written down', () => {
  expect(expectations.map(([machine]) => machine.entity).sort()).toEqual(machines.map(({ entity }) => entity).sort())
})

test('machines are found by the name of their entity, and by no other', () => {
  for (const machine of machines) expect(machineOf(machine.entity)).toBe(machine)
  expect(() => machineOf('Lamp')).toThrow('no lifecycle is declared for Lamp')
})

test('a move may start from its list and from nowhere else', () => {
  const { make, smash } = sound.moves
  if (!make || !smash) throw new Error('declared above')
  expect([null, 'OFF'].map((state) => mayMove(make, state))).toEqual([true, false])
  expect([null, 'OFF', 'WARMING', 'BROKEN'].map((state) => mayMove(smash, state))).toEqual([false, true, true, false])
  expect(allBut(sound.states, 'BROKEN')).toEqual(['OFF', 'WARMING'])
})
