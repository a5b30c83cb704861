// How a case of one mutation is told: the wish that would be accepted, what is otherwise in the rows or in the input, and what
// happens before it is asked for.
import type { UsageKind } from '../../../src/db/team.ts'
import { ask, type Case, payloadOf, type Wish } from './pair.ts'
import { type Ready, ready } from './ready.ts'
import type { But, Stage } from './stage.ts'

export interface Otherwise extends Pick<Case, 'again'> {
  /** Columns, by type. */
  readonly but?: But
  readonly input?: Wish['input'] | ((wish: Ready, stage: Stage) => Wish['input'] | Promise<Wish['input']>)
  /** What happens between the scene and the wish. */
  readonly also?: (stage: Stage, wish: Ready) => Promise<unknown>
  /** What is so while it asks, as in `Wish`. */
  readonly meanwhile?: (stage: Stage, wish: Ready) => Wish['meanwhile']
}

/** `mutation` is answered with `member`, because something is otherwise. */
export const refused = (
  mutation: string,
  member: string,
  because: string,
  { but = {}, input = {}, also, meanwhile, again }: Otherwise,
): Case => ({
  mutation,
  member,
  because,
  ...(again ? { again } : {}),
  async arrange(stage) {
    const wish = await ready(stage, mutation, but)
    await also?.(stage, wish)
    const more = typeof input === 'function' ? await input(wish, stage) : input
    const during = meanwhile?.(stage, wish)
    return { token: wish.token, input: { ...wish.input, ...more }, ...(during ? { meanwhile: during } : {}) }
  },
})

/** A call that has to be accepted on the way to a case. */
export async function accept(stage: Stage, mutation: string, wish: Wish) {
  const answered = await ask(stage, mutation, wish)
  if (answered.__typename !== payloadOf(mutation)) throw new Error(`${mutation} is not accepted: ${answered.message}`)
  return answered as unknown as Record<string, { id: string }>
}

/** The plan of the team has no room for another. */
export const full =
  (kind: UsageKind) =>
  ({ sql }: Stage, { scene }: Pick<Ready, 'scene'>) =>
    sql`update plan_usage set cap = used where team_id = ${scene.teamId} and kind = ${kind}`

/** Variables as they are stored. */
export const env = (values: Readonly<Record<string, string>>) =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      key,
      { value, revision: 1, changedAt: new Date().toISOString(), changedBy: 'test' },
    ]),
  )
/** A reference that leads nowhere, of each kind. */
export const nowhere = { SECRET: 'secret://NONE', RESOURCE: 'resource://none', SERVICE: 'service://none' }
export const asInput = (values: Readonly<Record<string, string>>) =>
  Object.entries(values).map(([key, value]) => ({ key, value }))
/** More than half of what all variables together may take. */
export const half = 'x'.repeat(40_000)
