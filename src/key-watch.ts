// Whether every key that has sealed something in the database is held here: asked when readiness is asked for, and seldom.
// A process that lacks one is not ready and says so in one line; what other keys have sealed still works, so it is not ended.
import type { Log } from './log.ts'

/** How long an answer is believed: a good one, and a bad one. */
const goodForMs = 60_000
const badForMs = 5_000

export interface KeyWatch {
  /** False while something is stored that was sealed with a key that is not held. */
  allHeld(): Promise<boolean>
}

/** Watches over `missing`, which counts what is sealed with keys that are not held; a count that fails changes nothing. */
export function watchKeys(missing: () => Promise<readonly { keyId: string; count: number }[]>, log: Log): KeyWatch {
  let lacking: string | null = null
  let until = 0
  let asking: Promise<void> | null = null
  const ask = async () => {
    const found = await missing()
    const now = found.map(({ keyId, count }) => `${keyId} (${count} stored)`).join(', ')
    if (now !== '' && now !== lacking) {
      log.error(
        `not ready: secrets are stored that no key of PAWL_SECRET_KEYS can open; the missing key: ${now}. Put it back, after the one that seals`,
      )
    }
    if (now === '' && lacking) log.info('every key that has sealed something is held again')
    lacking = now
    until = Date.now() + (now === '' ? goodForMs : badForMs)
  }
  return {
    async allHeld() {
      if (lacking === null || Date.now() >= until) {
        asking ??= ask().finally(() => {
          asking = null
        })
        await asking.catch((error: unknown) => {
          // Readiness asks the database itself, too.
          if (lacking === null) throw error
        })
      }
      return lacking === ''
    },
  }
}
