// The rules of the house, one row each: what it says, which files it concerns, and how a breach is found. Known breaches
// stand with their count and a reason; a count may only shrink, and must when the code gets better.
import { machines } from '../../src/lifecycle/machines.ts'
import { importBreaches } from './import-rule.ts'
import type { Source } from './source.ts'

export interface Breach {
  readonly line: number
  readonly what: string
}

export interface Rule {
  readonly name: string
  /** One sentence that tells whoever broke it what to do. */
  readonly says: string
  readonly files: (path: string) => boolean
  readonly find: (source: Source) => readonly Breach[]
  /** Breaches that are known, by file; more than that fails, and so does fewer. */
  readonly known?: Readonly<Record<string, { readonly count: number; readonly because: string }>>
}

const program = (path: string) => /\.(ts|mts|js|mjs)$/.test(path) && !path.startsWith('src/db/migrations/')
const inSrc = (path: string) => path.startsWith('src/') && program(path)
const inTests = (path: string) => path.startsWith('test/') && program(path)
/** Where state literals in SQL are at home: declarations, tables and guards, and the one statement that moves. Drivers have tables of their own. */
const stateOwners = /^src\/(lifecycle|db|drivers)\/|^src\/resolvers\/transition[a-z-]*\.ts$/
/** Rules about texts would find themselves in this folder. */
const ownFolder = (path: string) => path.startsWith('test/tidy')

const stateNames = [...new Set(machines.flatMap((machine) => Object.keys(machine.states)))].join('|')
const quotedState = new RegExp(`'(?:${stateNames})'`, 'g')

/** Every match of a pattern in lines, as breaches. */
const inLines = (lines: readonly string[], pattern: RegExp, what: (match: RegExpMatchArray) => string): Breach[] =>
  lines.flatMap((line, index) => [...line.matchAll(pattern)].map((match) => ({ line: index + 1, what: what(match) })))

/** The same over all lines at once, for what may stand on several. */
const inText = (lines: readonly string[], pattern: RegExp, what: (match: RegExpMatchArray) => string): Breach[] => {
  const text = lines.join('\n')
  return [...text.matchAll(pattern)].map((match) => ({
    line: text.slice(0, match.index).split('\n').length,
    what: what(match).replace(/\s+/g, ' '),
  }))
}

const inSql = ({ templates }: Source, pattern: RegExp, what: (match: RegExpMatchArray) => string): Breach[] =>
  templates
    .filter(({ tag, text }) => /(^|\.)sql$/.test(tag) || /^\s*(select|insert|update|delete|with|begin)\b/i.test(text))
    .flatMap(({ line, text }) =>
      [...text.matchAll(pattern)].map((match) => ({
        line: line + text.slice(0, match.index).split('\n').length - 1,
        what: what(match),
      })),
    )

