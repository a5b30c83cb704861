// For every mutation a wish that is accepted: the columns of a scene that it needs beside what test/sweep/maker.ts has, and the
// input of test/sweep/valid-input.ts. All other answers that every mutation has are brought about by spoiling such a wish.
import { putInvitation } from '../../member-row.ts'
import { createTeam } from '../../row.ts'
import { validInputs } from '../../sweep/valid-input.ts'
import { ask, payloadOf, type Wish } from './pair.ts'
import { type But, putScene, type Scene, type Stage } from './stage.ts'

export interface Ready extends Wish {
  readonly scene: Scene
}

/** What is otherwise than in maker.ts where the mutation is to be accepted. */
const columns: Readonly<Record<string, But>> = {
  startDeployment: { Deployment: { env: {}, state: 'STOPPED' } },
  resumeResource: { Resource: { state: 'PAUSED' } },
  retryOperation: { Operation: { state: 'FAILED' }, Deployment: { env: {}, state: 'FAILED' } },
  cancelOperation: { Deployment: { env: {}, state: 'BUILDING' } },
  restoreTeam: { Team: { state: 'DELETION_REQUESTED', deletion_at: new Date(Date.now() + 3_600_000) } },
}

/** What comes before the wish, and what the input has more for that. */
const before: Readonly<Record<string, (stage: Stage, scene: Scene) => Promise<Wish['input']>>> = {
  promoteStack: (stage, scene) => approved(stage, scene, 'requestPromotion', { stackId: scene.of.Stack }),
  twinResource: (stage, scene) => approved(stage, scene, 'requestTwin', { resourceId: scene.of.Resource }),
  acceptInvitation: async ({ sql }) => {
    const { teamId } = await createTeam(sql)
    return { token: (await putInvitation(sql, { teamId })).token }
  },
}

export const toEnvironment = 'production'

/** Asks for an approval and gives it, by the owner; returns the input that uses it. */
export async function approved(stage: Stage, { token }: Scene, mutation: string, input: object) {
  const asked = await ask(stage, mutation, { input: { ...input, toEnvironment }, token })
  const { approval } = asked as unknown as { approval?: { id: string } }
  if (!approval) throw new Error(`no approval was asked for: ${asked.message}`)
  const answer = await ask(stage, 'approvePromotion', { input: { id: approval.id }, token })
  if (answer.__typename !== payloadOf('approvePromotion')) throw new Error(`not approved: ${answer.message}`)
  return { ...input, toEnvironment, approvalId: approval.id }
}

let made = 0

/** The input that sweeps send, for the objects of a scene; each with other names. */
export function validInput(mutation: string, { of }: Scene): Wish['input'] {
  const input = validInputs[mutation]
  if (!input) throw new Error(`test/sweep/valid-input.ts has no row for ${mutation}`)
  return input(of, ++made)
}

/** A wish that is accepted, on a scene of its own; `but` is what is otherwise in it. */
export async function ready(stage: Stage, mutation: string, but: But = {}): Promise<Ready> {
  const scene = await putScene(stage, { ...columns[mutation], ...but })
  const more = await before[mutation]?.(stage, scene)
  return { scene, token: scene.token, input: { ...validInput(mutation, scene), ...more } }
}
