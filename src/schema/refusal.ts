// Refusals as types: the interface, one object per entry of the catalogue with its own facts, and the result unions. A
// refusal that is added to the catalogue and not described here fails to compile.
import type { Refusal, RefusalName, Remedy } from '../refusals.ts'
import { codeOf, refusalCatalogue, refusalNames } from '../refusals.ts'
import { builder, type Fields } from './builder.ts'
import {
  ApiTokenRef,
  ApprovalRef,
  DeploymentRef,
  InstanceRef,
  InvitationRef,
  MemberRef,
  OperationRef,
  ResourceRef,
  SecretRef,
  StackRef,
  TeamRef,
  WebhookDeliveryRef,
  WebhookRef,
} from './ref.ts'

export const RemedyRef = builder.objectRef<Remedy>('Remedy').implement({
  description: 'What would be accepted instead: a call with its arguments filled in, or advice where no call helps.',
  fields: (t) => ({
    mutation: t.exposeString('mutation', {
      nullable: true,
      description: 'Name of the mutation to call; null when none is.',
    }),
    query: t.exposeString('query', { nullable: true, description: 'Name of the query to look at; null when none is.' }),
    arguments: t.field({
      type: 'JSON',
      nullable: true,
      description: 'All its arguments, ready to be sent: `{ "input": … }` for a mutation.',
      resolve: (remedy) => remedy.arguments,
    }),
    explanation: t.exposeString('explanation', { description: 'What it does, for people.' }),
  }),
})

const RefusalCode = builder.enumType('RefusalCode', {
  description: 'Stable codes of all refusals: decide by these, never by the message. More may be added.',
  values: Object.fromEntries(
    refusalNames.map((name) => [codeOf(name), { description: refusalCatalogue[name].description }]),
  ),
})

const RefusalRef = builder.interfaceRef<Refusal>('Refusal').implement({
  description: 'A typed “no”: why nothing was changed, whether to ask again, and what would be accepted instead.',
  resolveType: ({ refusal }) => refusal,
  fields: (t) => ({
    code: t.field({ type: RefusalCode, description: 'The stable code.', resolve: ({ refusal }) => codeOf(refusal) }),
    message: t.exposeString('message', {
      description: 'One or two sentences for people; it names what was really found.',
    }),
    retryable: t.exposeBoolean('retryable', { description: 'Whether the very same call may succeed later by itself.' }),
    retryAfterMs: t.exposeInt('retryAfterMs', {
      nullable: true,
      description: 'When to try again at the earliest, where that is known.',
    }),
    remedies: t.field({
      type: [RemedyRef],
      description:
        'The next legal calls, best first. Every mutation named here is accepted as it stands, unless somebody is faster.',
      resolve: ({ remedies }) => remedies,
    }),
  }),
})

const FaultRef = builder.objectRef<{ path: readonly string[]; message: string }>('InputFault').implement({
  description: 'One thing that is wrong with an input.',
  fields: (t) => ({
    path: t.stringList({
      description: 'Where, e.g. `["input", "env", "0", "key"]`.',
      resolve: ({ path }) => [...path],
    }),
    message: t.exposeString('message', { description: 'What is wrong with it, and what is allowed.' }),
  }),
})

interface KeyFacts {
  readonly key: string
  readonly revision: number | null
  readonly changedAt: string | null
  readonly changedBy: string | null
}
const ConflictRef = builder.objectRef<KeyFacts>('EnvKeyConflict').implement({
  description: 'An environment variable that is not as the caller expected it.',
  fields: (t) => ({
    key: t.exposeString('key', { description: 'Its name.' }),
    revision: t.exposeInt('revision', {
      nullable: true,
      description: 'Its revision now; null when the key is not there.',
    }),
    changedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it was last set; null when the key is not there.',
      resolve: (row) => row.changedAt,
    }),
    changedBy: t.exposeString('changedBy', {
      nullable: true,
      description: 'Id of who set it last; null when the key is not there.',
    }),
  }),
})

/** A fact is of the type that its refusal always gives it; a wrong one fails when it is serialized. */
const fact = (refusal: Refusal, name: string) => refusal.facts[name] as never
type Refused = Fields<Refusal>

/** The object as it was really found. Nullable here and in payloads: one selection of it must do for all members of a union. */
const foundOne = (t: Refused, name: Found) =>
  t.field({
    type: foundTypes[name] as typeof DeploymentRef,
    nullable: true,
    description: `The ${name} as it was really found, when it is about one.`,
    resolve: (row) => (fact(row, factOf[name] ?? name) ?? null) as never,
  })
const foundTypes = {
  deployment: DeploymentRef,
  resource: ResourceRef,
  stack: StackRef,
  instance: InstanceRef,
  secret: SecretRef,
  approval: ApprovalRef,
  operation: OperationRef,
  team: TeamRef,
  member: MemberRef,
  invitation: InvitationRef,
  token: ApiTokenRef,
  webhook: WebhookRef,
  delivery: WebhookDeliveryRef,
} as const
type Found = keyof typeof foundTypes
/** The word of an entity's resolver, where it is not the field's. */
const factOf: Partial<Record<Found, string>> = { token: 'apiToken', approval: 'promotionApproval' }
const foundAny = (t: Refused, ...left: Found[]) =>
  Object.fromEntries(
    (Object.keys(foundTypes) as Found[])
      .filter((name) => !left.includes(name))
      .map((name) => [name, foundOne(t, name)]),
  )
const text = (t: Refused, name: string, description: string) =>
  t.string({ description, resolve: (row) => fact(row, name) })
const count = (t: Refused, name: string, description: string) =>
  t.int({ description, resolve: (row) => fact(row, name) })
