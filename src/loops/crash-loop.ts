// How it is said that nothing is restarted any more.

/** `restarts` of them in a row, and the reason of the last death. */
export const crashLoop = (restarts: number, last: string): string =>
  `crash loop: it was started again ${restarts} times and never stayed up for 10 minutes; the last time: ${last}`
