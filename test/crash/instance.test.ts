// The real server and a real app that is killed by hand: it comes back under the same url, as a run with an id of its own, once,
// even when the server dies between what it decides and what it does. What the app is part of stays as it is.
import { expect, test } from 'vitest'
import { eventsOf, instanceOf } from '../instances/fixture.ts'
import { openMachine, until } from './server.ts'

test('kill -9 of an app: it is back under the same url with a new id; and again with the server killed after the flip', {
  timeout: 120_000,
}, async () => {
  const machine = await openMachine()
  try {
    /** A server that has just come asks about whatever was not asked about a moment ago. */
    const askAgain = () => machine.sql`update instance set asked_at = null`
    const leaseEnds = () => machine.sql`update operation set due_at = now() where state = 'RUNNING'`
    const appOf = async (id: string): Promise<number | undefined> => (await machine.apps()).get(id)?.[0]
    const isOnline = (id: string, restarts: number) =>
      until(async () => {
        const unit = await instanceOf(machine.sql, id)
        expect(unit).toMatchObject({ state: 'ONLINE', restarts })
        return unit
      })
    const first = await machine.start()
    const id = await machine.call(first, 'deploy', { name: machine.nameOf('hello'), image: 'hello' })
    await machine.reaches(id, 'HEALTHY')
    const before = await isOnline(id, 0)
    process.kill(Number(await appOf(id)), 'SIGKILL')
    await expect(fetch(String(before.url))).rejects.toThrow()
    await askAgain()
    const second = await machine.start()
    const after = await isOnline(id, 1)
    expect(after).toMatchObject({ id: before.id, url: before.url })
    expect(after.instanceId).not.toBe(before.instanceId)
    expect(await (await fetch(String(after.url))).text()).toMatch(/^Hello from hello-/)
    expect(await machine.deployment(id)).toMatchObject({
      state: 'HEALTHY',
      url: before.url,
      instanceId: after.instanceId,
    })

    // Both servers die; the next one sees the death of the app and is killed as soon as it has decided.
    await Promise.all([first.end('SIGKILL'), second.end('SIGKILL')])
    process.kill(Number(await appOf(id)), 'SIGKILL')
    await askAgain()
    await machine.sql`update instance set started_at = now() - interval '1 hour'`
    const third = await machine.start()
    await until(async () => expect((await instanceOf(machine.sql, id)).restarts).toBe(2))
    await third.end('SIGKILL')
    await machine.start()
    await leaseEnds()
    const again = await isOnline(id, 2)
    expect(again.url).toBe(before.url)
    expect(new Set([before.instanceId, after.instanceId, again.instanceId]).size).toBe(3)
    expect((await fetch(String(again.url))).status).toBe(200)
    // Each death was followed by one start, and no two apps ever ran side by side.
    expect(await machine.cameUp(id)).toBe(3)
    expect(machine.mostApps()).toBe(1)
    const lives = ['offlineInstance', 'restartInstance', 'markInstanceOnline']
    expect(await eventsOf(machine.sql, before.id)).toEqual([
      'registerInstance',
      'markInstanceOnline',
      ...lives,
      ...lives,
    ])
    expect((await eventsOf(machine.sql, id)).filter((kind) => kind === 'restartDeployment')).toHaveLength(2)
    if (process.env.PAWL_ROUNDS !== undefined)
      console.table(
        await machine.sql`select position, subject_type, kind, from_state, to_state, generation, actor_kind from event order by id`,
      )
  } finally {
    await machine.dispose()
  }
})
