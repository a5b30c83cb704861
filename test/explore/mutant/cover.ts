// Which races of the catalogue a planted bug stands for: here, in a race test that takes a guard out to see itself fail, or not
// at all, with the reason. The sum is the catalogue; mutant-cover.test.ts holds that.
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../..', import.meta.url))
/** A title of a test that begins with races. */
const title = /(?:\b(?:test|it)(?:\.\w+)*|\))\s*\(\s*(['"`])((?:R\d{2,3} )*)[^\n]*\1\s*,/g
/** What a test does that takes a guard out of a statement. */
const plants = /\bwithMutants\(|\bbare\b|\bmutating\(|\bunguarded\b|\bmutants?\b/

/** All races. */
export const catalogue = (): string[] =>
  [...readFileSync(`${root}/test/races/COVERAGE.md`, 'utf8').matchAll(/^- \**(R\d+)\**/gm)].map(([, id]) => String(id))

/** Of each race the files of tests that plant a bug for it. */
export function plantedElsewhere(): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const file of globSync('test/**/*.test.ts', { cwd: root }).sort()) {
    const text = readFileSync(`${root}/${file}`, 'utf8')
    const tests = [...text.matchAll(title)]
    for (const [at, { index, 2: ids = '' }] of tests.entries()) {
      if (!plants.test(text.slice(index, tests[at + 1]?.index))) continue
      for (const id of ids.trim().split(' ').filter(Boolean)) found.set(id, [...(found.get(id) ?? []), file])
    }
  }
  return found
}
