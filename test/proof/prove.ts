// `npm run prove`: everything that is proved, in under half an hour on two cores, and the page that tells of it. The tests of the
// proof first, then the soak; what they have seen is compared with docs/proof.json, which docs/proof.md is made of. `--write`
// puts this run in the place of the last one, `--page` only writes the page of the last one anew; whatever else is given goes to
// vitest. Exit code 1 when anything does not hold.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { pageOf } from './page.ts'
import { gather, lost, type Proof } from './result.ts'

const data = new URL('../../docs/proof.json', import.meta.url)
const page = new URL('../../docs/proof.md', import.meta.url)
const soak = { minutes: 4, seed: 1 }

const given = process.argv.slice(2)
const write = given.includes('--write')
const last = () => JSON.parse(readFileSync(data, 'utf8')) as Proof
if (given.includes('--page')) {
  writeFileSync(page, pageOf(last()))
  process.exit()
}
const folder = mkdtempSync(join(tmpdir(), 'pawl-prove-'))
const started = performance.now()
const say = (line: string) => process.stdout.write(`${line}\n`)
const minutes = () => Math.round((performance.now() - started) / 6_000) / 10

/** Runs one half, says how long it took, and whether it held. */
function half(what: string, command: string, args: readonly string[]): boolean {
  say(`\n${what}: ${command} ${args.join(' ')}`)
  const { status } = spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, PAWL_PROOF: folder } })
  say(`${what}: ${status === 0 ? 'held' : `DID NOT HOLD (exit code ${status})`}, ${minutes()} minutes since the start`)
  return status === 0
}

const tests = ['run', '--config', 'vitest.prove.config.ts', ...given.filter((one) => one !== '--write')]
const held = [
  half('schedules, planted bugs, deaths, faults, answers', 'vitest', tests),
  half('soak', 'node', ['test/proof/soak/run.ts', '--minutes', String(soak.minutes), '--seed', String(soak.seed)]),
].every(Boolean)

const run: Proof = {
  at: new Date().toISOString().slice(0, 10),
  machine: `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB; Node ${process.version}`,
  minutes: minutes(),
  seen: gather(folder),
}
if (held) rmSync(folder, { recursive: true })
else say(`What was seen is kept in ${folder}`)
if (held && write) {
  writeFileSync(data, `${JSON.stringify(run)}\n`)
  writeFileSync(page, pageOf(run))
  say(`docs/proof.md tells of this run`)
} else if (held) {
  const missing = lost(last(), run)
  for (const line of missing)
    say(`docs/proof.md tells of ${line}, which this run did not show: npm run prove -- --write`)
  if (missing.length > 0) process.exitCode = 1
}
if (!held) process.exitCode = 1
say(`The proof ${process.exitCode ? 'DOES NOT HOLD' : 'holds'}: ${minutes()} minutes.`)
