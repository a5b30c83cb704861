// A wire between one replica and PostgreSQL on which one statement, told by a text that stands in its parameters or by its name,
// meets an exact fault: before it is whole, once it is sent, in its reply, or for ever. It knows the protocol's frames alone.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { statementName } from '../../../src/db/session.ts'
import { messageReader, type WireMessage } from '../../wire-message.ts'

export type WireFault =
  /** Half of it arrives, then both ends are closed: it is never carried out. */
  | 'cut before it is whole'
  /** It arrives whole, and then both ends are closed. */
  | 'cut once it is sent'
  /** It arrives and is carried out; in place of the answer comes a reset. */
  | 'the reply is lost'
  /** As before, after half of the first row. */
  | 'half a reply'
  /** It does not arrive, nothing answers, and nothing is closed. */
  | 'silence before it'
  /** It is carried out; nothing answers, and nothing is closed. */
  | 'silence after it'
  /** It arrives; what then happens to it is said later. */
  | 'watched'

export interface Caught {
  /** Cuts the connection that it came by, with a reset towards the client. */
  cut(): void
}
interface Order {
  readonly isIt: (name: string, bytes: Buffer) => boolean
  readonly fault: WireFault
  readonly caught: (caught: Caught) => void
}

export interface FaultyWire {
  readonly url: string
  /** The next statement of which `isIt` is true meets the fault; resolves when it has. */
  next(isIt: Order['isIt'], fault: WireFault): Promise<Caught>
  /** Cuts all that is there and lets nobody in. */
  away(): void
  back(): void
  close(): Promise<void>
}

export async function openFaultyWire(to: string): Promise<FaultyWire> {
  const target = new URL(to)
  const orders = new Set<Order>()
  const links = new Set<() => void>()
  let isAway = false
  const server = createServer((client) => {
    if (isAway) client.resetAndDestroy()
    else {
      const cut = link(client, target, orders)
      links.add(cut)
      client.on('close', () => links.delete(cut))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(target)
  url.host = `127.0.0.1:${(server.address() as { port: number }).port}`
  const cutAll = () => {
    for (const cut of [...links]) cut()
  }
  return {
    url: url.href,
    next: (isIt, fault) => new Promise((caught) => orders.add({ isIt, fault, caught })),
    away() {
      isAway = true
      cutAll()
    },
    back() {
      isAway = false
    },
    async close() {
      cutAll()
      server.close()
      await once(server, 'close')
    },
  }
}

/** One connection; returns what cuts it. */
function link(client: Socket, target: URL, orders: Set<Order>): () => void {
  const server = connect(Number(target.port || 5432), target.hostname).setNoDelay(true)
  client.setNoDelay(true)
  const names = new Map<string, string>()
  let met: Order | undefined
  let silent = false
  const cut = () => {
    client.resetAndDestroy()
    server.destroy()
  }
  const caught = (order: Order) => order.caught({ cut })

  /** Remembers what each prepared statement is called, and finds out whose turn it is. */
  function look({ type, bytes }: WireMessage): void {
    if (type === 'P') {
      const [statement = '', text = ''] = bytes.toString('utf8', 5).split('\0')
      names.set(statement, statementName(text) ?? '')
    } else if (type === 'B') {
      const [, statement = ''] = bytes.toString('utf8', 5, Math.min(bytes.length, 200)).split('\0')
      met = [...orders].find(({ isIt }) => isIt(names.get(statement) ?? '', bytes))
      if (met) orders.delete(met)
    }
  }

  const readClient = messageReader('frontend')
  client.on('data', (chunk) => {
    for (const message of readClient(chunk)) {
      const { type, bytes } = message
      if (type === 'encryption') {
        client.write('N')
        continue
      }
      look(message)
      if (met?.fault === 'silence before it' && !silent) {
        silent = true
        caught(met)
      }
      if (silent) return
      if (met?.fault === 'cut before it is whole' && type === 'B') {
        server.write(bytes.subarray(0, bytes.length >> 1), cut)
        caught(met)
        return
      }
      server.write(bytes)
      if (met && type === 'S' && (met.fault === 'watched' || met.fault === 'cut once it is sent')) {
        const order = met
        met = undefined
        if (order.fault === 'cut once it is sent') server.write('', () => cut())
        caught(order)
      }
    }
  })
  const readServer = messageReader('backend')
  server.on('data', (chunk) => {
    for (const { type, bytes } of readServer(chunk)) {
      if (silent) return
      if (!met) {
        client.write(bytes)
        continue
      }
      if (met.fault === 'half a reply' && type === 'D') client.write(bytes.subarray(0, bytes.length >> 1))
      // It is carried out when the server is ready for the next one.
      if (type !== 'Z') continue
      const order = met
      met = undefined
      if (order.fault === 'silence after it') silent = true
      else cut()
      caught(order)
    }
  })
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    one.on('error', () => {})
    one.on('close', () => {
      if (!silent || one === client) other.destroySoon()
    })
  }
  return cut
}
