// Who is given the places in which deliveries are sent. Receivers are strangers: what one of them, or all of one team, or all that
// did not answer the last time can take up together is bounded, so that whoever answers always finds a place.

/** Attempts of one process at a time. */
const places = 32
/** A webhook that has so many under way is given no more. As many are claimed by one statement, so it may be twice that. */
export const perWebhook = 4
/** The same for all webhooks of a team: three teams of new receivers that never answer fill all places, once, for 5 s. */
const perTeam = 12
/** And for all webhooks together that failed the last time: each of them has one place. */
const forAiling = 8
/** How many of these are remembered; the one that failed longest ago is forgotten first. */
const remembered = 1_000

interface Who {
  readonly webhookId: string
  readonly teamId: string
}

export class Places {
  readonly #taken = new Map<symbol, Who>()
  readonly #ailing = new Set<string>()

  get taken(): number {
    return this.#taken.size
  }

  get free(): number {
    return places - this.#taken.size
  }

  /** Takes a place; the function that is returned gives it back, and is told whether it arrived. */
  take({ webhookId, teamId }: Who): (arrived: boolean) => void {
    const place = Symbol()
    this.#taken.set(place, { webhookId, teamId })
    return (arrived) => {
      this.#taken.delete(place)
      this.#ailing.delete(webhookId)
      if (arrived) return
      this.#ailing.add(webhookId)
      const [oldest] = this.#ailing
      if (this.#ailing.size > remembered && oldest) this.#ailing.delete(oldest)
    }
  }

  /** Who is given none now. */
  full(): { readonly webhooks: string[]; readonly teams: string[] } {
    const byWebhook = counted([...this.#taken.values()].map(({ webhookId }) => webhookId))
    const byTeam = counted([...this.#taken.values()].map(({ teamId }) => teamId))
    const ailing = [...byWebhook].filter(([webhookId]) => this.#ailing.has(webhookId))
    const noneForAiling = ailing.reduce((sum, [, count]) => sum + count, 0) >= forAiling
    const busy = [...byWebhook].filter(([, count]) => count >= perWebhook)
    return {
      webhooks: [
        ...new Set([...[...busy, ...ailing].map(([webhookId]) => webhookId), ...(noneForAiling ? this.#ailing : [])]),
      ],
      teams: [...byTeam].flatMap(([teamId, count]) => (count >= perTeam ? [teamId] : [])),
    }
  }
}

function counted(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}
