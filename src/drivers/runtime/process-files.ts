// Small files that survive a crash: written whole or not at all, and first-come claims. No dependency beyond Node,
// because the supervisor of every workload loads this too.
import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { type FileHandle, open, readFile, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** The files of one workload, in its folder. */
export const stateFile = (dir: string): string => join(dir, 'state.json')
export const claimFile = (dir: string, instanceId: string): string => join(dir, `claim-${instanceId}.json`)
export const exitFile = (dir: string, instanceId: string): string => join(dir, `exit-${instanceId}.json`)

const temporary = (path: string): string => `${path}.${randomBytes(6).toString('hex')}.tmp`

export const errorCode = (error: unknown): string | undefined =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined

/** Replaces a file by write, fsync and rename, then fsyncs its folder: a reader sees the old or the new text. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const aside = temporary(path)
  await useFile(await open(aside, 'wx', 0o600), async (file) => {
    await file.writeFile(text)
    await file.sync()
  })
  await rename(aside, path)
  await useFile(await open(dirname(path), 'r'), (folder) => folder.sync())
}

async function useFile(file: FileHandle, use: (file: FileHandle) => Promise<void>): Promise<void> {
  try {
    await use(file)
  } finally {
    await file.close()
  }
}

/** The same for the supervisor, which has nothing better to do than to wait. */
export function writeDurablySync(path: string, text: string): void {
  const aside = writeAside(path, text)
  renameSync(aside, path)
}

/** Makes the file with its whole text if there is none: true for exactly one of all who try, at any time. */
export function claimSync(path: string, text: string): boolean {
  const aside = writeAside(path, text)
  try {
    linkSync(aside, path)
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw error
  } finally {
    unlinkSync(aside)
  }
}

function writeAside(path: string, text: string): string {
  const aside = temporary(path)
  const file = openSync(aside, 'wx', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  return aside
}

/** The text of a file, or null when there is none. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null
    throw error
  }
}
