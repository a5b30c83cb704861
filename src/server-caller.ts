// Who is at the door: the actor behind the credential of a request, or the answer to somebody who cannot be let in. Why a
// credential was not taken is never told.
import type { IncomingMessage } from 'node:http'
import type { Actor } from './auth.ts'
import { DatabaseFault, toldOf } from './db/fault.ts'
import { OidcUnavailable, type OidcVerifier } from './oidc.ts'
import { authenticate, TeamNotClear } from './resolvers/authenticate.ts'
import type { Database } from './resolvers/transition.ts'
import type { Refused } from './server-answer.ts'
import { refusal } from './server-document.ts'
import type { CallerMemory } from './server-memory.ts'
import { bearer } from './server-request.ts'

export interface Stranger {
  readonly refused: Refused
  readonly outcome: 'unauthenticated' | 'unavailable' | 'invalid'
  /** When to come again, where that is known. */
  readonly retryAfterMs?: number
}

const nobody: Refused = {
  status: 401,
  code: 'UNAUTHENTICATED',
  message: 'A good token is needed: Authorization: Bearer pawl_…',
}
const unavailable = (message: string): Refused => ({ status: 503, code: 'TEMPORARILY_UNAVAILABLE', message })
const statusOf = { TEAM_REQUIRED: 400, NOT_A_MEMBER: 403 } as const

/**
 * The actor of a request, by `Authorization` and, where somebody is a member of several teams, `Pawl-Team`. With a `memory` it
 * may be the one of a moment ago.
 */
export async function callerOf(
  req: IncomingMessage,
  db: Database,
  oidc: Pick<OidcVerifier, 'verify'> | null,
  memory: CallerMemory | null = null,
): Promise<Actor | Stranger> {
  const named = req.headers['pawl-team']
  const team = typeof named === 'string' ? named : null
  const text = bearer(req) ?? ''
  const ask = () => authenticate(db, text, { team, oidc })
  try {
    const actor = await (memory ? memory.recall(team === null ? text : `${text} ${team}`, ask) : ask())
    return actor ?? { refused: nobody, outcome: 'unauthenticated' }
  } catch (error) {
    if (error instanceof TeamNotClear) {
      const { code, message } = error
      return { refused: { status: statusOf[code], code, message }, outcome: 'invalid' }
    }
    if (error instanceof OidcUnavailable) {
      const refused = unavailable('The issuer of this token cannot be reached right now. Try again.')
      return { refused, outcome: 'unavailable', retryAfterMs: error.retryAfterMs }
    }
    if (!(error instanceof DatabaseFault) || error.kind === 'bug') throw error
    const refused = unavailable(`${toldOf(error)} Try again.`)
    return { refused, outcome: 'unavailable', retryAfterMs: 1_000 }
  }
}

/** Who is at the door still; throws for somebody who would not be let in any more. */
export function admitted(caller: Actor | Stranger): Actor {
  if (!('refused' in caller)) return caller
  const { status, code, message } = caller.refused
  throw refusal(status, code, message)
}
