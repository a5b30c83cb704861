// API tokens in the schema: what is known of them, never the token itself, which is shown once by the mutation that makes it.
import { entityOfId } from '../db/id.ts'
import { apiTokenMachine } from '../lifecycle/api-token.ts'
import { apiTokenActions } from '../resolvers/allowed-action.ts'
import * as calls from '../resolvers/api-token.ts'
import { type ApiTokenFilter, apiTokenFilter, apiTokens } from '../resolvers/api-token-read.ts'
import { countOf, pageOf } from '../resolvers/page.ts'
import { builder, type Fields } from './builder.ts'
import { connect, connectionOf, pageArgs, pageCost } from './connection.ts'
import { eventsField } from './event.ts'
import { lifecycleFields, stateEnum } from './lifecycle.ts'
import { declareMutation } from './mutation.ts'
import { ApiTokenRef, MemberRef, NodeRef } from './ref.ts'

const ApiTokenState = stateEnum(apiTokenMachine)

ApiTokenRef.implement({
  description: 'A token by which somebody calls this API for the team.',
  interfaces: [NodeRef],
  fields: (t) => ({
    ...lifecycleFields(t, ApiTokenState as never, (row, { actor }) => apiTokenActions(actor, row)),
    name: t.exposeString('name', { description: 'What it is for.' }),
    scopes: t.exposeStringList('scopes', { description: 'What it may do: read, deploy, env:read, admin and others.' }),
    actionClasses: t.exposeStringList('actionClasses', {
      description: 'Actions of which gravity: read, reversible, creating, irreversible.',
    }),
    member: t.field({
      type: MemberRef,
      nullable: true,
      description: 'Whom it stands for: it may do no more than the role of this member, and ends with it.',
      resolve: (row, _args, { loaders }) => loaders.member.load(row.memberId),
    }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime', description: 'Until when it works.' }),
    lastUsedAt: t.expose('lastUsedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was last used, to the minute; null when never.',
    }),
    events: eventsField(t, 'What became of it, oldest first.'),
  }),
})

const ApiTokenConnection = connectionOf(ApiTokenRef, 'newest first')

const Filter = builder.inputType('ApiTokenFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    states: t.field({ type: [ApiTokenState], description: 'Only in one of these states; none matches an empty list.' }),
  }),
})

builder.queryFields((t) => ({
  apiToken: t.field({
    type: ApiTokenRef,
    nullable: true,
    description: 'An API token by its id; null when it is not there or is another team’s.',
    args: { id: t.arg.id({ required: true, description: 'Its id, `tok_…`.' }) },
    resolve: async (_root, { id }, { loaders }) => (entityOfId(id) === 'ApiToken' ? loaders.apiToken.load(id) : null),
  }),
  apiTokens: t.field({
    type: ApiTokenConnection,
    description: 'The API tokens of the team, newest first; ended ones too, unless the filter says otherwise.',
    args: { ...pageArgs(), filter: t.arg({ type: Filter, description: 'Which ones.' }) },
    complexity: pageCost,
    resolve: async (_root, args, context) => {
      const filter = apiTokenFilter(args.filter as ApiTokenFilter | null)
      const { db, actor } = context
      const page = await pageOf(db, actor.teamId, apiTokens, args, filter)
      return connect(context, apiTokens, page, () => countOf(db, actor.teamId, apiTokens, filter))
    },
  }),
}))

type Answered = Fields<calls.ApiTokenPayload>
const token = (t: Answered) =>
  t.field({
    type: ApiTokenRef,
    nullable: true,
    description: 'The token after the move; never null here.',
    resolve: (row) => row.token,
  })

declareMutation<calls.ApiTokenPayload>({
  name: 'createApiToken',
  machine: apiTokenMachine,
  summary:
    'Makes a token of the caller, who stands behind all that is done with it: it may never do more than the caller’s role, and ' +
    'is dead when the caller is removed. It can be given only scopes and action classes that the caller has. Its plaintext is shown once, here.',
  undo: '`revokeApiToken`.',
  versioned: false,
  input: (t) => ({
    name: t.string({ required: true, description: 'What it is for: 1 to 100 characters.' }),
    scopes: t.stringList({ required: true, description: 'At least one of those that the caller has.' }),
    actionClasses: t.stringList({
      description:
        'At least one of read, reversible, creating, irreversible that the caller has; all of the caller’s when nothing is said.',
    }),
    expiresAt: t.field({
      type: 'DateTime',
      description: `Until when it works: at most 366 days from now; ${calls.defaultTokenDays} days when nothing is said.`,
    }),
  }),
  payload: (t) => ({
    token: token(t),
    plaintext: t.string({
      nullable: true,
      description: 'The token itself. Shown once and kept nowhere: null in a replay.',
      resolve: (row) => row.plaintext,
    }),
  }),
  refusals: [],
  resolve: calls.createApiToken,
})

declareMutation<calls.ApiTokenPayload>({
  name: 'revokeApiToken',
  machine: apiTokenMachine,
  summary: 'Takes a token back, at once and for good; also the one that the call is made with.',
  undo: 'none: make a new one by `createApiToken`.',
  versioned: true,
  input: (t) => ({ id: t.id({ required: true, description: 'Id of the token, `tok_…`.' }) }),
  payload: (t) => ({ token: token(t) }),
  refusals: ['TokenAlreadyRevoked'],
  resolve: calls.revokeApiToken,
})
