// Runs a benchmark by its name: prints one table of what was measured against what is to be reached, and writes the same with
// a description of the machine to bench/results/<name>.json. Ends with 1 when something was not reached.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Bench } from './figure.ts'

/** Loaded when it is asked for: what one needs is not there for the others. */
const benches: Readonly<Record<string, () => Promise<() => Promise<Bench>>>> = {
  dashboard: async () => (await import('./dashboard.ts')).dashboard,
  growth: async () => (await import('./growth.ts')).growth,
  live: async () => (await import('./live.ts')).live,
  loops: async () => (await import('./loops.ts')).loops,
  mutation: async () => (await import('./mutation.ts')).mutation,
  operations: async () => (await import('./operations.ts')).operations,
  refusal: async () => (await import('./mutation.ts')).refusal,
  start: async () => (await import('./start.ts')).start,
}

const name = process.argv[2] ?? ''
const bench = Object.hasOwn(benches, name) ? await benches[name]?.() : undefined
if (!bench) {
  process.stderr.write(`there is no benchmark ${JSON.stringify(name)}; there is: ${Object.keys(benches).join(', ')}\n`)
  process.exit(2)
}
const loadBefore = loadavg()[0]?.toFixed(1)
const { about, figures, rounds } = await bench()
const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'))
const machine = {
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  memoryMb: Math.round(totalmem() / 1_048_576),
  kernel: release(),
  node: process.version,
  pawl: version,
  loadBefore,
}

const rows = [
  ['', 'measured', 'target', ''],
  ...figures.map(({ what, measured, target, reached }) => [
    what,
    measured,
    target,
    reached === null ? '' : reached ? 'reached' : 'NOT REACHED',
  ]),
]
const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
process.stdout.write(`\n${name}: ${about}\n\n${lines.map((line) => line.trimEnd()).join('\n')}\n\n`)
process.stdout.write(
  `on ${machine.cores} cores of ${machine.cpu}, Node ${machine.node}, load ${loadBefore} before it began\n`,
)

const folder = fileURLToPath(new URL('results/', import.meta.url))
await mkdir(folder, { recursive: true })
const at = new Date().toISOString()
await writeFile(`${folder}${name}.json`, `${JSON.stringify({ name, at, about, machine, figures, rounds }, null, 2)}\n`)
process.exit(figures.some(({ reached }) => reached === false) ? 1 : 0)
