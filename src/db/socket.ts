// Connects to PostgreSQL, with TLS where the URL asks for it, and hands the driver a socket that is ready. TLS is ours
// and not the driver's because the socket must be destroyed from here at any moment: doing that underneath the
// driver's TLS ends the process with an unhandled error.

import { readFileSync } from 'node:fs'
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { ConnectionLost } from './fault.ts'

/** Where the driver wants to go. */
export interface Address {
  host: string[]
  port: (string | number)[]
  path?: string | false
}

/** The meaning of libpq's sslmode. `allow` is not offered: it only tries TLS after a refusal. */
export type SslMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'

export interface Target {
  /** The URL for the driver, without what is said here. */
  readonly url: string
  readonly sslMode: SslMode
  /** Certificates to trust, PEM; when absent those of Node, NODE_EXTRA_CA_CERTS included. */
  readonly ca: string | undefined
}

const SSL_MODES: readonly string[] = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] satisfies SslMode[]
/** After that long in silence the kernel asks, each second, ten times, whether the server is still there. */
const KEEP_ALIVE_MS = 10_000
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
const YES = 83 // S

/** Reads `sslmode` and `sslrootcert` from a database URL; throws one clear line for what is not understood. */
export function readTarget(databaseUrl: string): Target {
  const url = new URL(databaseUrl)
  const { searchParams } = url
  const sslMode = searchParams.get('sslmode') ?? 'disable'
  const rootFile = searchParams.get('sslrootcert')
  if (searchParams.has('ssl')) throw new Error('The database URL says ssl=; write sslmode=require or verify-full.')
  if (!SSL_MODES.includes(sslMode)) throw new Error(`The database URL has an sslmode that is none of ${SSL_MODES}.`)
  searchParams.delete('sslmode')
  searchParams.delete('sslrootcert')
  const ca = rootFile === null || rootFile === 'system' ? undefined : readFileSync(rootFile, 'utf8')
  return { url: url.href, sslMode: sslMode as SslMode, ca }
}

/**
 * Connects. `hold` receives each socket as soon as there is one; destroying the last one received ends everything.
 * Rejects with the error of Node, or `ConnectionLost` when the socket was closed meanwhile.
 */
export async function dial(target: Target, to: Address, hold: (socket: Socket) => void): Promise<Socket> {
  const host = to.host[0] ?? 'localhost'
  const socket = to.path ? connect({ path: to.path }) : connect({ host, port: Number(to.port[0] ?? 5432) })
  hold(socket)
  socket.on('error', ignore)
  socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS)
  await whenReady(socket, 'connect')
  if (target.sslMode === 'disable' || to.path) return socket
  if (!(await offersTls(socket))) {
    if (target.sslMode === 'prefer') return socket
    socket.destroy()
    throw Object.assign(new Error('The server does not offer TLS.'), { code: 'NO_TLS' })
  }
  const secured = secure(socket, host, target)
  hold(secured)
  secured.on('error', ignore)
  await whenReady(secured, 'secureConnect')
  return secured
}

function secure(socket: Socket, host: string, { sslMode, ca }: Target): TLSSocket {
  return connectTls({
    socket,
    // Without it Node would compare the certificate of an address with the name localhost.
    host,
    ...(ca === undefined ? {} : { ca }),
    ...(isIP(host) ? {} : { servername: host }),
    rejectUnauthorized: sslMode.startsWith('verify-'),
    ...(sslMode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
  })
}

/** One byte answers; anything on top of it would be read as if it had come encrypted, so it is refused. */
async function offersTls(socket: Socket): Promise<boolean> {
  socket.write(SSL_REQUEST)
  const answer = await whenReady<Buffer>(socket, 'data')
  if (answer.length === 1) return answer[0] === YES
  socket.destroy()
  throw new ConnectionLost('CONNECTION_LOST')
}

function whenReady<T = void>(socket: Socket, event: 'connect' | 'secureConnect' | 'data'): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      socket.off(event, onReady).off('error', onError).off('close', onClose)
      finish()
    }
    const onReady = (value: T) => settle(() => resolve(value))
    const onError = (error: Error) => settle(() => reject(error))
    const onClose = () => settle(() => reject(new ConnectionLost('CONNECTION_LOST')))
    socket.once(event, onReady).once('error', onError).once('close', onClose)
  })
}

function ignore(): void {
  // Whoever waits hears of it by `close`; without a listener the process would end.
}
