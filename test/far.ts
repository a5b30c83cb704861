// Drivers in another process: the world of fakes stays with whoever serves it, and replicas call it over the channel that a
// forked process has (with advanced serialisation, so that dates stay dates). Messages of one turn go together, because a
// hundred thousand workloads have many. A replica that is killed has asked what it has asked: the world goes on with it.
import type { Provisioner, ResourceType } from '../src/drivers/provision/driver.ts'
import type { RuntimeDriver } from '../src/drivers/runtime/driver.ts'

/** What both ends of the channel have: a forked process, and `process` in it. */
export interface Channel {
  on(event: 'message', listener: (message: unknown) => void): unknown
  readonly connected?: boolean
  readonly send?: (message: object, done: () => void) => boolean
}
type CallName<T> = { [K in keyof T]: T[K] extends (...input: never[]) => Promise<unknown> ? K : never }[keyof T] &
  string
type Asked = readonly [id: number, call: string, input: readonly unknown[]]
type Told = readonly [id: number, answer: unknown, thrown?: string]
/** A call whose arguments are named `input` here; every one ends with its signal. */
type Calls = Readonly<Record<string, (...input: unknown[]) => Promise<unknown>>>

const runtimeCalls = {
  resolveImage: true,
  reserve: true,
  ensure: true,
  observe: true,
  observeInstance: true,
  stop: true,
  remove: true,
  logs: true,
  listOwned: true,
} as const satisfies Record<CallName<RuntimeDriver>, true>

const provisionCalls = {
  provision: true,
  observe: true,
  pause: true,
  resume: true,
  rotate: true,
  setWritable: true,
  deprovision: true,
  listOwned: true,
} as const satisfies Record<CallName<Provisioner>, true>

/** Sends what was given in one turn as one message, in its order. */
function sender<T>(channel: Channel, as: string): (item: T) => void {
  let waiting: T[] = []
  return (item) => {
    waiting.push(item)
    if (waiting.length > 1) return
    setImmediate(() => {
      const items = waiting
      waiting = []
      // Whoever is gone is not told any more.
      if (channel.connected) channel.send?.({ [as]: items }, () => {})
    })
  }
}

const received = <T>(message: unknown, as: string): readonly T[] => (message as Record<string, T[]>)[as] ?? []

/** Lets the process at the other end call the object, under a name that both ends know. */
function serve(name: string, object: Calls, channel: Channel): void {
  const running = new Map<number, AbortController>()
  const tell = sender<Told>(channel, `${name} told`)
  channel.on('message', (message: unknown) => {
    for (const [id, call, input] of received<Asked>(message, `${name} asked`)) {
      const given = new AbortController()
      running.set(id, given)
      const answer = (object[call] as Calls[string])(...input, given.signal)
      void answer
        .then(
          (value) => tell([id, value]),
          (error: unknown) => tell([id, null, String(error)]),
        )
        .finally(() => running.delete(id))
    }
    for (const id of received<number>(message, `${name} given up`)) running.get(id)?.abort()
  })
}

interface Waiting {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
}

/** What the process at the other end serves under that name. A call that is given up ends when the other end says so. */
function far(name: string, calls: object, channel: Channel): Calls {
  const waiting = new Map<number, Waiting>()
  const ask = sender<Asked>(channel, `${name} asked`)
  const giveUp = sender<number>(channel, `${name} given up`)
  let made = 0
  channel.on('message', (message: unknown) => {
    for (const [id, answer, thrown] of received<Told>(message, `${name} told`)) {
      if (thrown === undefined) waiting.get(id)?.resolve(answer)
      else waiting.get(id)?.reject(new Error(thrown))
      waiting.delete(id)
    }
  })
  const caller =
    (call: string) =>
    async (...given: unknown[]): Promise<unknown> => {
      const signal = given.at(-1) as AbortSignal
      const id = ++made
      const onAbort = () => giveUp(id)
      const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }))
      ask([id, call, given.slice(0, -1)])
      if (signal.aborted) onAbort()
      else signal.addEventListener('abort', onAbort, { once: true })
      return await answer.finally(() => signal.removeEventListener('abort', onAbort))
    }
  return Object.fromEntries(Object.keys(calls).map((call) => [call, caller(call)]))
}

/** Lets the process at the other end call the driver. */
export const serveDriver = (driver: RuntimeDriver, channel: Channel): void =>
  serve('runtime', driver as unknown as Calls, channel)

/** The driver that the process at the other end serves. */
export const farDriver = (channel: Channel): RuntimeDriver =>
  ({ name: 'fake', reserves: () => false, ...far('runtime', runtimeCalls, channel) }) as unknown as RuntimeDriver

/** Lets the process at the other end call the provisioner. */
export const serveProvisioner = (provisioner: Provisioner, channel: Channel): void =>
  serve(provisioner.type, provisioner as unknown as Calls, channel)

/** The provisioner of that type which the process at the other end serves. */
export const farProvisioner = (type: ResourceType, channel: Channel): Provisioner =>
  ({ type, unavailable: null, ...far(type, provisionCalls, channel) }) as unknown as Provisioner
