// The real server, killed between the services of a stack: while it starts them and while it tears them down. Whoever comes
// after it finishes with one app per service, and leaves none in the end.
import { expect, test } from 'vitest'
import { openMachine, until } from './server.ts'

test('kill -9 between the services of a stack: no service runs twice, none is lost, none is left behind', {
  timeout: 180_000,
}, async () => {
  const machine = await openMachine()
  /** The process is dead: its lease needs not be waited for. */
  const leaseEnds = () => machine.sql`update operation set due_at = now() where state = 'RUNNING'`
  try {
    const name = machine.nameOf('shop')
    const services = [
      { name: 'web', image: 'hello' },
      { name: 'api', image: 'slow' },
      { name: 'db', image: 'hello' },
    ]
    const app = (service: string) => `${name}-${service}`
    const stack = async (id: string) => {
      const [row] = await machine.sql<{ placed: Record<string, { state?: string; url?: string }> }[]>`
        select placed from stack where id = ${id}`
      return row?.placed ?? {}
    }
    const first = await machine.start()
    const env = [{ key: 'GREETING', value: 'service://api' }]
    const id = await machine.call(first, 'createStack', { name, services, env })
    // Two services are healthy and told so; the third has its app, and is three seconds away from being healthy.
    await until(async () => {
      const { web, db } = await stack(id)
      expect([web?.state, db?.state, (await machine.apps()).has(app('api'))]).toEqual(['HEALTHY', 'HEALTHY', true])
    })
    expect(await first.end('SIGKILL')).toBe(null)
    const before = await machine.apps()

    const second = await machine.start()
    await leaseEnds()
    await machine.reaches(id, 'HEALTHY')
    const apps = await machine.apps()
    for (const { name: service } of services) {
      expect(apps.get(app(service))).toEqual(before.get(app(service)))
      expect(apps.get(app(service))).toHaveLength(1)
      expect(await machine.cameUp(id, `-${service}`)).toBe(1)
    }
    // One service was told of another before that one ran: it greets with its address, which answers.
    const placed = await stack(id)
    expect(await (await fetch(placed.web?.url ?? '')).text()).toContain(`${placed.api?.url} from ${app('web')}`)
    expect((await fetch(placed.api?.url ?? '')).status).toBe(200)

    await machine.call(second, 'deleteStack', { id })
    await until(async () => expect((await machine.apps()).size).toBeLessThan(services.length))
    await second.end('SIGKILL')
    await machine.start()
    await leaseEnds()
    await machine.reaches(id, 'DELETED')
    expect(await machine.apps()).toEqual(new Map())
    expect(machine.mostApps()).toBe(1)
  } finally {
    await machine.dispose()
  }
})
