// What promotions, twins and the decisions about them are refused for.
import { ownerOf } from '../../owner.ts'
import { withTriggersOff } from '../../row.ts'
import type { Case } from './pair.ts'
import { approved, type Ready, toEnvironment } from './ready.ts'
import { accept, env, full, nowhere, refused } from './scene.ts'
import type { Stage } from './stage.ts'

const of = (more: object = {}) => ({ Stack: { env: {}, name: 'shop', ...more }, Resource: { name: 'db' } })
const service = { name: 'ours', image: 'ours', exposed: true }
type Columns = Readonly<Record<string, unknown>>

/** Changes the approval that the wish names. */
const approval =
  (columns: Columns) =>
  ({ sql }: Stage, { input }: Ready) =>
    withTriggersOff(sql, async (tx) => {
      await tx`update promotion_approval set ${tx(columns as never)} where id = ${String(input.approvalId)}`
    })
const past = () => new Date(Date.now() - 1_000)
/** A stack of the same name where it is promoted to. */
const target = (stage: Stage, { token }: Pick<Ready, 'token'>, more: object = {}) =>
  accept(stage, 'createStack', {
    token,
    input: { name: 'shop', environment: toEnvironment, services: [service], ...more },
  })
const twin = (stage: Stage, { token }: Pick<Ready, 'token'>) =>
  accept(stage, 'createResource', { token, input: { type: 'POSTGRES', name: 'db', environment: toEnvironment } })
const none = { approvalId: null }

/** What both uses of an approval are refused for on account of the approval. */
const ofApproval = (mutation: string, asking: string, other: string): Case[] => [
  refused(mutation, 'ApprovalRequired', 'there is one that can be used', {
    but: of(),
    input: none,
    again: { [mutation]: mutation === 'promoteStack' ? 'ApprovalRequired' : 'TwinExists' },
  }),
  refused(mutation, 'ApprovalRequired', 'there is none', {
    but: of(),
    also: approval({ state: 'REJECTED' }),
    input: none,
    again: { [asking]: 'ApprovalRequired' },
  }),
  refused(mutation, 'ApprovalRequired', 'one waits for a decision', {
    but: of(),
    also: approval({ state: 'PENDING' }),
    input: none,
  }),
  refused(mutation, 'ApprovalNotApproved', 'another member has asked', {
    but: of(),
    also: (stage, wish) => approval({ state: 'PENDING', requested_by: wish.scene.of.Member })(stage, wish),
  }),
  refused(mutation, 'ApprovalNotApproved', 'the caller has asked', { but: of(), also: approval({ state: 'PENDING' }) }),
  ...['REJECTED', 'WITHDRAWN'].map((state) =>
    refused(mutation, 'ApprovalNotApproved', state, {
      but: of(),
      also: approval({ state }),
      again: { [asking]: 'ApprovalNotApproved' },
    }),
  ),
  refused(mutation, 'ApprovalMismatch', 'for another environment', { but: of(), input: { toEnvironment: 'staging' } }),
  refused(mutation, 'ApprovalMismatch', 'for another kind', {
    but: of(),
    input: async ({ scene }, stage) => {
      const subject = other === 'requestTwin' ? { resourceId: scene.of.Resource } : { stackId: scene.of.Stack }
      return { approvalId: (await approved(stage, scene, other, subject)).approvalId }
    },
  }),
  ...[{ expires_at: past() }, { state: 'EXPIRED', expires_at: past() }].map((columns) =>
    refused(mutation, 'ApprovalExpired', 'state' in columns ? 'EXPIRED' : 'its time is over', {
      but: of(),
      also: approval(columns),
      again: { [asking]: 'ApprovalExpired' },
    }),
  ),
  refused(mutation, 'ApprovalAlreadyExecuted', 'used', {
    but: of(),
    also: (stage, wish) => accept(stage, mutation, wish),
  }),
]

