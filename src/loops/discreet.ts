// What a driver says is stored and logged, and it should never hold a secret that it was given. Should one repeat it all the
// same, as servers do that echo what they refuse, it is taken out here.
import type { Outcome } from '../drivers/outcome.ts'

/** Shorter ones are not looked for: they are in every other word. */
const shortest = 4

/** Runs a driver's call that was given secrets, and takes them out of whatever it says or throws. */
export async function discreet<T>(secrets: readonly string[], run: () => Promise<Outcome<T>>): Promise<Outcome<T>> {
  // The longest first: one may be a part of another.
  const hidden = secrets.filter(({ length }) => length >= shortest).sort((a, b) => b.length - a.length)
  const without = (text: string) => hidden.reduce((rest, secret) => rest.replaceAll(secret, '[secret]'), text)
  try {
    const outcome = await run()
    if (outcome.kind === 'done') return outcome
    return outcome.kind === 'working'
      ? { ...outcome, detail: without(outcome.detail) }
      : { ...outcome, reason: without(outcome.reason) }
  } catch (error) {
    if (!(error instanceof Error)) throw new Error(without(String(error)))
    throw Object.assign(new Error(without(error.message)), { name: error.name, stack: without(error.stack ?? '') })
  }
}
