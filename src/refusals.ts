// The catalogue of refusals: every typed "no" that a caller can get, with what it means, whether asking again helps, and
// what would be accepted instead. Types in the schema, metric labels and docs/refusals.md come from here.
import { type Lack, roleWord, toldLack } from './auth.ts'

interface Entry {
  readonly description: string
  /** Whether the very same call may succeed later without anybody doing anything else. */
  readonly retryable: boolean
}

export const refusalCatalogue = {
  NotFound: { description: 'There is no such object, or it is not visible to this caller.', retryable: false },
  Forbidden: {
    description:
      'The caller may see the object but lacks the scope, action class or role named in `missing`; or its team is being deleted ' +
      '(`missing` is ACTIVE) and can only be read and restored.',
    retryable: false,
  },
  ValidationFailed: {
    description: 'The input breaks the rules named in `faults`. Nothing was changed.',
    retryable: false,
  },
  VersionConflict: {
    description:
      'The object has changed since the version that the caller expected; `currentVersion` is what it has now.',
    retryable: false,
  },
  IdempotencyKeyReused: {
    description: 'The idempotency key was used before, by this caller and for this mutation, with another input.',
    retryable: false,
  },
  Busy: { description: 'Somebody else holds the row; it was not had in time. Nothing was changed.', retryable: true },
  TemporarilyUnavailable: {
    description:
      'The database could not be asked, or its answer was lost. Retry with the same idempotency key: it is safe.',
    retryable: true,
  },
  IllegalState: { description: 'The object is in a state from which this action is not declared.', retryable: false },
  NotRedeployable: {
    description: 'The deployment is stopped, ended or on its way there; it is never brought back by a redeploy.',
    retryable: false,
  },
  NothingToRedeploy: { description: 'No deployment of that name is there to be redeployed.', retryable: false },
  NameTaken: { description: 'The name is taken in the environment, by what is shown here.', retryable: false },
  QuotaExceeded: { description: 'The plan has no room for one more.', retryable: false },
  DeploymentAlreadyDeleted: {
    description: 'The deployment has ended already: what was asked for is so. The effect happens once.',
    retryable: false,
  },
  ResourceTypeUnavailable: {
    description: 'Resources of this type cannot be made here; the message says what would have to be set.',
    retryable: false,
  },
  ResourceAlreadyDeleted: {
    description:
      'The resource is deleted or being deleted already: what was asked for is so. It is deprovisioned once.',
    retryable: false,
  },
  NotExtendable: {
    description: 'The deployment has ended, or has no time limit that could be moved.',
    retryable: false,
  },
  EnvConflict: {
    description: 'Keys have changed since the caller looked; `keys` says which, by whom and when.',
    retryable: false,
  },
  EnvTooLarge: {
    description: 'All keys and values together may take 65,536 bytes. Nothing was changed.',
    retryable: false,
  },
  StackDeleting: {
    description: 'The stack is being deleted, or is deleted: nothing of it changes any more.',
    retryable: false,
  },
  StackAlreadyDeleted: {
    description: 'The stack is deleted or being deleted already: what was asked for is so. The effect happens once.',
    retryable: false,
  },
  SecretUnresolved: {
    description:
      'Variables refer to secrets, resources or services that are not there; `keys` names the variables. Nothing was started.',
    retryable: false,
  },
  SecretAlreadyDeleted: {
    description: 'The secret is deleted already: what was asked for is so.',
    retryable: false,
  },
  LastOwner: { description: 'A team keeps at least one owner.', retryable: false },
  AlreadyMember: { description: 'The caller is a member of that team already.', retryable: false },
  NothingToPromote: { description: 'The target has all that the source has already.', retryable: false },
  NoServices: { description: 'The stack has no services that could be promoted.', retryable: false },
  MissingImage: {
    description:
      'The runtime does not know the images of these services. Nothing was changed; the approval can still be used.',
    retryable: false,
  },
  ApprovalRequired: { description: 'A promotion into this environment needs an approval.', retryable: false },
  ApprovalNotApproved: { description: 'The approval is not in the state APPROVED.', retryable: false },
  ApprovalMismatch: {
    description: 'The approval is for another subject, environment or kind. It was not used up.',
    retryable: false,
  },
  ApprovalExpired: { description: 'The time of the approval is over.', retryable: false },
  ApprovalAlreadyExecuted: { description: 'The approval was used up already, by this operation.', retryable: false },
  ApprovalStale: {
    description:
      'Source, target or secrets are not any more as they were when the plan was approved. It was not used up.',
    retryable: false,
  },
  SelfApprovalForbidden: {
    description: 'The team does not let the member who asked approve it; another member must.',
    retryable: false,
  },
  TwinExists: {
    description: 'The environment has a resource of that name already. The approval was not used up.',
    retryable: false,
  },
  AddressRefused: {
    description: 'A webhook may not be sent to this address; the message says why. Nothing was changed.',
    retryable: false,
  },
  TokenAlreadyRevoked: { description: 'The token is revoked or expired already.', retryable: false },
} as const satisfies Record<string, Entry>

