// The log of one workload on disk: bounded, rotated once, read back from its end. Written by the supervisor alone,
// so it stays bounded while no control plane runs; a flood slows the app down instead of filling memory or disk.
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode } from './process-files.ts'

export const LOG_FILE = 'app.log'
export const OLDER_LOG_FILE = 'app.log.1'
const MAX_LINE_CHARS = 300
const MAX_RECENT_LINES = 20

export interface BoundedLog {
  write(chunk: Buffer): void
  /** The line that tells most about an end: the last one that reads like an error, else the last one; '' if none. */
  tellingLine(): string
}

/** Opens the log in `dir` for appending; file and predecessor hold at most `maxBytes` each. */
export function openBoundedLog(dir: string, maxBytes: number): BoundedLog {
  const path = join(dir, LOG_FILE)
  let file = openSync(path, 'a', 0o600)
  let size = fstatSync(file).size
  let recent = ''

  const rotate = (): void => {
    renameSync(path, join(dir, OLDER_LOG_FILE))
    closeSync(file)
    file = openSync(path, 'a', 0o600)
    size = 0
  }
  const append = (bytes: Buffer): void => {
    for (let from = 0; from < bytes.length; ) {
      if (size >= maxBytes) rotate()
      const written = writeSync(file, bytes, from, Math.min(bytes.length - from, maxBytes - size))
      from += written
      size += written
    }
  }
  return {
    write(chunk) {
      recent = (recent + chunk.toString('utf8')).slice(-MAX_LINE_CHARS * MAX_RECENT_LINES)
      try {
        append(chunk)
      } catch {
        // A full disk or a folder that was taken away must not end the workload: the lines are lost, it goes on.
      }
    },
    tellingLine: () => tellingLineOf(recent),
  }
}

/** See `BoundedLog.tellingLine`. A crash in Node ends with its stack and version, which tell nothing. */
export function tellingLineOf(text: string): string {
  const lines = text.split('\n').map((line) => line.trim())
  const said = lines.filter((line) => line !== '').slice(-MAX_RECENT_LINES)
  const error = said.findLast(
    (line) => /(\b|[a-z])(Error|Exception)\b|^(panic|fatal|error)\b/i.test(line) && !/^at /.test(line),
  )
  const chosen = error ?? said.at(-1) ?? ''
  return chosen.replace(/\p{Cc}/gu, ' ').slice(0, MAX_LINE_CHARS)
}

/** The last `maxBytes` of the log in `dir`, oldest first, cut between characters; '' when nothing was written. */
export async function readLogTail(dir: string, maxBytes: number): Promise<string> {
  const newest = await tailOf(join(dir, LOG_FILE), maxBytes)
  const older = newest.length < maxBytes ? await tailOf(join(dir, OLDER_LOG_FILE), maxBytes - newest.length) : null
  const bytes = older === null ? newest : Buffer.concat([older, newest])
  let start = 0
  while (start < Math.min(3, bytes.length) && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1
  return bytes.toString('utf8', start)
}

async function tailOf(path: string, maxBytes: number): Promise<Buffer> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return Buffer.alloc(0)
    throw error
  }
  try {
    const { size } = await file.stat()
    const length = Math.min(size, maxBytes)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
