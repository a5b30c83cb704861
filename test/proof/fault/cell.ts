// A cell of a matrix of faults: a test of its own, that says how it is played alone, and that is told of in docs/proof.md.
import { test } from 'vitest'
import { type Records, record } from '../record.ts'

const files = { postgres: 'postgres', connection: 'connection', driver: 'driver' } as const

/** Beside the other cells of the file; `name` is unique among them. */
export function proves(kind: Records['fault']['kind'], name: string, play: () => Promise<void>): void {
  const command = `npx vitest run --config vitest.proof.config.ts test/proof/fault/${files[kind]} -t '${name}$'`
  test.concurrent(name, async () => {
    let kept = false
    try {
      await play()
      kept = true
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : error}\n\nTo play it alone: ${command}`, {
        cause: error,
      })
    } finally {
      record('fault', { kind, name, kept })
    }
  })
}
