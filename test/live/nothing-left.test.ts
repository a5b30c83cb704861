// A subscription of which its own directives leave nothing: there is nothing to follow, and its author is told so.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LiveStage, openLiveStage, openStreams } from './stage.ts'

let stage: LiveStage
beforeAll(async () => {
  stage = await openLiveStage()
})
afterAll(() => stage.close())

test.each([
  'subscription { events @skip(if: true) { kind } }',
  'subscription { events @include(if: false) { kind } }',
  'subscription { ... @include(if: false) { events { kind } } }',
  'subscription { ...none } fragment none on Subscription { events @skip(if: true) { kind } }',
])('where nothing of it is left: %s', async (none) => {
  stage.api.logged.splice(0)
  const stream = await stage.subscribe(none)
  await stream.over
  expect(stream.status).toBe(400)
  expect(stream.told).toMatchObject([
    {
      errors: [
        {
          message: expect.stringMatching(/^A subscription needs its one field: /),
          extensions: { code: 'BAD_USER_INPUT' },
        },
      ],
    },
  ])
  expect(await openStreams(stage.api)).toBe(0)
  expect(stage.api.logged.filter((line) => line.includes('"level":"error"'))).toEqual([])
})

test('where a variable would decide whether anything is left', async () => {
  stage.api.logged.splice(0)
  const stream = await stage.subscribe('subscription ($no: Boolean = false) { events @include(if: $no) { kind } }')
  await stream.over
  expect(stream.told).toMatchObject([{ errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] }])
  expect(await openStreams(stage.api)).toBe(0)
  expect(stage.api.logged.filter((line) => line.includes('"level":"error"'))).toEqual([])
})
