// A signal that is told twice, as Ctrl-C under npm is (once by the terminal, once by npm), is one wish: all is ended in order.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { createTestDatabase } from '../database.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('a second signal right after the first one hinders nothing', { timeout: 180_000 }, async () => {
  const database = await createTestDatabase()
  const dataDir = await mkdtemp(join(tmpdir(), 'pawl-told-twice-'))
  try {
    const child = spawn(process.execPath, ['src/main.ts'], {
      cwd: root,
      env: {
        PATH: process.env.PATH,
        DATABASE_URL: database.url,
        PAWL_PORT: '0',
        PAWL_SECRET_KEYS: `test:${Buffer.alloc(32, 7).toString('base64')}`,
        PAWL_DATA_DIR: dataDir,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let text = ''
    let told = 0
    child.stdout.on('data', (chunk) => {
      text += chunk
      const first = told === 0 && /^GraphQL: /m.test(text)
      const second = told === 1 && text.includes('shutting down')
      if (first || second) {
        told++
        child.kill('SIGTERM')
      }
    })
    expect(await once(child, 'close')).toEqual([0, null])
    expect(told).toBe(2)
  } finally {
    await rm(dataDir, { recursive: true, force: true })
    await database.drop()
  }
})
