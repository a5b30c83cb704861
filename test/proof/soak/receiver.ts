// A receiver of webhooks on this machine: writes down every delivery in the order in which it came, and answers well, or badly
// for as long as it is told to.
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Receipt } from './judge-told.ts'

export type Mood = 'well' | 'failing' | 'silent' | 'cutting'

export interface Receiver {
  readonly url: string
  /** Of the webhooks under `/watched/`; the webhook is told by its path. */
  readonly receipts: Receipt[]
  mood: Mood
  close(): Promise<void>
}

export async function startReceiver(): Promise<Receiver> {
  const receipts: Receipt[] = []
  const silent = new Set<ServerResponse>()
  const receiver = { receipts, mood: 'well' as Mood }
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('error', () => {})
    request.on('data', (chunk: Buffer) => void chunks.push(chunk))
    request.on('end', () => {
      const { mood } = receiver
      const watched = /^\/watched\/(.+)$/.exec(request.url ?? '')?.[1]
      if (watched !== undefined) {
        const { data } = JSON.parse(Buffer.concat(chunks).toString()) as {
          data: { cursor: string; subjectId: string; teamId: string }
        }
        const { cursor, subjectId, teamId } = data
        receipts.push({ webhook: watched, cursor, subjectId, teamId, acknowledged: mood === 'well' })
      }
      if (mood === 'well') response.writeHead(204).end()
      else if (mood === 'failing') response.writeHead(500).end()
      else if (mood === 'cutting') request.destroy()
      else silent.add(response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return Object.assign(receiver, {
    url: `http://127.0.0.1:${port}`,
    async close() {
      for (const response of silent) response.destroy()
      server.closeAllConnections()
      server.close()
    },
  })
}
