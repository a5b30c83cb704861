// Which deployments of the seed are asked for, by their numbers alone: those of the small teams, whose state follows from the
// number (growth-seed.ts). No list of ids has to be carried anywhere.

/** What is in the database, and with which tokens it can be asked: the team 1 + n has the token n. */
export interface Seeded {
  readonly rows: number
  readonly tokens: readonly string[]
}

export const idOf = (prefix: string, n: number): string => `${prefix}_${String(n).padStart(26, '0')}`

/** Which hundredths of the seed are what; odd ones, for even numbers belong to the big team. */
export const shares = {
  redeployable: { first: 1, count: 30 },
  stopped: { first: 61, count: 5 },
  deleted: { first: 71, count: 15 },
} as const
export type Share = keyof typeof shares

/** The number n with `n * 37 % 100 = share`, of the hundred that `q` says: 73 is the inverse of 37. */
export const numberOf = (share: number, q: number): number => 100 * q + ((73 * share) % 100)

/** A random number of that kind. */
export function anyOf({ rows }: Seeded, kind: Share, random = Math.random): number {
  const { first, count } = shares[kind]
  return numberOf(first + 2 * Math.floor(random() * count), Math.floor((random() * rows) / 100))
}

/** Which of the teams 1, 2 … has the deployment of that number. */
export const teamOf = ({ tokens }: Pick<Seeded, 'tokens'>, n: number): number => 1 + (Math.floor(n / 2) % tokens.length)

/** The token of the team that has it. */
export const tokenOf = (seeded: Seeded, n: number): string => seeded.tokens[teamOf(seeded, n) - 1] as string
