// Who is at the door: the actor behind the credential of a request, or the answer to somebody who cannot be let in. Why a
// credential was not taken is never told.
import type { IncomingMessage } from 'node:http'
import type { Actor } from './auth.ts'
import { DatabaseFault, toldOf } from './db/fault.ts'
import { OidcUnavailable, type OidcVerifier } from './oidc.ts'
import { authenticate, TeamNotClear } from './resolvers/authenticate.ts'
import type { Database } from './resolvers/transition.ts'
import type { Refused } from './server-answer.ts'
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

/** The actor of a request, by `Authorization` and, where somebody is a member of several teams, `Pawl-Team`. */
export async function callerOf(
  req: IncomingMessage,
  db: Database,
  oidc: Pick<OidcVerifier, 'verify'> | null,
): Promise<Actor | Stranger> {
  const named = req.headers['pawl-team']
  try {
    const team = typeof named === 'string' ? named : null
    return (
      (await authenticate(db, bearer(req) ?? '', { team, oidc })) ?? { refused: nobody, outcome: 'unauthenticated' }
    )
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
