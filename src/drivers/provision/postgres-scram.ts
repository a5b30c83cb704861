// A password as PostgreSQL stores it, computed on our side: the password itself is never part of a statement, so
// neither the server's log nor an error nor pg_stat_activity can hold it. RFC 5803 and RFC 7677.
import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

/** PostgreSQL's default for scram_iterations; what RFC 7677 asks for at least. */
const ITERATIONS = 4096
const SALT_BYTES = 16
const KEY_BYTES = 32

const derive = promisify(pbkdf2)
const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** The verifier to store for a password of letters and digits, e.g. `SCRAM-SHA-256$4096:<salt>$<keys>`. */
export async function scramVerifier(password: string, salt = randomBytes(SALT_BYTES)): Promise<string> {
  const salted = await derive(password, salt, ITERATIONS, KEY_BYTES, 'sha256')
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest('base64')
  const serverKey = hmac(salted, 'Server Key').toString('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${serverKey}`
}
