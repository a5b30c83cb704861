// The last events that were read, of all teams, in order, and from where to where they are all there. Bounded in number and
// in bytes: what does not fit goes, oldest first.
import type { EventView } from '../resolvers/event-read.ts'

export interface Ring {
  /** All events after this position, through `end`, are here. */
  readonly begin: number
  readonly end: number
  readonly size: number
  /** Takes what follows `end`, in order. */
  add(events: readonly EventView[]): void
  /** The first one after a position that is wanted; undefined for none, and where not all after it are here. */
  after(position: number, wanted: (event: EventView) => boolean): EventView | undefined
}

/** All bounds of the data of events together: most have none, a merge of env may name a thousand keys. */
const maxDataBytes = 8_388_608

/** Empty, from that position on. */
export function createRing(position: number, maxEvents: number): Ring {
  let kept: { readonly event: EventView; readonly bytes: number }[] = []
  let [begin, end, dataBytes] = [position, position, 0]

  return {
    get begin() {
      return begin
    },
    get end() {
      return end
    },
    get size() {
      return kept.length
    },
    add(events) {
      for (const event of events) {
        const bytes = event.data ? JSON.stringify(event.data).length : 0
        kept.push({ event, bytes })
        dataBytes += bytes
        end = Number(event.position)
      }
      let gone = Math.max(0, kept.length - maxEvents)
      for (const { bytes } of kept.slice(0, gone)) dataBytes -= bytes
      for (; dataBytes > maxDataBytes; gone++) dataBytes -= kept[gone]?.bytes ?? 0
      if (gone === 0) return
      begin = Number(kept[gone - 1]?.event.position)
      kept = kept.slice(gone)
    },
    after(position, wanted) {
      if (position < begin) return undefined
      for (let at = firstAfter(position); at < kept.length; at++) {
        const event = kept[at]?.event
        if (event && wanted(event)) return event
      }
      return undefined
    },
  }

  /** By halves: most ask for what has just come, some for what came long before. */
  function firstAfter(position: number): number {
    let [low, high] = [0, kept.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (Number(kept[middle]?.event.position) > position) high = middle
      else low = middle + 1
    }
    return low
  }
}