const promotions: readonly Case[] = [
  ...ofApproval('promoteStack', 'requestPromotion', 'requestTwin'),
  refused('promoteStack', 'ApprovalStale', 'other services', {
    but: of(),
    also: (stage, { scene, token }) =>
      accept(stage, 'redeployStack', {
        token,
        input: { id: scene.of.Stack, services: [{ name: 'web', image: 'hello' }] },
      }),
    again: { requestPromotion: 'ApprovalStale' },
  }),
  refused('promoteStack', 'QuotaExceeded', 'no room', { but: of(), also: full('stacks') }),
  ...['promoteStack', 'requestPromotion'].flatMap((mutation) => [
    refused(mutation, 'MissingImage', 'one is unknown', {
      but: of(),
      also: async ({ unknownImages, sql }, { scene }) => {
        const image = `gone-${scene.teamId}`
        unknownImages.add(image)
        await withTriggersOff(sql, async (tx) => {
          await tx`update stack set services = ${tx.json([{ ...service, image, port: null }])} where id = ${String(scene.of.Stack)}`
        })
      },
      input: mutation === 'promoteStack' ? none : {},
    }),
    refused(mutation, 'NoServices', 'there are none', {
      but: of(),
      also: ({ sql }, { scene }) =>
        withTriggersOff(sql, async (tx) => {
          await tx`update stack set services = '[]' where id = ${String(scene.of.Stack)}`
        }),
      input: mutation === 'promoteStack' ? none : {},
    }),
    refused(mutation, 'SecretUnresolved', 'references', {
      but: of(),
      also: ({ sql }, { scene }) =>
        withTriggersOff(sql, async (tx) => {
          await tx`update stack set env = ${tx.json(env(nowhere))} where id = ${String(scene.of.Stack)}`
        }),
      input: mutation === 'promoteStack' ? none : {},
    }),
    refused(mutation, 'StackDeleting', 'the source', {
      but: of(),
      also: (stage, { scene, token }) => accept(stage, 'deleteStack', { token, input: { id: scene.of.Stack } }),
    }),
    refused(mutation, 'StackDeleting', 'the target', {
      but: of(),
      also: async (stage, wish) => {
        const { stack } = await target(stage, wish)
        await accept(stage, 'deleteStack', { token: wish.token, input: { id: stack?.id } })
      },
    }),
  ]),
  refused('promoteStack', 'SecretUnresolved', 'nothing secret is copied without an approval', {
    but: {
      ...of({ env: env({ KEY: 'secret://SHARED' }), environment: 'staging' }),
      Secret: { name: 'SHARED', environment: 'staging' },
    },
    also: async () => {},
    input: { ...none, toEnvironment: 'development' },
    again: { requestPromotion: 'SecretUnresolved' },
  }),
  refused('requestPromotion', 'NothingToPromote', 'the target has all', { but: of(), also: target }),
]

const twins: readonly Case[] = [
  ...ofApproval('twinResource', 'requestTwin', 'requestPromotion'),
  refused('twinResource', 'ApprovalStale', 'of another form of the plan', {
    but: of(),
    also: approval({ plan_digest: 'another' }),
    again: { requestTwin: 'ApprovalStale' },
  }),
  refused('twinResource', 'QuotaExceeded', 'no room', { but: of(), also: full('resources') }),
  ...['twinResource', 'requestTwin'].flatMap((mutation) => [
    refused(mutation, 'TwinExists', 'there is one', { but: of(), also: twin }),
    refused(mutation, 'ResourceAlreadyDeleted', 'the source', {
      but: of(),
      also: (stage, { scene, token }) => accept(stage, 'deleteResource', { token, input: { id: scene.of.Resource } }),
    }),
  ]),
]

const asked = (columns: Columns) => ({ ...of(), PromotionApproval: columns })
const decisions: readonly Case[] = [
  refused('approvePromotion', 'ApprovalExpired', 'its time is over', {
    but: asked({ expires_at: past() }),
    again: { requestPromotion: 'ApprovalExpired' },
  }),
  ...['approvePromotion', 'rejectPromotion', 'withdrawPromotion'].flatMap((mutation) => [
    refused(mutation, 'ApprovalExpired', 'EXPIRED', {
      but: asked({ state: 'EXPIRED', expires_at: past() }),
      again: { requestPromotion: 'ApprovalExpired' },
    }),
    ...['REJECTED', 'WITHDRAWN', 'EXECUTED'].map((state) =>
      refused(mutation, 'IllegalState', state, { but: asked({ state }) }),
    ),
  ]),
  refused('approvePromotion', 'SelfApprovalForbidden', 'the team says never', {
    but: { ...of(), Team: { self_approval: 'NEVER' } },
    also: ({ sql }, { scene }) =>
      withTriggersOff(sql, async (tx) => {
        await tx`update promotion_approval set requested_by = ${ownerOf(scene.teamId)} where id = ${String(scene.of.PromotionApproval)}`
      }),
  }),
]

export const promotionCases: readonly Case[] = [...promotions, ...twins, ...decisions]