const drawers = /(?:^|-)(utils?|helpers?|common|lib|types|models?|managers?|services?)$|^(type|misc|shared)$/
const timeWord = '(?:timeout|delay|interval|deadline|lease|grace|back_?off|ttl|period|retention)'
const starters =
  /(?<![.\w]|function )(startDispatcher|openPool|openNudge|createHttpServer|startEmbeddedPostgres|createProcessDriver|createMetrics|createLog|readConfig)\(/g

export const rules: readonly Rule[] = [
  {
    name: 'imports point downwards',
    says: 'lifecycle imports nothing; db → lifecycle; resolvers → db; schema and loops → resolvers; drivers know no tables',
    files: inSrc,
    find: importBreaches,
  },
  {
    name: 'a file has at most 300 lines',
    says: 'split it by purpose',
    files: (path) =>
      /^(src|test|bench|examples)\//.test(path) &&
      /\.(ts|mts|js|mjs|md)$/.test(path) &&
      path !== 'test/races/COVERAGE.md',
    find: ({ lines }) => {
      const count = lines.at(-1) === '' ? lines.length - 1 : lines.length
      return count > 300 ? [{ line: 301, what: `it has ${count} lines` }] : []
    },
  },
  {
    name: 'a file opens with 1 to 6 comment lines',
    says: 'say what it owns, what it must not do, and why it is so',
    files: (path) => /^(src|test|bench|examples)\//.test(path) && program(path),
    find: ({ lines }) => {
      const from = lines[0]?.startsWith('#!') ? 1 : 0
      const after = lines.slice(from).findIndex((line) => !line.startsWith('//'))
      return after >= 1 && after <= 6
        ? []
        : [{ line: from + 1, what: `it opens with ${Math.max(after, 0)} comment lines` }]
    },
  },
  {
    name: 'no drawers',
    says: 'name a file or folder after what it is about, not after "things"',
    files: (path) => /^(src|test|bench|examples)\//.test(path),
    find: ({ path }) =>
      path
        .replace(/\.[a-z.]+$/, '')
        .split('/')
        .slice(1)
        .filter((part) => drawers.test(part) && !(path.startsWith('test/') && /^helpers?$/.test(part)))
        .map((part) => ({ line: 1, what: `${part} is the name of a drawer` })),
  },
  {
    name: 'the environment is read in config.ts only',
    says: 'take what you need as a parameter; main.ts and the other programs hand process.env to readConfig',
    files: (path) => inSrc(path) && path !== 'src/config.ts',
    find: ({ code, imports, path }) => [
      ...inLines(code, /process\.env\b|\bimport\.meta\.env\b/g, (match) => match[0]).filter(
        ({ line }) =>
          !(
            /^src\/(main|control-plane|migrate|rotate-secrets|check|export-events)\.ts$/.test(path) &&
            code[line - 1]?.includes('readConfig(process.env)')
          ),
      ),
      ...imports
        .filter(({ from }) => from === 'node:process' || from === 'process')
        .map(({ line }) => ({ line, what: 'process' })),
    ],
  },
  {
    name: 'no transaction is open from the client',
    says: 'a decision is one statement; see docs/architecture.md',
    // Drivers act in their provider's own transactions, with no row of ours locked.
    files: (path) => inSrc(path) && path !== 'src/db/migrate.ts' && !path.startsWith('src/drivers/'),
    find: (source) => [
      ...inLines(source.code, /(\b\w+)\??\.(begin|transaction|savepoint)\s*[(<`]/g, (match) => match[0]).filter(
        ({ what }) => !what.startsWith('down.begin('),
      ),
      ...inSql(source, /^\s*(?:begin|start transaction|savepoint)\b/gi, (match) => match[0].trim()),
    ],
  },
  {
    name: 'only transition() writes state',
    says: 'declare the move in src/lifecycle and make it by a rule and transition()',
    files: (path) => inSrc(path) && !stateOwners.test(path),
    find: (source) => [
      ...inSql(
        source,
        /\bset\b(?:(?!\bwhere\b|\bfrom\b|\breturning\b)[^;])*?\b(?:state|state_changed_at|state_reason|generation|version)\s*=/gi,
        (match) => match[0].replace(/\s+/g, ' '),
      ),
      ...inText(
        source.code,
        /(?<!\bthis)\.set\(\s*\{[^}]*\b(?:state|stateChangedAt|generation|version)\b\s*[:,}]/g,
        (match) => match[0],
      ),
    ],
  },
  {
    name: 'no state literal in SQL',
    says: 'take the list from the declaration, e.g. liveOperationStates',
    files: (path) => inSrc(path) && !stateOwners.test(path),
    find: (source) => inSql(source, quotedState, (match) => match[0]),
    known: {
      'src/resolvers/api-token.ts': { count: 1, because: 'expireApiToken reads what is ACTIVE' },
      'src/resolvers/deployment-rule.ts': { count: 1, because: 'a retry of what FAILED' },
      'src/resolvers/passing.ts': { count: 3, because: 'counts of live operations' },
    },
  },
  {
    name: 'guards are allow-lists',
    says: 'name the states that it may start from; "not in" lets every later state in',
    files: (path) => inSrc(path) && !path.startsWith('src/drivers/'),
    find: (source) => [
      ...inLines(source.code, /\b(?:notInArray|ne)\([\w.]*\bstate\b/gi, (match) => match[0]),
      ...inSql(source, /\bstate(?:}|\b)\s*(?:not in|<>|!=)\s*(?:\(|')/gi, (match) => match[0]),
    ],
    known: {
      'src/resolvers/deployment.ts': {
        count: 1,
        because: 'the newest that is not DELETED, for the words of a refusal',
      },
    },
  },
  {
    name: 'only main starts things',
    says: 'take the running thing as a parameter; nothing runs because a module was imported',
    files: (path) =>
      inSrc(path) &&
      !/^src\/(main|control-plane|migrate|new-token|rotate-secrets|check|export-events|reach-database|generate)\.ts$/.test(
        path,
      ),
    find: ({ code }) => [
      ...inLines(code, starters, (match) => `${match[1]}()`),
      ...inLines(
        code,
        /^(?:await |setInterval\(|setTimeout\(|process\.on\()/g,
        (match) => `${match[0].trim()} while it is loaded`,
      ),
    ],
    known: {
      'src/drivers/runtime/process-supervisor.ts': {
        count: 1,
        because: 'a program of its own, started beside each workload',
      },
    },
  },
  {
    name: 'no default export, enum, namespace or parameter property',
    says: 'the code runs as it stands: only types may be erased',
    files: (path) => program(path) && !/^[\w.-]+\.config\.ts$/.test(path),
    find: ({ code }) =>
      inLines(
        code,
        /^\s*export default\b|^\s*(?:export )?(?:declare )?(?:const )?enum \w|^\s*(?:export )?(?:namespace|module) [\w.]+\s*\{|\bconstructor\([^)]*\b(?:public|private|protected|readonly)\b/g,
        (match) => match[0].trim(),
      ),
  },
  {
    name: 'a time carries its unit in its name',
    says: 'call it timeoutMs, graceSeconds, retentionDays',
    files: program,
    find: ({ code }) => [
      ...inLines(
        code,
        new RegExp(`\\b(?:const|let|readonly|static)\\s+#?(\\w*${timeWord})\\s*(?::\\s*number\\b|=\\s*\\d)`, 'gi'),
        (match) => `${match[1]} has no unit`,
      ),
      ...inLines(code, /\b(?:setTimeout|setInterval)\(\s*\w+\s*,\s*(\d[\d_]*|[a-z]\w*)\s*[,)]/gi, (match) =>
        String(match[1]),
      )
        .filter(({ what }) => !/(Ms|_MS)$/.test(what) && what !== '0' && what !== 'left')
        .map(({ line, what }) => ({ line, what: `${what} as a number of what?` })),
    ],
  },
  {
    name: 'no test is left alone or left out',
    says: 'remove .only, .skip and .todo; a test that cannot run here says so by skipIf with its reason',
    files: (path) => inTests(path) && !ownFolder(path),
    find: ({ code }) =>
      inLines(code, /\b(?:test|it|describe|suite)(?:\.\w+)*\.(?:only|skip|todo)\b/g, (match) => match[0]),
  },
  {
    name: 'tests wait on signals, never on time',
    says: 'wait for what you expect with a deadline; a sleep is either too short or too long',
    files: (path) => inTests(path) && !ownFolder(path),
    find: ({ lines, code, imports }) => [
      ...imports
        .filter(
          ({ line, from }) => from === 'node:timers/promises' && /setTimeout|scheduler/.test(lines[line - 1] ?? ''),
        )
        .map(({ line }) => ({ line, what: 'timers/promises' })),
      ...inLines(code, /(?<![.\w])setTimeout\(/g, () => 'setTimeout'),
    ],
    known: {
      'test/drivers/provision.conformance.ts': {
        count: 1,
        because: 'asks a driver again after the time that it named',
      },
      'test/drivers/runtime.conformance.ts': { count: 1, because: 'asks a driver again after the time that it named' },
      'test/proof/soak/pace.ts': {
        count: 1,
        because: 'a soak goes on for the time that is asked for, and its faults come when the seed says',
      },
      'test/readme/terminal.ts': { count: 1, because: 'nobody signals the end of a process group' },
      'test/wire-proxy.ts': { count: 1, because: 'the delay is the fault that the proxy injects' },
    },
  },
  {
    name: 'nothing of one machine is in the tree',
    says: 'no absolute path of a machine, no address of a package registry',
    files: (path) => !ownFolder(path),
    find: ({ lines, path }) => [
      ...inLines(lines, /(?<![\w.}])\/(?:work|farm|root|home|Users|bash_jobs)\/[\w.]/g, (match) => `${match[0]}…`),
      ...inLines(
        lines,
        /\b(?:registry\.[a-z]+js\.|registry\.yarnpkg|artifactory|verdaccio|nexus\.)/gi,
        (match) => match[0],
      ),
      ...(path === 'package-lock.json' ? inLines(lines, /"resolved":/g, (match) => match[0]) : []),
    ],
  },
]
