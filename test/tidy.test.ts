// Holds the rules of the tree (test/tidy/rule.ts) against every file that git knows or would know, and shows by planted
// snippets that each rule can fail. Needs git, as every clone has it; needs no database.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { planted } from './tidy/planted.ts'
import { type Rule, rules } from './tidy/rule.ts'
import { readSource, type Source } from './tidy/source.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const readable = /\.(ts|mts|js|mjs|json|md|sql|graphql|yml|yaml)$|^\.ci\/|^\.gitignore$/

const sources: readonly Source[] = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
  {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  },
)
  .split('\0')
  .filter((path) => readable.test(path) && existsSync(`${root}${path}`))
  .map((path) => readSource(path, readFileSync(`${root}${path}`, 'utf8')))

/** Every breach as one line: file, line, rule, what it is. */
function breachesOf(rule: Rule, among: readonly Source[]): string[] {
  return among
    .filter(({ path }) => rule.files(path))
    .flatMap((source) => {
      const found = rule.find(source)
      const known = rule.known?.[source.path]
      if (found.length === (known?.count ?? 0)) return []
      if (known && found.length < known.count) {
        return [
          `${source.path}: ${rule.name}: only ${found.length} of ${known.count} known breaches are left: lower the count`,
        ]
      }
      return found.map(({ line, what }) => `${source.path}:${line}: ${rule.name}: ${what} (${rule.says})`)
    })
}

describe('the tree', () => {
  test('is there to be looked at', () => {
    expect(sources.filter(({ path }) => path.startsWith('src/')).length).toBeGreaterThan(60)
  })

  test.each(rules)('$name', (rule) => {
    expect(breachesOf(rule, sources)).toEqual([])
  })

  test.each(rules.filter(({ known }) => known))('$name: every file with known breaches still exists', ({ known }) => {
    const paths = new Set(sources.map(({ path }) => path))
    expect(Object.keys(known ?? {}).filter((path) => !paths.has(path))).toEqual([])
  })
})

describe('a planted breach is found', () => {
  test.each(planted)('$rule: $breaks', ({ rule: name, path, text, line }) => {
    const rule = rules.find((one) => one.name === name)
    expect(rule, `no rule is called ${name}`).toBeDefined()
    const found = breachesOf(rule as Rule, [readSource(path, text)])
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(new RegExp(`^${path.replaceAll('.', '\\.')}:${line}: `))
  })

  test.each(planted)('$rule: and is not found where it is allowed: $allows', ({ rule: name, path, fine }) => {
    const rule = rules.find((one) => one.name === name) as Rule
    const [at, text] = typeof fine === 'string' ? [path, fine] : [fine.path, fine.text]
    expect(rule.files(at) ? rule.find(readSource(at, text)) : []).toEqual([])
  })

  test('every rule has one', () => {
    expect(rules.map(({ name }) => name).filter((name) => !planted.some(({ rule }) => rule === name))).toEqual([])
  })
})
