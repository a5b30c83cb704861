// Who is asking: the token of this very request, and its team.
import { builder, type SchemaContext } from './builder.ts'
import { ApiTokenRef, TeamRef } from './ref.ts'

const ViewerRef = builder.objectRef<SchemaContext['actor']>('Viewer').implement({
  description: 'The caller.',
  fields: (t) => ({
    team: t.field({
      type: TeamRef,
      nullable: true,
      description: 'The team that the caller acts for.',
      resolve: (actor, _args, { loaders }) => loaders.team.load(actor.teamId),
    }),
    token: t.field({
      type: ApiTokenRef,
      nullable: true,
      description: 'The token that the call is made with.',
      resolve: (actor, _args, { loaders }) => loaders.apiToken.load(actor.id),
    }),
    scopes: t.stringList({ description: 'What the caller may do.', resolve: (actor) => [...actor.scopes].sort() }),
  }),
})

builder.queryField('viewer', (t) =>
  t.field({
    type: ViewerRef,
    description: 'Who is asking, and what they may do.',
    resolve: (_root, _args, { actor }) => actor,
  }),
)