const time = (t: Refused, name: string, description: string) =>
  t.field({ type: 'DateTime', description, resolve: (row) => fact(row, name) })

const none = () => ({})
/** The facts of each refusal, as fields of its own type. */
const factsOf: Record<RefusalName, (t: Refused) => ReturnType<typeof none>> = {
  NotFound: none,
  Forbidden: (t) => ({ missing: text(t, 'missing', 'The scope, action class or role that the caller lacks.') }),
  ValidationFailed: (t) => ({
    faults: t.field({
      type: [FaultRef],
      description: 'All that is wrong, at once.',
      resolve: (row) => fact(row, 'faults'),
    }),
  }),
  VersionConflict: (t) => ({
    currentVersion: text(t, 'currentVersion', 'The version that the object has now.'),
    ...foundAny(t),
  }),
  IdempotencyKeyReused: (t) => ({ firstUsedAt: time(t, 'firstUsedAt', 'When the key was first used.') }),
  Busy: none,
  TemporarilyUnavailable: none,
  IllegalState: (t) => ({ action: text(t, 'action', 'The action that was asked for.'), ...foundAny(t) }),
  NotRedeployable: (t) => ({ deployment: foundOne(t, 'deployment') }),
  NothingToRedeploy: none,
  NameTaken: (t) =>
    foundAny(t, 'operation', 'token', 'member', 'invitation', 'team', 'approval', 'instance', 'webhook', 'delivery'),
  QuotaExceeded: (t) => ({
    limit: text(t, 'limit', 'What there is no room for, e.g. `deployments`.'),
    cap: count(t, 'cap', 'How many the plan has room for.'),
    used: count(t, 'used', 'How many there are.'),
  }),
  DeploymentAlreadyDeleted: (t) => ({
    deployment: foundOne(t, 'deployment'),
    endedAt: time(t, 'endedAt', 'When it entered the state that it was found in.'),
  }),
  ResourceTypeUnavailable: (t) => ({ type: text(t, 'type', 'The type that was asked for.') }),
  ResourceAlreadyDeleted: (t) => ({
    resource: foundOne(t, 'resource'),
    deletedAt: time(t, 'deletedAt', 'When its deletion was accepted.'),
  }),
  NotExtendable: (t) => ({ deployment: foundOne(t, 'deployment') }),
  EnvConflict: (t) => ({
    keys: t.field({
      type: [ConflictRef],
      description: 'The keys that were not as expected.',
      resolve: (row) => fact(row, 'keys'),
    }),
    deployment: foundOne(t, 'deployment'),
    stack: foundOne(t, 'stack'),
  }),
  EnvTooLarge: (t) => ({
    deployment: foundOne(t, 'deployment'),
    stack: foundOne(t, 'stack'),
    bytes: count(t, 'bytes', 'What all keys and values together would take.'),
    maxBytes: count(t, 'maxBytes', 'What they may take.'),
  }),
  StackDeleting: (t) => ({ stack: foundOne(t, 'stack') }),
  StackAlreadyDeleted: (t) => ({
    stack: foundOne(t, 'stack'),
    deletedAt: time(t, 'deletedAt', 'When its deletion was accepted.'),
  }),
  SecretUnresolved: (t) => ({
    keys: t.stringList({
      description: 'The variables whose references lead nowhere.',
      resolve: (row) => fact(row, 'keys'),
    }),
    deployment: foundOne(t, 'deployment'),
    stack: foundOne(t, 'stack'),
  }),
  SecretAlreadyDeleted: (t) => ({ secret: foundOne(t, 'secret') }),
  LastOwner: (t) => ({ member: foundOne(t, 'member') }),
  AlreadyMember: (t) => ({ member: foundOne(t, 'member') }),
  NothingToPromote: (t) => ({ stack: foundOne(t, 'stack') }),
  NoServices: (t) => ({ stack: foundOne(t, 'stack') }),
  MissingImage: (t) => ({
    services: t.stringList({
      description: 'The services whose images cannot be run.',
      resolve: (row) => fact(row, 'services'),
    }),
    stack: foundOne(t, 'stack'),
  }),
  ApprovalRequired: none,
  ApprovalNotApproved: (t) => ({ approval: foundOne(t, 'approval') }),
  ApprovalMismatch: (t) => ({ approval: foundOne(t, 'approval') }),
  ApprovalExpired: (t) => ({ approval: foundOne(t, 'approval') }),
  ApprovalAlreadyExecuted: (t) => ({ approval: foundOne(t, 'approval'), operation: foundOne(t, 'operation') }),
  ApprovalStale: (t) => ({ approval: foundOne(t, 'approval') }),
  SelfApprovalForbidden: (t) => ({ approval: foundOne(t, 'approval') }),
  TwinExists: (t) => ({ resource: foundOne(t, 'resource') }),
  AddressRefused: (t) => ({ reason: text(t, 'reason', 'What is wrong with the address.') }),
  TokenAlreadyRevoked: (t) => ({ token: foundOne(t, 'token') }),
}

const retryable = (name: RefusalName) =>
  refusalCatalogue[name].retryable
    ? 'Retry: the same call may succeed later.'
    : 'The same call will not succeed by itself.'

/** The object type of each refusal: its name is the refusal's. */
export const refusalTypes = Object.fromEntries(
  refusalNames.map((name) => [
    name,
    builder.objectRef<Refusal>(name).implement({
      description: `${refusalCatalogue[name].description} ${retryable(name)}`,
      interfaces: [RefusalRef],
      isTypeOf: (value) => (value as Partial<Refusal>).refusal === name,
      fields: factsOf[name],
    }),
  ]),
) as unknown as Record<RefusalName, ReturnType<typeof builder.objectRef<Refusal>>>
