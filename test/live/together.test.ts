// One answer for many: never one that was asked for before they came.
import { expect, test } from 'vitest'
import { together } from '../../src/live/together.ts'

test('who comes while an answer is on its way shares the next one, also after one that failed', async () => {
  const asked: PromiseWithResolvers<number>[] = []
  const answer = together(() => {
    const own = Promise.withResolvers<number>()
    asked.push(own)
    return own.promise
  })
  const first = [answer(), answer()]
  await expect.poll(() => asked.length).toBe(1)
  const later = [answer(), answer(), answer()]
  const failed = expect(Promise.all(later)).rejects.toThrow('away')
  asked[0]?.resolve(1)
  expect(await Promise.all(first)).toEqual([1, 1])
  await expect.poll(() => asked.length).toBe(2)
  const last = answer()
  asked[1]?.reject(new Error('away'))
  await failed
  await expect.poll(() => asked.length).toBe(3)
  asked[2]?.resolve(3)
  expect(await last).toBe(3)
})
