// The variables of a workload with what they refer to filled in, as an outcome that a runner can end by: ready, on its way, or
// leading nowhere. What is filled in is secret, and comes with a list of what must never be repeated.
import { done, type Outcome, refused, working } from '../drivers/outcome.ts'
import { type Resolved, resolveEnv } from '../resolvers/reference.ts'
import type { Database } from '../resolvers/transition.ts'
import type { Sealing } from '../sealing.ts'

/** The variables as the workload gets them, and what of them must not be told. */
export type Filled = Pick<Extract<Resolved, { kind: 'resolved' }>, 'env' | 'hidden'>

/** How soon it is tried again when something that is referred to is on its way. */
const notYetMs = 1_000

/** Resolves the references of `subject`; `services` are the addresses of the other services of its stack, by name. */
export async function filledIn(
  db: Database,
  sealing: Sealing,
  subject: Parameters<typeof resolveEnv>[2],
  services: Readonly<Record<string, string>> = {},
): Promise<Outcome<Filled>> {
  const resolved = await resolveEnv(db, sealing, subject, services)
  switch (resolved.kind) {
    case 'resolved':
      return done(resolved)
    case 'not-yet':
      return working(notYetMs, resolved.reason)
    case 'unresolved':
      return refused(resolved.reason)
  }
}
