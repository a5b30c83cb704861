// What a workload's variables refer to: `resource://NAME` is the URL of the resource of that name in the deployment's
// environment. Resolved when the workload starts, from the rows as they are then, and never stored resolved.
import type { Env } from '../db/env.ts'
import { comesTo } from '../lifecycle/machine.ts'
import { resourceMachine } from '../lifecycle/resource.ts'
import type { Sealing } from '../sealing.ts'
import { liveNamed } from './resource-refusal.ts'
import type { Database } from './transition.ts'

export type Resolved =
  | { readonly kind: 'resolved'; readonly env: Record<string, string> }
  /** Something that it refers to is on its way: ask again. */
  | { readonly kind: 'not-yet'; readonly reason: string }
  /** It refers to something that is not there, or cannot be used as it is. */
  | { readonly kind: 'unresolved'; readonly reason: string }

const reference = /^(resource|secret|service):\/\/(.*)$/

/** The variables as the workload gets them. Reasons name keys and references, never values. */
export async function resolveEnv(
  db: Database,
  sealing: Sealing,
  subject: { readonly teamId: string; readonly environment: string; readonly env: Env },
  services: Readonly<Record<string, string>> = {},
): Promise<Resolved> {
  const env: Record<string, string> = {}
  for (const [key, { value }] of Object.entries(subject.env)) {
    const [, scheme, name = ''] = reference.exec(value) ?? []
    if (scheme === undefined) {
      env[key] = value
      continue
    }
    const told = `${key} refers to ${scheme}://${name}`
    if (scheme === 'service') {
      const address = services[name]
      if (address === undefined) return { kind: 'unresolved', reason: `${told}, and there is no service of that name` }
      env[key] = address
      continue
    }
    if (scheme === 'secret') return { kind: 'unresolved', reason: `${told}, and this version of Pawl keeps no secrets` }
    const found = await liveNamed(db, subject.teamId, subject.environment, name)
    if (!found)
      return { kind: 'unresolved', reason: `${told}, and there is no resource of that name in ${subject.environment}` }
    const usable = ['ACTIVE', 'SUSPENDED'] as const
    if (!(usable as readonly string[]).includes(found.state) || found.connection === null) {
      const kind = comesTo(resourceMachine, found.state, usable) ? 'not-yet' : 'unresolved'
      return { kind, reason: `${told}, which is ${found.state}` }
    }
    env[key] = sealing.open(found.connection, [found.teamId, found.id, 'connection'])
  }
  return { kind: 'resolved', env }
}
