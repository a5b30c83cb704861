// Runs a benchmark by its name: prints one table of what was measured against what is to be reached, and writes the same with
// a description of the machine to bench/results/<name>.json. Ends with 1 when something was not reached.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { live } from './live.ts'
import { loops } from './loops.ts'

/** One line of the table; `reached` is null for what is only told. */
export interface Figure {
  readonly what: string
  readonly measured: string
  readonly target: string
  readonly reached: boolean | null
}
export interface Bench {
  /** What was done, in one sentence or two: what the figures stand for. */
  readonly about: string
  readonly figures: readonly Figure[]
}

const benches: Readonly<Record<string, () => Promise<Bench>>> = { live, loops }

const name = process.argv[2] ?? ''
const bench = benches[name]
if (!bench) {
  process.stderr.write(`there is no benchmark ${JSON.stringify(name)}; there is: ${Object.keys(benches).join(', ')}\n`)
  process.exit(2)
}
const loadBefore = loadavg()[0]?.toFixed(1)
const { about, figures } = await bench()
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
await writeFile(`${folder}${name}.json`, `${JSON.stringify({ name, at, about, machine, figures }, null, 2)}\n`)
process.exit(figures.some(({ reached }) => reached === false) ? 1 : 0)
