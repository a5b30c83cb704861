// Answers that depend on who asks: a team that is being deleted, a token that may do no more than what it asks for, somebody who has
// nothing but an invitation. No remedy may be named to them that they may not call, or not read.
import type { Scope } from '../../../src/auth.ts'
import { createToken } from '../../fixture.ts'
import { putInvitation } from '../../member-row.ts'
import { createTeam, withTriggersOff } from '../../row.ts'
import { mutation as needs } from '../../sweep/expected-need.ts'
import { mutations } from '../../sweep/walk.ts'
import { ofNothing, takesNoId } from './every.ts'
import type { Case, Wish } from './pair.ts'
import { type Ready, ready } from './ready.ts'
import { full, refused } from './scene.ts'
import type { Stage } from './stage.ts'

/** Its team is being deleted; asked while it can be restored. */
const leaving = async ({ sql }: Stage, { scene }: Ready) =>
  withTriggersOff(sql, async (tx) => {
    const soon = new Date(Date.now() + 3_600_000)
    await tx`update team set state = 'DELETION_REQUESTED', deletion_at = ${soon} where id = ${scene.teamId}`
  })
const leavingCases: readonly Case[] = mutations
  .map(({ name }) => name)
  .filter((name) => !needs[name]?.whileLeaving && name !== 'acceptInvitation')
  .map((name) => refused(name, 'Forbidden', 'its team is being deleted', { also: leaving }))

/** By the owner's token that is good for this mutation and for nothing else. */
async function narrowly(stage: Stage, mutation: string, { scene }: Ready): Promise<Pick<Wish, 'token'>> {
  const { scopes = [], class: of = 'read' } = needs[mutation] ?? {}
  return createToken(stage.url, scene.teamId, { scopes: scopes as Scope[], classes: [of] })
}
const narrowCases: readonly Case[] = mutations
  .filter(({ name }) => !takesNoId(name) && !needs[name]?.allClasses && name !== 'acceptInvitation')
  .map(({ name: mutation }) => ({
    mutation,
    member: 'NotFound',
    because: 'by a token that is good for nothing else',
    async arrange(stage) {
      const wish = await ready(stage, mutation)
      const { input } = await ofNothing(stage, mutation, wish)
      return { input, token: (await narrowly(stage, mutation, wish)).token }
    },
  }))

/** By the token of the invitation itself. */
const invitedCases: readonly Case[] = (['members', 'owners'] as const).map((kind) => ({
  mutation: 'acceptInvitation',
  member: 'QuotaExceeded',
  because: `no room for ${kind}, by the token of the invitation`,
  async arrange(stage) {
    const { teamId } = await createTeam(stage.sql)
    const { token } = await putInvitation(stage.sql, { teamId, role: kind === 'owners' ? 'owner' : 'viewer' })
    await full(kind)(stage, { scene: { teamId, token, of: {} } })
    return { input: {}, token }
  },
}))

export const callerCases: readonly Case[] = [...leavingCases, ...narrowCases, ...invitedCases]
