// A cell of a matrix of faults: a test of its own, that says how it is played alone, and that is told of in docs/proof.md.
import { test } from 'vitest'
import { type Records, record } from '../record.ts'

/** Beside the other cells of the file, or after them; `name` is unique among them. */
export function proves(
  kind: Records['fault']['kind'],
  name: string,
  play: () => Promise<void>,
  { alone = false } = {},
): void {
  const command = `npx vitest run --config vitest.proof.config.ts test/proof/fault/${kind} -t '${name}$'`
  const run = alone ? test : test.concurrent
  run(name, async () => {
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
