// The table of SQLSTATEs, written out again by hand: what a caller is told, whether the connection goes, and whether
// the statement is repeated, before and after it was sent, for writes and for reads.

import { expect, test } from 'vitest'
import { ConnectionLost, DatabaseFault, ruleFor, sqlStateOf, toFault } from '../../src/db/fault.ts'

const serverError = (code: string, more: object = {}) =>
  Object.assign(new Error('row holds hunter2'), { code, detail: 'hunter2', ...more })
const unsent = { sent: false, read: false }
const write = { sent: true, read: false }
const read = { sent: true, read: true }

test.each([
  ['40001', 'busy', false, 'conflict'],
  ['40P01', 'busy', false, 'conflict'],
  ['40003', 'unknown-outcome', true, undefined],
  ['55P03', 'busy', false, undefined],
  ['57014', 'unavailable', false, undefined],
  ['53100', 'unavailable', false, undefined],
  ['53300', 'unavailable', true, undefined],
  ['53400', 'unavailable', true, undefined],
  ['58030', 'unavailable', true, undefined],
  ['25006', 'unavailable', true, undefined],
  ['28P01', 'unavailable', true, undefined],
  ['3D000', 'unavailable', true, undefined],
  ['23505', 'constraint', false, undefined],
  ['23514', 'constraint', false, undefined],
  ['23503', 'constraint', false, undefined],
  ['26000', 'unavailable', true, 'prepared'],
  ['42P05', 'unavailable', true, 'prepared'],
  ['42703', 'bug', false, undefined],
  ['22P02', 'bug', false, undefined],
  ['P0001', 'bug', false, undefined],
  ['23502', 'bug', false, undefined],
] as const)('%s is %s, whether read or write', (code, kind, retire, repeat) => {
  for (const sending of [write, read]) {
    const rule = ruleFor(serverError(code), sending)
    expect([rule.kind, rule.retire, rule.repeat]).toEqual([kind, retire, repeat])
  }
})

const LOSSES = ['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '25P04', '08000', '08006', '08P01']

test.each([
  ...LOSSES.map((code) => serverError(code)),
  ...['ECONNRESET', 'EPIPE', 'ECONNREFUSED', 'CONNECTION_CLOSED', 'CONNECTION_DESTROYED'].map((code) =>
    serverError(code),
  ),
  new ConnectionLost('CONNECTION_LOST'),
])('a loss ($code) is repeated before sending; after it a read is repeated, a write unknown', (error) => {
  expect(ruleFor(error, unsent)).toMatchObject({ kind: 'unavailable', retire: true, repeat: 'unsent' })
  expect(ruleFor(error, read)).toMatchObject({ kind: 'unavailable', retire: true, repeat: 'lost-read' })
  expect(ruleFor(error, write)).toMatchObject({ kind: 'unknown-outcome', retire: true })
  expect(ruleFor(error, write).repeat).toBeUndefined()
})

test('nothing is repeated after a deadline', () => {
  const late = new ConnectionLost('DEADLINE')
  for (const sending of [unsent, read, write]) expect(ruleFor(late, sending).repeat).toBeUndefined()
  expect(ruleFor(late, unsent).kind).toBe('unavailable')
  expect(ruleFor(late, read).kind).toBe('unavailable')
  expect(ruleFor(late, write)).toMatchObject({ kind: 'unknown-outcome', retire: true })
})

test('57014 in a wait for a row is busy, in whatever language the server says so', () => {
  for (const where of [
    'while locking tuple (0,1) in relation "t"',
    'beim Aktualisieren von Tupel (3,17) in Relation »t«',
  ]) {
    expect(ruleFor(serverError('57014', { where }), write)).toMatchObject({ kind: 'busy', retire: false })
  }
  expect(ruleFor(serverError('57014', { where: 'PL/pgSQL function f(integer) line 3' }), write).kind).toBe(
    'unavailable',
  )
})

test('the SQLSTATE is found down the chain of causes, and codes of Node are none', () => {
  expect(sqlStateOf(new Error('a', { cause: new Error('b', { cause: serverError('40001') }) }))).toBe('40001')
  for (const code of ['EPIPE', 'ECONNRESET', '57', '57p01', 7]) expect(sqlStateOf({ code })).toBeUndefined()
  const circle: { cause?: unknown } = {}
  circle.cause = circle
  expect(sqlStateOf(circle)).toBeUndefined()
})

test('a fault keeps names and drops the rest', () => {
  const error = serverError('23505', { constraint_name: 'item_pkey', table_name: 'item', parameters: ['hunter2'] })
  const fault = toFault(new Error('hunter2', { cause: error }), true, { statement: 'item.add' })
  expect(JSON.parse(JSON.stringify(fault))).toEqual({
    name: 'DatabaseFault',
    kind: 'constraint',
    sqlState: '23505',
    constraint: 'item_pkey',
    table: 'item',
    statement: 'item.add',
  })
  expect(fault.message).toBe('constraint: a constraint refused the row: item_pkey (23505) in item.add')
  expect(`${fault.stack}${fault.cause}`).not.toContain('hunter2')
  expect(toFault(fault, false)).toBe(fault)
})

test('only what may be tried again says when', () => {
  const retryable = ['busy', 'unavailable', 'unknown-outcome'] as const
  for (const kind of retryable) expect(new DatabaseFault(kind, 'x').retryAfterMs).toBe(1000)
  for (const kind of ['constraint', 'bug'] as const) expect(new DatabaseFault(kind, 'x').retryAfterMs).toBeUndefined()
})
