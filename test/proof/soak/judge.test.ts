// The judges of a soak find what they are there for: a small history that is whole, and each damage that is done to it by name.
import { expect, test } from 'vitest'
import { cursorAt } from '../../../src/resolvers/event-read.ts'
import { Book } from './book.ts'
import { flawsOf } from './document.ts'
import type { Answered, Invoked, Line } from './history.ts'
import { type EventRow, judge, type OperationRow } from './judge.ts'
import { judgeFollower, judgeReceiver } from './judge-told.ts'
import { neverOrdered, orderOf } from './order.ts'

const invoked = (request: string, more: Partial<Invoked> = {}): Invoked => {
  const call = request.slice(0, request.lastIndexOf('.'))
  const rest = { caller: 'alpha/owner/0', mutation: 'redeployDeployment', hopeless: null, input: {}, replica: 0 }
  return {
    kind: 'invoke',
    atMs: Number(request.split('.')[1]) * 100,
    request,
    call,
    key: `key-${call}`,
    ...rest,
    ...more,
  }
}
const answered = (request: string, kind: Answered['kind'], member: string, more: Partial<Answered> = {}): Answered => ({
  kind,
  atMs: Number(request.split('.')[1]) * 100 + 10,
  request,
  status: 200,
  member,
  replayed: false,
  names: kind === 'ok' ? { deployment: 'dep_1', operation: `op_${request}` } : {},
  flaws: [],
  ...more,
})
let made = 0
const event = (requestId: string, more: Partial<EventRow> = {}): EventRow => {
  const id = ++made
  const what = {
    teamId: 'team_1',
    subjectType: 'Deployment',
    subjectId: 'dep_1',
    kind: 'redeployDeployment',
    to: 'BUILDING',
  }
  return {
    id,
    position: id,
    ...what,
    actorKind: 'token',
    requestId,
    operationId: null,
    transitionId: `tr_${id}`,
    ...more,
  }
}

/** Accepted; refused; repeated under its key; open and done; open and not done. The runner follows up under the same request. */
function whole() {
  made = 0
  const lines: Line[] = [
    invoked('s-0.1.1'),
    answered('s-0.1.1', 'ok', 'RedeployDeploymentPayload'),
    invoked('s-0.2.1'),
    answered('s-0.2.1', 'refusal', 'NotRedeployable'),
    invoked('s-0.3.1'),
    answered('s-0.3.1', 'ok', 'RedeployDeploymentPayload'),
    invoked('s-0.3.2', { atMs: 350 }),
    answered('s-0.3.2', 'ok', 'RedeployDeploymentPayload', {
      replayed: true,
      names: { deployment: 'dep_1', operation: 'op_s-0.3.1' },
    }),
    invoked('s-0.4.1'),
    answered('s-0.4.1', 'unknown', 'UND_ERR_SOCKET', { status: 0 }),
    invoked('s-0.5.1'),
  ]
  const events = [
    event('s-0.1.1'),
    event('s-0.1.1', { actorKind: 'runner', to: 'DEPLOYING' }),
    event('s-0.3.1'),
    event('s-0.4.1'),
  ]
  const operations: OperationRow[] = ['s-0.1.1', 's-0.3.1', 's-0.4.1'].map((requestId) => ({
    id: `op_${requestId}`,
    requestId,
  }))
  return { lines, events, operations }
}
type Whole = ReturnType<typeof whole>

/** The answer to a request, as it was not given. */
const told = (lines: Line[], request: string, more: Partial<Answered>) => {
  const at = lines.findIndex((line) => line.kind !== 'invoke' && line.request === request)
  lines[at] = { ...(lines[at] as Answered), ...more }
}
const approval = (requestId: string, transitionId: string) =>
  event(requestId, {
    subjectType: 'PromotionApproval',
    subjectId: 'apr_1',
    kind: 'promoteStack',
    to: 'EXECUTED',
    transitionId,
  })

