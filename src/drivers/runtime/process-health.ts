// One health check: one GET on loopback, answered or not within its time. Follows nothing, reads no body.
import { get } from 'node:http'

export type Health =
  | { readonly kind: 'healthy' }
  /** `detail` fits before "for 10 s". */
  | { readonly kind: 'unhealthy'; readonly detail: string }
  | { readonly kind: 'aborted' }

/** Asks `http://127.0.0.1:port path` once; healthy is any 2xx within `timeoutMs`. Never throws. */
export function checkHealth(port: number, path: string, timeoutMs: number, signal: AbortSignal): Promise<Health> {
  const { promise, resolve } = Promise.withResolvers<Health>()
  const deadline = AbortSignal.timeout(timeoutMs)
  const request = get({ host: '127.0.0.1', port, path, agent: false, signal: AbortSignal.any([signal, deadline]) })
  request.on('response', (response) => {
    const status = response.statusCode ?? 0
    response.destroy()
    const healthy = status >= 200 && status < 300
    resolve(healthy ? { kind: 'healthy' } : { kind: 'unhealthy', detail: `GET ${path} answered ${status}` })
  })
  request.on('error', (error) => {
    if (signal.aborted) return resolve({ kind: 'aborted' })
    if (deadline.aborted) return resolve({ kind: 'unhealthy', detail: `GET ${path} was not answered` })
    const refused = 'code' in error && error.code === 'ECONNREFUSED'
    const detail = refused ? `Nothing listened on its PORT ${port}` : `GET ${path} was cut off`
    resolve({ kind: 'unhealthy', detail })
  })
  return promise
}
