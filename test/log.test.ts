// The log writes what is on its list and nothing else; planted secrets never come out.

import { expect, test } from 'vitest'
import { createLog, type LogFields, readable } from '../src/log.ts'

function collect() {
  const lines: string[] = []
  return { destination: { write: (line: string) => lines.push(line) }, text: () => lines.join('') }
}

const logged = (fields: object, message = 'said') => {
  const sink = collect()
  createLog({ level: 'trace', destination: sink.destination }).info(message, fields as LogFields)
  return { text: sink.text(), line: JSON.parse(sink.text()) }
}

test('a line is JSON with level, time and message', () => {
  const { text, line } = logged({ requestId: 'r1', durationMs: 1.5, error: undefined })
  expect(line).toEqual({ level: 'info', time: expect.any(String), requestId: 'r1', durationMs: 1.5, msg: 'said' })
  expect(Math.abs(Date.now() - Date.parse(line.time))).toBeLessThan(5000)
  expect(text.endsWith('}\n')).toBe(true)
})

test('fields of with() are on every line, and those of the line win', () => {
  const sink = collect()
  const log = createLog({ level: 'info', destination: sink.destination }).with({ loop: 'expire', count: 1 })
  log.with({ action: 'expireDeployment' }).warn('done', { count: 2 })
  log.debug('not at this level')
  expect(JSON.parse(sink.text())).toMatchObject({ level: 'warn', loop: 'expire', action: 'expireDeployment', count: 2 })
})

test('a field that is not on the list, and a value that is not plain, are dropped', () => {
  const { line } = logged({
    password: 'Canary77',
    headers: { authorization: 'Canary77' },
    actor: { token: 'Canary77' },
    count: ['Canary77'],
    __proto__: { requestId: 'Canary77' },
    toString: 'Canary77',
    level: 'Canary77',
    msg: 'Canary77',
  })
  expect(line).toEqual({ level: 'info', time: expect.any(String), msg: 'said' })
})

test('of an error: name, code, message, places and causes, none of its other properties', () => {
  const cause = Object.assign(new Error('connection lost'), { code: 'ECONNRESET', query: 'Canary77' })
  const error = Object.assign(new TypeError('it broke\n  at Canary77 here', { cause }), {
    code: '57P01',
    parameters: ['Canary77'],
    detail: 'Key (secret)=(Canary77) exists',
  })
  const { text, line } = logged({ error })
  expect(line.error).toMatchObject({
    name: 'TypeError',
    code: '57P01',
    cause: { name: 'Error', code: 'ECONNRESET', message: 'connection lost' },
  })
  expect(line.error.stack[0]).toContain('log.test.ts')
  expect(line.error.stack.join()).not.toContain('Canary77')
  expect(text).not.toContain('parameters')
  expect(text).not.toContain('detail')
  expect(logged({ error: { password: 'Canary77' } }).line.error).toEqual({ name: 'object', message: '' })
})

test.each([
  ['a token', 'refused pawl_Canary771234_Canary77Canary77Canary77Canary77xy99'],
  ['a bearer header', 'Authorization: Bearer Canary77.x'],
  ['a JWT', 'eyJCanary77.eyJCanary77.Canary77'],
  ['a password in a URL', 'cannot reach postgres://pawl:Canary77@127.0.0.1:5432/postgres'],
  ['a password with an @ in a URL', 'postgres://pawl:Canary77@Canary77@db/x'],
  ['a user in a URL', 'redis://Canary77@cache'],
  ['an assignment', 'password=Canary77 db_password: \'Canary77 Canary77\' "secret":"Canary77" &token=Canary77&x'],
  ['a key', `k1:${Buffer.from('Canary77'.repeat(4)).toString('base64')}`],
])('%s is taken out of messages, fields, errors and their causes', (_, text) => {
  const cause = new Error(text)
  cause.name = text
  const { text: written } = logged({ action: text, url: text, error: new Error(text, { cause }) }, text)
  expect(written).toContain('[secret]')
  expect(written).not.toContain('Canary77')
  expect(written).not.toContain(Buffer.from('Canary77'.repeat(4)).toString('base64'))
})

test('what says where to connect stays readable', () => {
  const { line } = logged({ url: 'http://127.0.0.1:4000/graphql' }, 'GraphQL: http://127.0.0.1:4000/graphql')
  expect(line).toMatchObject({ msg: 'GraphQL: http://127.0.0.1:4000/graphql', url: 'http://127.0.0.1:4000/graphql' })
})

test('no text breaks a line, moves a terminal or grows without bound', () => {
  const { text, line } = logged(
    { action: '\u001b]0;x\u0007\r\n{"level":"fatal"}', subjectId: '\ud800' },
    'x'.repeat(1e6),
  )
  expect(text.trimEnd()).not.toContain('\n')
  expect(line.action).toBe(' ]0;x {"level":"fatal"}')
  expect(line.msg.length).toBeLessThan(2100)
  expect(line.subjectId).toBe('\ufffd')
})

test('a terminal gets short lines with the same content', () => {
  const sink = collect()
  const log = createLog({ level: 'info', destination: readable(sink.destination) })
  log.warn('lost the database', {
    loop: 'expire',
    action: 'a b',
    error: Object.assign(new Error('gone'), { code: 'X1' }),
  })
  expect(sink.text()).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} warn {2}lost the database {2}loop=expire {2}action="a b" {2}error=/,
  )
  expect(sink.text()).toMatch(/error=Error\(X1\): gone\n {6}at /)
})
