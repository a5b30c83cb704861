// The frame of every loop: one pass at a time, nudges that coalesce, a deadline, and passes that fail alone.
import { expect, test } from 'vitest'
import { type LoopDeclaration, startLoop } from '../../src/loops/loop.ts'
import { createMetrics } from '../../src/metrics.ts'
import { keepingLog, until } from './fixture.ts'

const hourMs = 3_600_000

/** A loop whose passes stand still until they are let go. */
function gatedLoop(more: Partial<LoopDeclaration> = {}) {
  const passes: { signal: AbortSignal; end: (error?: Error) => void }[] = []
  const lines: string[] = []
  const metrics = createMetrics({ strict: true })
  const loop = startLoop(
    {
      name: 'sweep',
      everyMs: hourMs,
      deadlineMs: hourMs,
      pass: (signal) =>
        new Promise((resolve, reject) => {
          passes.push({ signal, end: (error) => (error ? reject(error) : resolve({ moved: 1 })) })
        }),
      ...more,
    },
    { metrics, log: keepingLog(lines) },
  )
  return { loop, passes, lines, metrics }
}

test('the first pass runs at once; nudges while it runs make one more after it, never one beside it', async () => {
  const { loop, passes } = gatedLoop()
  expect(passes).toHaveLength(1)
  for (let nudge = 0; nudge < 10; nudge++) loop.nudge()
  expect(passes).toHaveLength(1)
  passes[0]?.end()
  await until(() => expect(passes).toHaveLength(2))
  passes[1]?.end()
  // The pass has not been told off yet: a nudge may make one more, but never two.
  await new Promise(setImmediate)
  loop.nudge()
  await until(() => expect(passes).toHaveLength(3))
  passes[2]?.end()
  await loop.stop()
  expect(passes).toHaveLength(3)
})

test('the timer runs it again, give or take a tenth', async () => {
  const begun: number[] = []
  const { loop } = gatedLoop({
    everyMs: 40,
    pass: async () => {
      begun.push(performance.now())
      return {}
    },
  })
  await until(() => expect(begun.length).toBeGreaterThan(5))
  await loop.stop()
  const gaps = begun.slice(1).map((at, index) => at - (begun[index] ?? 0))
  for (const gap of gaps) expect(gap).toBeGreaterThan(34)
})

test('R107 a pass that fails is told and counted, and the next one runs', async () => {
  const { loop, passes, lines, metrics } = gatedLoop({ everyMs: 5 })
  passes[0]?.end(new Error('no luck'))
  await until(() => expect(passes).toHaveLength(2))
  expect(lines.join()).toMatch(/error a pass of the loop failed.*no luck/)
  passes[1]?.end()
  await until(() => expect(passes).toHaveLength(3))
  expect(await metrics.text()).toMatch(/pawl_loop_runs_total\{loop="sweep",outcome="failed"\} 1/)
  expect(await metrics.text()).toMatch(/pawl_loop_runs_total\{loop="sweep",outcome="done"\} 1/)
  passes[2]?.end()
  await loop.stop()
})

test('R106 the deadline tells the pass to end, and what it cut off is counted as cut off', async () => {
  const { loop, passes, metrics } = gatedLoop({ deadlineMs: 20 })
  await until(() => expect(passes[0]?.signal.aborted).toBe(true))
  passes[0]?.end()
  await until(async () => expect(await metrics.text()).toMatch(/outcome="cut_off"\} 1/))
  expect(await metrics.text()).not.toMatch(/last_success_timestamp_seconds\{loop="sweep"\}/)
  await loop.stop()
})

test('stop tells the pass to end, waits for it, and lets no other begin', async () => {
  const { loop, passes } = gatedLoop()
  loop.nudge()
  let stopped = false
  const stopping = loop.stop().then(() => {
    stopped = true
  })
  expect(passes[0]?.signal.aborted).toBe(true)
  await new Promise(setImmediate)
  expect(stopped).toBe(false)
  passes[0]?.end()
  await stopping
  loop.nudge()
  await new Promise(setImmediate)
  expect(passes).toHaveLength(1)
})
