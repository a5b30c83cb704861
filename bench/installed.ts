// What benches have and the product has not: the peers and the client that asks, in bench/node_modules. Put there by the
// first bench that needs them, and again when the lockfile is newer.
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
const writtenMs = (file: string) => statSync(`${folder}${file}`, { throwIfNoEntry: false })?.mtimeMs ?? 0

/** Installs them when they are not there, which takes the registry and a minute. */
export function ensurePeers(tell: (line: string) => void): void {
  if (writtenMs('node_modules/.package-lock.json') >= writtenMs('package-lock.json')) return
  tell('the peers are not installed, or older than bench/package-lock.json: npm ci --prefix bench')
  const { status } = spawnSync('npm', ['ci', '--prefix', folder, '--no-audit', '--no-fund'], { stdio: 'inherit' })
  if (status !== 0) throw new Error('the peers could not be installed; try `npm ci --prefix bench`')
}
