// A runtime driver in another process: the world of fake workloads stays with whoever serves it, and replicas call it over
// the channel that a forked process has. Messages of one turn go together, because a hundred thousand of them are many.
import type { RuntimeDriver } from '../../src/drivers/runtime/driver.ts'

/** What both ends of the channel have: a forked process, and `process` in it. */
export interface Channel {
  on(event: 'message', listener: (message: unknown) => void): unknown
  readonly connected?: boolean
  readonly send?: (message: object) => boolean
}
type CallName = Exclude<keyof RuntimeDriver, 'name' | 'reserves'>
type Asked = readonly [id: number, call: CallName, input: readonly unknown[]]
type Told = readonly [id: number, answer: unknown]
/** A call whose arguments are named `input` here; every one ends with its signal. */
type Calls = Readonly<Record<CallName, (...input: unknown[]) => Promise<unknown>>>

const calls = {
  resolveImage: true,
  reserve: true,
  ensure: true,
  observe: true,
  observeInstance: true,
  stop: true,
  remove: true,
  logs: true,
  listOwned: true,
} as const satisfies Record<CallName, true>

/** Sends what was given in one turn as one message, in its order. */
function sender<T>(channel: Channel, as: 'asked' | 'told' | 'given up'): (item: T) => void {
  let waiting: T[] = []
  return (item) => {
    waiting.push(item)
    if (waiting.length > 1) return
    setImmediate(() => {
      const items = waiting
      waiting = []
      // Whoever is gone is not told any more.
      if (channel.connected) channel.send?.({ [as]: items })
    })
  }
}

const received = <T>(message: unknown, as: string): readonly T[] => (message as Record<string, T[]>)[as] ?? []

/** Lets the process at the other end call the driver. */
export function serveDriver(driver: RuntimeDriver, channel: Channel): void {
  const running = new Map<number, AbortController>()
  const tell = sender<Told>(channel, 'told')
  channel.on('message', (message: unknown) => {
    for (const [id, call, input] of received<Asked>(message, 'asked')) {
      const given = new AbortController()
      running.set(id, given)
      void (driver as unknown as Calls)[call](...input, given.signal).then((answer) => {
        running.delete(id)
        tell([id, answer])
      })
    }
    for (const id of received<number>(message, 'given up')) running.get(id)?.abort()
  })
}

/** The driver that the process at the other end serves. A call that is given up ends when the other end says so. */
export function farDriver(channel: Channel): RuntimeDriver {
  const waiting = new Map<number, (answer: unknown) => void>()
  const ask = sender<Asked>(channel, 'asked')
  const giveUp = sender<number>(channel, 'given up')
  let made = 0
  channel.on('message', (message: unknown) => {
    for (const [id, answer] of received<Told>(message, 'told')) {
      waiting.get(id)?.(answer)
      waiting.delete(id)
    }
  })
  const far = (call: CallName) => {
    return (...given: unknown[]): Promise<unknown> => {
      const signal = given.at(-1) as AbortSignal
      const id = ++made
      const onAbort = () => giveUp(id)
      return new Promise((resolve) => {
        waiting.set(id, (answer) => {
          signal.removeEventListener('abort', onAbort)
          resolve(answer)
        })
        ask([id, call, given.slice(0, -1)])
        if (signal.aborted) onAbort()
        else signal.addEventListener('abort', onAbort, { once: true })
      })
    }
  }
  const all = Object.fromEntries((Object.keys(calls) as CallName[]).map((call) => [call, far(call)]))
  return { name: 'fake', reserves: () => false, ...(all as Calls) } as unknown as RuntimeDriver
}
