// Who is asking: the credential of this very request, what it may do, and the teams of whoever is behind it.
import { type Membership, maxMemberships, membershipsOf } from '../resolvers/member-read.ts'
import { builder, type SchemaContext } from './builder.ts'
import { RoleRef } from './member.ts'
import { ApiTokenRef, MemberRef, TeamRef } from './ref.ts'

const MembershipRef = builder.objectRef<Membership>('Membership').implement({
  description: 'A team that the caller is a member of, under the same identity.',
  fields: (t) => ({
    teamId: t.exposeID('teamId', { description: 'Its id: what the header `Pawl-Team` takes.' }),
    name: t.exposeString('name', { description: 'The name of the team.' }),
    state: t.exposeString('state', { description: 'The state of the team.' }),
    role: t.field({ type: RoleRef, description: 'What the caller may do there at most.', resolve: (row) => row.role }),
    memberId: t.exposeID('memberId', { description: 'The id of the member that the caller is there.' }),
  }),
})

const ViewerRef = builder.objectRef<SchemaContext['actor']>('Viewer').implement({
  description: 'The caller.',
  fields: (t) => ({
    team: t.field({
      type: TeamRef,
      nullable: true,
      description: 'The team that the caller acts for.',
      resolve: (actor, _args, { loaders }) => loaders.team.load(actor.teamId),
    }),
    member: t.field({
      type: MemberRef,
      nullable: true,
      description: 'The member that the caller is.',
      resolve: (actor, _args, { loaders }) => (actor.memberId === null ? null : loaders.member.load(actor.memberId)),
    }),
    role: t.field({
      type: RoleRef,
      nullable: true,
      description: 'What that member may do at most.',
      resolve: (actor) => actor.role,
    }),
    token: t.field({
      type: ApiTokenRef,
      nullable: true,
      description: 'The token that the call is made with; null for a call with a token of an OIDC issuer.',
      resolve: (actor, _args, { loaders }) => (actor.kind === 'token' ? loaders.apiToken.load(actor.id) : null),
    }),
    scopes: t.stringList({
      description: 'What the caller may do: of what its token was given, that which its role has.',
      resolve: (actor) => [...actor.scopes].sort(),
    }),
    actionClasses: t.stringList({
      description: 'Actions of which gravity it may take: read, reversible, creating, irreversible.',
      resolve: (actor) => [...actor.classes].sort(),
    }),
    teams: t.field({
      type: [MembershipRef],
      description: `Every team that the caller is a member of, oldest membership first; ${maxMemberships} at most.`,
      complexity: 5,
      resolve: async (actor, _args, { db, loaders }) => {
        const self = actor.memberId === null ? null : await loaders.member.load(actor.memberId)
        return self ? membershipsOf(db, self.identity) : []
      },
    }),
  }),
})

builder.queryField('viewer', (t) =>
  t.field({
    type: ViewerRef,
    description: 'Who is asking, and what they may do.',
    resolve: (_root, _args, { actor }) => actor,
  }),
)
