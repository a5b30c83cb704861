// Whether a call would be accepted that is to be named as a remedy: found out, not guessed. Where it would not, what hinders it
// is told instead.
import type { Context } from '../context.ts'
import type { UsageKind } from '../db/team.ts'
import { advice, type Remedy } from '../refusals.ts'
import { planIsFull } from './plan.ts'
import type { Referring } from './reference.ts'
import { absentOf, waysToResolve } from './reference-refusal.ts'
import type { Database } from './transition.ts'

/** What leads past it; null where nothing hinders. */
export type Hindrance = readonly Remedy[] | null

/** The remedy, or what leads past the first thing that hinders it. */
export async function unless(remedy: Remedy, ...hindrances: readonly Promise<Hindrance>[]): Promise<readonly Remedy[]> {
  const found = await Promise.all(hindrances)
  return found.find((each) => each !== null) ?? [remedy]
}

/** The plan has no room for one more. */
export async function noRoom(db: Database, teamId: string, kind: UsageKind): Promise<Hindrance> {
  const { facts, remedies } = await planIsFull(db, teamId, kind)
  return Number(facts.used) < Number(facts.cap) ? null : remedies
}

/** References of its variables lead nowhere. */
export async function leadsNowhere(db: Database, subject: Referring): Promise<Hindrance> {
  const absent = await absentOf(db, subject, [])
  return absent.length === 0 ? null : waysToResolve(subject, absent)
}

/** The runtime does not know one of the images; a doubt is none. Of those that a call has named it was asked before. */
export async function unknownImage({ images }: Context, ...named: readonly string[]): Promise<Hindrance> {
  const wanted = [...new Set(named)]
  const outcomes = await Promise.all(wanted.map((image) => images.resolveImage(image, AbortSignal.timeout(5_000))))
  const unknown = wanted.filter((_, nth) => outcomes[nth]?.kind === 'refused')
  return unknown.length === 0 ? null : [advice(`The runtime does not know ${unknown.join(', ')}: name another image.`)]
}
