// What callers of a team know of it: the ids and versions of what they have made or seen, the newest few of each type, and what
// went into the request of an approval. Ended things stay in it for a while, as they do with real callers.
import type { IdEntity } from '../../../src/db/id.ts'
import { newId } from '../../../src/db/id.ts'

export interface Known {
  readonly id: string
  version: string | null
  /** The input that made it. */
  readonly from: Readonly<Record<string, unknown>>
}

const keptOfAType = 12
/** So few that most of them are used before they are forgotten. */
const keptApprovals = 2

export class Book {
  readonly #known = new Map<string, Known[]>()
  /** Plaintext of invitations that nobody has used yet. */
  readonly invitations: string[] = []

  /** Writes down what a payload has shown. */
  note(type: string, id: string, version: string | null, from: Known['from']): void {
    const list = this.#known.get(type) ?? []
    this.#known.set(type, list)
    const known = list.find((one) => one.id === id)
    if (known) known.version = version ?? known.version
    else if (list.push({ id, version, from }) > (type === 'PromotionApproval' ? keptApprovals : keptOfAType))
      list.shift()
  }

  /** One of that type, by any number; of a type that nothing is known of, an id that is nothing's. */
  some(type: IdEntity, number: number): Known {
    const list = this.#known.get(type) ?? []
    return list[number % Math.max(list.length, 1)] ?? { id: newId(type), version: null, from: {} }
  }

  /** One of the approvals that were asked for about that kind of subject. */
  approval(subject: 'stackId' | 'resourceId', number: number): Known {
    const list = this.#known.get('PromotionApproval')?.filter(({ from }) => Object.hasOwn(from, subject)) ?? []
    return list[number % Math.max(list.length, 1)] ?? this.some('PromotionApproval', number)
  }

  /** The version that was seen of it last; null when none was. */
  versionOf(id: string): string | null {
    for (const list of this.#known.values()) {
      const known = list.find((one) => one.id === id)
      if (known) return known.version
    }
    return null
  }
}