const damages: readonly (readonly [name: string, rules: readonly string[], damage: (seen: Whole) => void])[] = [
  ['nothing', [], () => {}],
  ['an accepted call without its event', ['lost', 'lost'], ({ events }) => void events.splice(0, 1)],
  ['an accepted call without its operation', ['lost'], ({ operations }) => void operations.splice(0, 1)],
  ['an accepted call whose repeat alone is told of', ['lost', 'lost'], ({ events }) => void events.splice(2, 1)],
  ['an accepted call with two effects', ['twice', 'twice'], ({ events }) => void events.push(event('s-0.1.1'))],
  ['a key that took effect at two attempts', ['twice', 'twice'], ({ events }) => void events.push(event('s-0.3.2'))],
  ['an open call that took effect twice', ['twice', 'twice'], ({ events }) => void events.push(event('s-0.4.1'))],
  ['a refused call with an effect', ['refused'], ({ events }) => void events.push(event('s-0.2.1'))],
  [
    'a refused call with work',
    ['refused'],
    ({ operations }) => void operations.push({ id: 'op_x', requestId: 's-0.2.1' }),
  ],
  [
    'a repeat that was refused',
    ['replay'],
    ({ lines }) => told(lines, 's-0.3.2', { kind: 'refusal', member: 'NotRedeployable' }),
  ],
  [
    'a repeat that may not ask any more',
    [],
    ({ lines }) => told(lines, 's-0.3.2', { kind: 'refusal', member: 'Forbidden' }),
  ],
  [
    'a repeat that names another',
    ['replay'],
    ({ lines }) => told(lines, 's-0.3.2', { names: { deployment: 'dep_2' } }),
  ],
  ['a 5xx', ['5xx'], ({ lines }) => told(lines, 's-0.2.1', { status: 502, member: 'no JSON' })],
  [
    'a 503 that says what it is',
    [],
    ({ lines }) => told(lines, 's-0.2.1', { status: 503, member: 'TEMPORARILY_UNAVAILABLE' }),
  ],
  ['a masked fault', ['masked'], ({ lines }) => told(lines, 's-0.2.1', { member: 'INTERNAL' })],
  ['an answer of another type', ['answer'], ({ lines }) => told(lines, 's-0.1.1', { flaws: ['deploy.state is null'] })],
  ['an effect that nobody has asked for', ['unasked'], ({ events }) => void events.push(event('s-7.1.1'))],
  [
    'a stranger who was let in',
    ['let in'],
    ({ lines }) => void lines.splice(0, 1, invoked('s-0.1.1', { hopeless: 'of another team' })),
  ],
  [
    'an approval used twice',
    ['approval'],
    ({ events }) =>
      void events.push(
        ...['run-1', 'run-2'].flatMap((run) => [
          approval(run, run),
          event(run, { subjectType: 'Stack', subjectId: 'stk_1', transitionId: run }),
        ]),
      ),
  ],
  ['an approval burnt', ['approval'], ({ events }) => void events.push(approval('run-1', 'run-1'))],
]

test.each(damages)('a history with %s', (_, rules, damage) => {
  const seen = whole()
  damage(seen)
  expect(judge(seen.lines, seen, 's-').map(({ rule }) => rule)).toEqual(rules)
})

const log = () => {
  made = 0
  return ['dep_1', 'dep_2', 'dep_1', 'dep_1', 'dep_2'].map((subjectId) => event('s-0.1.1', { subjectId }))
}
const cursors = () => log().map(({ position }) => cursorAt('team_1', Number(position)))
const feeds: readonly (readonly [name: string, rules: readonly string[], damage: (heard: string[]) => void])[] = [
  ['nothing', [], () => {}],
  ['a gap', ['gap'], (heard) => void heard.splice(1, 1)],
  ['its end missing', ['gap'], (heard) => void heard.pop()],
  ['a repeat', ['repeat'], (heard) => void heard.splice(2, 0, String(heard[1]))],
  ['two in the wrong order', ['repeat'], (heard) => void heard.splice(1, 2, String(heard[2]), String(heard[1]))],
  ['one that is nowhere', ['gap'], (heard) => void heard.push(cursorAt('team_1', 99))],
]

