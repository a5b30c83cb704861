// Which call may still act on a resource, pure and shared by all provisioners: the rule of the runtime drivers' fence,
// and on top of it that a removal ends what may be made. Only the place where the fence is kept differs.
import { createHash } from 'node:crypto'
import { type Fence, type Refused, refused, type Stale, stale } from '../outcome.ts'
import { admit, type SeenFence } from '../runtime/fence.ts'
import type { ResourceRef } from './driver.ts'

export type { SeenFence } from '../runtime/fence.ts'

/** What a call is about: to make the resource, to change one that is there, or to remove it. */
export type CallKind = 'make' | 'change' | 'remove'

/** Says whether the call may act, and what is seen from then on; a removal counts from the moment it is let through. */
export function admitCall(seen: SeenFence | null, fence: Fence, call: CallKind): SeenFence | Stale {
  if (seen?.removed && call === 'change') return stale(`The resource was removed at generation ${seen.generation}`)
  if (seen?.removed && call === 'make' && fence.generation <= seen.generation) {
    return stale(`The resource was removed at generation ${seen.generation}: nothing of it is made again`)
  }
  const words = { make: 'ensure', change: 'stop', remove: 'remove' } as const
  const admission = admit(seen, fence, words[call])
  if (!admission.admitted) return stale(admission.reason)
  return call === 'remove' ? { ...admission.next, removed: true } : admission.next
}

/** What makes a call senseless, whatever there is; null when it makes sense. */
export function senseless(ref: ResourceRef, fence: Fence | null, password?: string): Refused | null {
  if (!/^[A-Za-z0-9_-]{8,48}$/.test(ref.incarnation))
    return refused('The incarnation is not 8 to 48 letters and digits')
  if (fence !== null && fence.subjectId !== ref.subjectId) return refused('The fence belongs to another resource')
  // 22 letters and digits hold 128 bits; a shorter one could be guessed from what is kept of it.
  if (password !== undefined && !/^[A-Za-z0-9]{22,128}$/.test(password)) {
    return refused('The password is not 22 to 128 letters and digits')
  }
  return null
}

/** The name of everything that carries the incarnation. */
export const physicalName = (ref: ResourceRef): string => `pawl_${ref.incarnation}`

/** Said of a name that is there and was not made here. */
export const foreign = (ref: ResourceRef): Refused =>
  refused(`There is a ${physicalName(ref)} that Pawl did not make: it is left alone`)

/** Said when the record of the incarnation names another subject. */
export const ofAnother = (ref: ResourceRef): Refused => refused(`${physicalName(ref)} belongs to another resource`)

/** What a ledger keeps to know a password again: of 128 random bits and more, so it cannot be guessed from this. */
export const fingerprint = (password: string): string => createHash('sha256').update(password).digest('hex')
