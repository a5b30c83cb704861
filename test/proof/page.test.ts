// The page tells of the run that is kept beside it, and of nothing else.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { pageOf } from './page.ts'
import { lost, type Proof } from './result.ts'

const read = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
const proof = JSON.parse(read('proof.json')) as Proof

test('docs/proof.md is made of docs/proof.json: npm run prove -- --page', () => {
  expect(read('proof.md')).toBe(pageOf(proof))
})

test('a run that shows less than the page tells of is told what is missing', () => {
  expect(lost(proof, proof)).toEqual([])
  const { meeting, mutant } = proof.seen
  const less = { ...proof, seen: { ...proof.seen, meeting: meeting.slice(1), mutant: mutant.slice(1) } }
  expect(lost(proof, less)).toEqual([meeting[0]?.name, `the planted bug "${mutant[0]?.name}"`])
})
