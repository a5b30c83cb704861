// One answer for many who ask at the same time. It is asked for after all of them came, so nobody is told what was true before:
// who comes while it is on its way gets the next one.

/** As `ask`, at most once at a time. */
export function together<T>(ask: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<unknown> = Promise.resolve()
  let next: Promise<T> | null = null
  return () => {
    next ??= underWay.then(() => {
      next = null
      const asked = ask()
      underWay = asked.catch(() => {})
      return asked
    })
    return next
  }
}