export type RefusalName = keyof typeof refusalCatalogue
export const refusalNames = Object.keys(refusalCatalogue) as RefusalName[]

/** Refusals that every mutation can give. */
export const commonRefusals = [
  'NotFound',
  'Forbidden',
  'ValidationFailed',
  'VersionConflict',
  'IdempotencyKeyReused',
  'Busy',
  'TemporarilyUnavailable',
] as const satisfies RefusalName[]

/** `NotRedeployable` → `NOT_REDEPLOYABLE`: the stable code. */
export const codeOf = (name: RefusalName): string => name.replace(/(?<=[a-z])[A-Z]/g, '_$&').toUpperCase()
/** `NotRedeployable` → `not_redeployable`: the metric label. */
export const labelOf = (name: RefusalName): string => codeOf(name).toLowerCase()

/** The next legal call, with its arguments filled in. Every remedy with a mutation is accepted as it stands. */
export interface Remedy {
  readonly mutation: string | null
  readonly query: string | null
  readonly arguments: Readonly<Record<string, unknown>> | null
  readonly explanation: string
}

export const callInstead = (
  mutation: string,
  input: Readonly<Record<string, unknown>>,
  explanation: string,
): Remedy => ({
  mutation,
  query: null,
  arguments: { input },
  explanation,
})
export const lookAt = (query: string, args: Readonly<Record<string, unknown>>, explanation: string): Remedy => ({
  mutation: null,
  query,
  arguments: args,
  explanation,
})
export const advice = (explanation: string): Remedy => ({ mutation: null, query: null, arguments: null, explanation })

/** A typed "no": a value, never thrown. `facts` are the fields of its own type. */
export interface Refusal<N extends RefusalName = RefusalName> {
  readonly refusal: N
  readonly message: string
  readonly retryable: boolean
  readonly retryAfterMs: number | null
  readonly remedies: readonly Remedy[]
  readonly facts: Readonly<Record<string, unknown>>
}

interface Details {
  readonly message?: string
  readonly retryAfterMs?: number
  readonly remedies?: readonly Remedy[]
  readonly facts?: Readonly<Record<string, unknown>>
  /** Only where asking again helps in this very case though not in general, e.g. the object is on its way. */
  readonly retryable?: boolean
}

/** Makes a refusal out of the catalogue. `message` is one or two sentences for people and names what was found. */
export const refuse = <N extends RefusalName>(name: N, details: Details = {}): Refusal<N> => ({
  refusal: name,
  message: details.message ?? refusalCatalogue[name].description,
  retryable: details.retryable ?? refusalCatalogue[name].retryable,
  retryAfterMs: details.retryAfterMs ?? null,
  remedies: details.remedies ?? [],
  facts: details.facts ?? {},
})

export const isRefusal = (value: object): value is Refusal => 'refusal' in value

export interface Fault {
  /** Where in the input, e.g. `["input", "env", "0", "key"]`. */
  readonly path: readonly string[]
  readonly message: string
}

export const validationFailed = (faults: readonly Fault[]): Refusal<'ValidationFailed'> =>
  refuse('ValidationFailed', {
    message: `The input is not valid: ${faults.map((fault) => `${fault.path.slice(1).join('.')} ${fault.message}`).join('; ')}.`,
    facts: { faults },
  })

/** A word of the schema as people say it: `promotionApproval` → `promotion approval`. */
export const spoken = (what: string): string =>
  what.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).replace('api ', 'API ')

/** The same words for "is not there" and "is not yours". */
export const notFound = (what: string, id: string, hint = ''): Refusal<'NotFound'> =>
  refuse('NotFound', {
    message: `There is no ${spoken(what)} ${JSON.stringify(id.slice(0, 80))}.${hint}`,
    // Teams have no list but the caller's own.
    remedies: [lookAt(what === 'team' ? 'viewer' : `${what}s`, {}, `List the ${spoken(what)}s that you may see.`)],
  })

export const forbidden = (lack: Lack): Refusal<'Forbidden'> =>
  refuse('Forbidden', { message: toldLack(lack), remedies: [wayPast(lack)], facts: { missing: lack.name } })

function wayPast(lack: Lack): Remedy {
  switch (lack.kind) {
    case 'team in use':
      return callInstead('restoreTeam', { id: lack.teamId }, 'Take the deletion of the team back.')
    case 'role':
      return advice(`Ask an ${roleWord(lack.name)} of the team.`)
    case 'scope':
    case 'action class':
      if (lack.kind === 'scope' && lack.ofRole)
        return advice(
          `Ask an OWNER or ADMIN of the team for another role by setMemberRole: no token of a ${roleWord(lack.ofRole)} has ${lack.name}.`,
        )
      return advice(
        `Use a token with the ${lack.kind} ${lack.name}; whoever has the scope admin can make one by createApiToken.`,
      )
  }
}
