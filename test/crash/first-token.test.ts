// The first token of a new database is shown once; a start that fails before it could be shown must not use it up.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { createTestDatabase } from '../database.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('a first start that finds its port in use leaves the token to the next one', { timeout: 180_000 }, async () => {
  const database = await createTestDatabase()
  const dataDir = await mkdtemp(join(tmpdir(), 'pawl-first-token-'))
  const stranger = createServer()
  await once(stranger.listen(0, '127.0.0.1'), 'listening')
  const { port } = stranger.address() as AddressInfo

  /** Starts Pawl and ends it as soon as it is ready; everything that it wrote. */
  async function start(at: number): Promise<string> {
    const child = spawn(process.execPath, ['src/main.ts'], {
      cwd: root,
      env: {
        PATH: process.env.PATH,
        DATABASE_URL: database.url,
        PAWL_PORT: String(at),
        PAWL_SECRET_KEYS: `test:${Buffer.alloc(32, 7).toString('base64')}`,
        PAWL_DATA_DIR: dataDir,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let text = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        text += chunk
        if (/^GraphQL: /m.test(text)) child.kill('SIGTERM')
      })
    }
    await once(child, 'close')
    return text
  }

  try {
    expect(await start(port)).toMatch(/^Pawl did not start: PAWL_PORT is \d+, which another process uses/m)
    expect(await start(0)).toMatch(/^Token: pawl_\w+$/m)
    expect(await start(0)).toMatch(/^The token is the one that the first start on this data printed\.$/m)
  } finally {
    stranger.close()
    await rm(dataDir, { recursive: true, force: true })
    await database.drop()
  }
})
