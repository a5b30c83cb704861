// Chance from a seed: whoever names the same things gets the same throws, whatever others have thrown in between. So the orders
// of a soak are the same each time, although their interleaving is not.
import { seeded } from '../../../src/drivers/runtime/fake-host.ts'

export class Dice {
  readonly #next: () => number

  /** Names what is thrown for, as `7/caller/3/120`. */
  constructor(name: string) {
    // FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/
    let hash = 0x811c9dc5
    for (const char of name) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193)
    this.#next = seeded(hash)
  }

  /** Whether something of that probability happens. */
  chance(probability: number): boolean {
    return this.#next() < probability
  }

  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.#next() * (high - low + 1))
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)] as T
  }

  /** One of the names, each as often as its weight says. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const entries = Object.entries<number>(weights) as [K, number][]
    let left = this.#next() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [name, weight] of entries) {
      left -= weight
      if (left < 0) return name
    }
    return (entries.at(-1) as [K, number])[0]
  }
}
