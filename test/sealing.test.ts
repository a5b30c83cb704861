// Secrets at rest: what is sealed opens with its key at its place, and nowhere else; keys rotate while everything runs.
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createSealing, type Place, UnsealError } from '../src/sealing.ts'

const place: Place = ['team_a', 'res_a', 'password']
const key = (id: string) => ({ id, bytes: randomBytes(32) })
const old = key('2029')
const current = key('2030.eu')
const sealing = createSealing([current, old])
const canary = 'canary-7d1f'

/** The same text with one character of one part changed. */
function changed(sealed: string, part: number): string {
  const parts = sealed.split('.')
  const text = String(parts[part])
  // The last character of a part may hold bits that mean nothing.
  parts[part] = (text.startsWith('A') ? 'B' : 'A') + text.slice(1)
  return parts.join('.')
}

test.each(['', 'x', 'päßwörd 🔑\0', 'y'.repeat(100_000)])('opens to what was sealed: case %#', (text) => {
  expect(sealing.open(sealing.seal(text, place), place)).toBe(text)
})

test('what is stored shows nothing of the content', () => {
  const sealed = sealing.seal(canary, place)
  expect(sealed).toMatch(/^v1\.2030\.eu\.[\w-]{16}\.[\w-]+$/)
  for (const encoding of ['utf8', 'base64', 'base64url', 'hex'] as const) {
    expect(sealed).not.toContain(Buffer.from(canary).toString(encoding))
  }
})

test('every sealing has a nonce of its own', () => {
  const many = Array.from({ length: 1_000 }, () => sealing.seal(canary, place))
  expect(new Set(many.map((sealed) => sealed.split('.').at(-2))).size).toBe(1_000)
  expect(new Set(many.map((sealed) => sealed.split('.').at(-1))).size).toBe(1_000)
})

test.each([
  ['another team', ['team_b', 'res_a', 'password']],
  ['another object', ['team_a', 'res_b', 'password']],
  ['another field', ['team_a', 'res_a', 'connection']],
] as const)('does not open at another place: %s', (_, other) => {
  const sealed = sealing.seal(canary, place)
  expect(() => sealing.open(sealed, other)).toThrow(UnsealError)
})

test('does not open once anything of it was changed, and never tells what it holds', () => {
  const sealed = createSealing([old]).seal(canary, place)
  const broken = [0, 1, 2, 3].map((part) => changed(sealed, part))
  const content = Buffer.from(String(sealed.split('.')[3]), 'base64url')
  const cut = (bytes: Buffer) => [...sealed.split('.').slice(0, 3), bytes.toString('base64url')].join('.')
  // Each bit of content and tag counts, and so does each byte of the length.
  for (let byte = 0; byte < content.length; byte++) {
    const flipped = Buffer.from(content)
    flipped[byte] = Number(flipped[byte]) ^ 1
    broken.push(cut(flipped))
  }
  for (let length = 0; length < content.length; length++) broken.push(cut(content.subarray(0, length)))
  for (const text of [...broken, '', 'v1', 'v1.2029', canary, `${sealed} `, `v2${sealed.slice(2)}`]) {
    let told: unknown
    try {
      sealing.open(text, place)
    } catch (error) {
      told = error
    }
    expect(told, text).toBeInstanceOf(UnsealError)
    expect(String(told)).not.toContain(canary)
  }
})

test('without its key it does not open: the message names the key and the object, nothing else', () => {
  const sealed = createSealing([old]).seal(canary, place)
  expect(() => createSealing([current]).open(sealed, place)).toThrow(
    'the secret of res_a was sealed with the key 2029, which PAWL_SECRET_KEYS does not hold',
  )
  // A key of the same id and other bytes is another key.
  expect(() => createSealing([key('2029')]).open(sealed, place)).toThrow(UnsealError)
  expect(() => createSealing([])).toThrow('at least one key')
})

test('keys rotate: the first one seals, all of them open', () => {
  const before = createSealing([old])
  const sealed = before.seal(canary, place)
  expect(before.isCurrent(sealed)).toBe(true)
  expect(sealing.open(sealed, place)).toBe(canary)
  expect(sealing.isCurrent(sealed)).toBe(false)
  const again = sealing.seal(sealing.open(sealed, place), place)
  expect(sealing.isCurrent(again)).toBe(true)
  expect(createSealing([current]).open(again, place)).toBe(canary)
  expect(() => before.open(again, place)).toThrow(UnsealError)
})