test.each(feeds)('a feed with %s', (_, rules, damage) => {
  const heard = cursors().slice(1)
  damage(heard)
  const from = { teamId: 'team_1', after: cursorAt('team_1', 1), cursors: heard }
  expect(judgeFollower(from, log()).map(({ rule }) => rule)).toEqual(rules)
})

const delivered = () =>
  log().map(({ teamId, subjectId, position }) => ({
    webhook: 'alpha',
    teamId,
    subjectId,
    cursor: cursorAt(teamId, Number(position)),
    acknowledged: true,
  }))
type Delivered = ReturnType<typeof delivered>
const deliveries: readonly (readonly [name: string, rules: readonly string[], damage: (got: Delivered) => void])[] = [
  ['nothing', [], () => {}],
  ['one sent again', [], (got) => void got.push(got[0] as Delivered[number])],
  [
    'one that failed at first',
    [],
    (got) => void got.splice(2, 0, { ...(got[2] as Delivered[number]), acknowledged: false }),
  ],
  [
    'another object overtaking',
    [],
    (got) => void got.splice(0, 2, got[1] as Delivered[number], got[0] as Delivered[number]),
  ],
  ['one missing', ['undelivered', 'order'], (got) => void got.splice(2, 1)],
  ['one that never arrived', ['undelivered'], (got) => void Object.assign(got[4] as object, { acknowledged: false })],
  [
    'an object out of order',
    ['order'],
    (got) => void got.splice(2, 2, got[3] as Delivered[number], got[2] as Delivered[number]),
  ],
  [
    'one of another team',
    ['let in'],
    (got) => void got.push({ ...(got[0] as Delivered[number]), teamId: 'team_2', cursor: 'x' }),
  ],
]

test.each(deliveries)('deliveries with %s', (_, rules, damage) => {
  const got = delivered()
  damage(got)
  const watched = { webhook: 'alpha', teamId: 'team_1', afterPosition: 0 }
  expect(judgeReceiver(watched, got, log()).map(({ rule }) => rule)).toEqual(rules)
})

test('an answer that is not of its type is told by its place', () => {
  const operation = { __typename: 'Operation', id: 'op_1', version: '1', state: 'PENDING' }
  const payload = { DeployPayload_deployment: null, DeployPayload_operation: operation, DeployPayload_replayed: false }
  const fine = { deploy: { __typename: 'DeployPayload', ...payload } }
  expect(flawsOf('deploy', fine)).toEqual([])
  const { DeployPayload_operation: _, ...without } = fine.deploy
  expect(flawsOf('deploy', { deploy: without })).toEqual(['deploy.deploy.DeployPayload_operation is missing'])
  const odd = {
    ...fine.deploy,
    DeployPayload_operation: { ...operation, state: 'SOMEWHERE' },
    DeployPayload_replayed: null,
  }
  expect(flawsOf('deploy', { deploy: odd })).toEqual([
    'deploy.deploy.DeployPayload_operation.state is "SOMEWHERE", which is no OperationState',
    'deploy.deploy.DeployPayload_replayed is null',
  ])
  expect(flawsOf('deploy', { deploy: { __typename: 'StackDeleting' } })).not.toEqual([])
})

test('the same seed orders the same, another one something else, and every mutation is ordered', () => {
  const orders = (seed: number) => {
    const book = new Book()
    return Array.from({ length: 200 }, (_, n) => {
      const { input: _input, ...order } = orderOf(
        seed,
        { index: 0, role: 'owner', ends: false },
        n,
        { own: book, elsewhere: book },
        'http://receiver',
      )
      return order
    })
  }
  expect(orders(7)).toEqual(orders(7))
  expect(orders(7)).not.toEqual(orders(8))
  expect(neverOrdered).toEqual([])
})
