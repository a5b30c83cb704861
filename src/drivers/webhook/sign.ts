// Standard Webhooks (github.com/standard-webhooks/standard-webhooks, specification 1.0): how a delivery is signed, so that
// the receiver knows who sent it, that nobody changed it, and that it is not an old one sent again.
import { createHmac } from 'node:crypto'

const prefix = 'whsec_'

/**
 * The headers of a delivery. `id` is the same over all its attempts, `at` is the time of this one; with two secrets, while one
 * is replaced by the other, there are two signatures, and either is enough for the receiver.
 */
export function signedHeaders(
  id: string,
  at: Date,
  payload: string,
  secrets: readonly string[],
): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string> {
  const timestamp = String(Math.floor(at.getTime() / 1_000))
  const signature = (secret: string) =>
    createHmac('sha256', Buffer.from(secret.slice(prefix.length), 'base64'))
      .update(`${id}.${timestamp}.${payload}`)
      .digest('base64')
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': secrets.map((secret) => `v1,${signature(secret)}`).join(' '),
  }
}
