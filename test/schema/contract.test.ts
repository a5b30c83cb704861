// The contract: what is committed is what is printed, and the rules that every type, field and mutation of it keeps.
import { readFileSync } from 'node:fs'
import {
  type GraphQLInputObjectType,
  type GraphQLObjectType,
  type GraphQLUnionType,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isListType,
  isNonNullType,
  isObjectType,
  isScalarType,
  isUnionType,
} from 'graphql'
import { describe, expect, test } from 'vitest'
import { generated } from '../../src/generate.ts'
import { machines } from '../../src/lifecycle/machines.ts'
import { codeOf, commonRefusals, refusalNames } from '../../src/refusals.ts'
import { schema } from '../../src/schema/schema.ts'

const types = Object.values(schema.getTypeMap()).filter((type) => !type.name.startsWith('__'))
const mutations = Object.values(schema.getMutationType()?.getFields() ?? {})
const membersOf = (name: string) => (schema.getType(name) as GraphQLUnionType).getTypes().map((type) => type.name)

test.each([...generated()])('%s is what the declarations say', (path, text) => {
  expect(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8') === text, 'run npm run generate').toBe(true)
})

/** The further refusals of each mutation, written out again by hand from the contract. */
const further: Record<string, string[]> = {
  deploy: ['NotRedeployable', 'NothingToRedeploy', 'NameTaken', 'QuotaExceeded', 'SecretUnresolved'],
  redeployDeployment: ['NotRedeployable', 'SecretUnresolved'],
  stopDeployment: ['IllegalState'],
  startDeployment: ['IllegalState', 'SecretUnresolved'],
  deleteDeployment: ['IllegalState', 'DeploymentAlreadyDeleted'],
  mergeDeploymentEnv: ['IllegalState', 'EnvConflict', 'EnvTooLarge'],
  setDeploymentTtl: ['NotExtendable'],
  makeDeploymentPermanent: ['NotExtendable'],
  createResource: ['ResourceTypeUnavailable', 'NameTaken', 'QuotaExceeded'],
  deleteResource: ['ResourceAlreadyDeleted'],
  pauseResource: ['IllegalState'],
  resumeResource: ['IllegalState'],
  rotateResourceCredentials: ['IllegalState'],
  setResourceTtl: ['IllegalState'],
  createStack: ['NameTaken', 'QuotaExceeded', 'SecretUnresolved'],
  redeployStack: ['StackDeleting', 'SecretUnresolved'],
  deleteStack: ['StackAlreadyDeleted'],
  mergeStackEnv: ['StackDeleting', 'EnvConflict', 'EnvTooLarge'],
  promoteStack: [
    'ApprovalRequired',
    'ApprovalNotApproved',
    'ApprovalMismatch',
    'ApprovalExpired',
    'ApprovalAlreadyExecuted',
    'ApprovalStale',
    'NoServices',
    'MissingImage',
    'SecretUnresolved',
    'QuotaExceeded',
    'StackDeleting',
  ],
  setSecret: ['QuotaExceeded'],
  createWebhook: ['AddressRefused', 'QuotaExceeded'],
  updateWebhook: ['AddressRefused', 'IllegalState'],
  deleteWebhook: ['IllegalState'],
  redeliverWebhookEvent: ['IllegalState'],
  deleteSecret: ['SecretAlreadyDeleted'],
  twinResource: [
    'ApprovalRequired',
    'ApprovalNotApproved',
    'ApprovalMismatch',
    'ApprovalExpired',
    'ApprovalAlreadyExecuted',
    'ApprovalStale',
    'TwinExists',
    'ResourceTypeUnavailable',
    'ResourceAlreadyDeleted',
    'QuotaExceeded',
  ],
  requestPromotion: ['NothingToPromote', 'NoServices', 'MissingImage', 'SecretUnresolved', 'StackDeleting'],
  requestTwin: ['TwinExists', 'ResourceTypeUnavailable', 'ResourceAlreadyDeleted'],
  approvePromotion: ['IllegalState', 'ApprovalExpired', 'SelfApprovalForbidden'],
  rejectPromotion: ['IllegalState', 'ApprovalExpired'],
  withdrawPromotion: ['IllegalState', 'ApprovalExpired'],
  setSelfApproval: ['IllegalState'],
  registerInstance: ['IllegalState', 'QuotaExceeded'],
  heartbeatInstance: ['IllegalState'],
  removeInstance: ['IllegalState'],
  retryOperation: ['IllegalState', 'SecretUnresolved'],
  cancelOperation: ['IllegalState'],
  createApiToken: [],
  revokeApiToken: ['TokenAlreadyRevoked'],
  createTeam: [],
  deleteTeam: ['IllegalState'],
  restoreTeam: ['IllegalState'],
  inviteMember: [],
  acceptInvitation: ['IllegalState', 'AlreadyMember', 'QuotaExceeded'],
  withdrawInvitation: ['IllegalState'],
  setMemberRole: ['IllegalState', 'LastOwner', 'QuotaExceeded'],
  removeMember: ['IllegalState', 'LastOwner'],
}

test('every mutation is known here', () => {
  expect(mutations.map(({ name }) => name).sort()).toEqual(Object.keys(further).sort())
})

describe.each(mutations)('$name', (field) => {
  const Name = field.name.charAt(0).toUpperCase() + field.name.slice(1)

  test('takes one input that is not null and its own', () => {
    expect(field.args.map(({ name, type }) => `${name}: ${type}`)).toEqual([`input: ${Name}Input!`])
    const fields = Object.keys((schema.getType(`${Name}Input`) as GraphQLInputObjectType).getFields())
    expect(fields).toContain('idempotencyKey')
  })

  test('answers with its payload, the common refusals and its own', () => {
    expect(String(field.type)).toBe(`${Name}Result!`)
    expect(membersOf(`${Name}Result`).sort()).toEqual(
      [`${Name}Payload`, ...commonRefusals, ...(further[field.name] ?? [])].sort(),
    )
  })

  test('has a manual', () => {
    for (const part of ['**State**', '**Needs**', '**Idempotence**', '**Reversibility**', '**Refusals**']) {
      expect(field.description).toContain(part)
    }
  })
})

describe.each(Object.values(schema.getSubscriptionType()?.getFields() ?? {}))('Subscription.$name', (field) => {
  test('has a manual, and answers with what the query of that name lists or shows', () => {
    for (const part of ['**State**', '**Needs**', '**Idempotence**', '**Reversibility**', '**Refusals**'])
      expect(field.description).toContain(part)
    const shown = getNamedType(schema.getQueryType()?.getFields()[field.name]?.type)?.name
    expect(getNamedType(field.type).name).toBe(shown?.replace(/Connection$/, ''))
  })
})

test('every refusal of the catalogue is a type with the interface and its code', () => {
  const refusal = schema.getType('Refusal')
  const implementers = isInterfaceType(refusal)
    ? schema.getImplementations(refusal).objects.map(({ name }) => name)
    : []
  expect(implementers.sort()).toEqual([...refusalNames].sort())
  const codes = schema.getType('RefusalCode')
  expect(
    isEnumType(codes) &&
      codes
        .getValues()
        .map(({ name }) => name)
        .sort(),
  ).toEqual(refusalNames.map(codeOf).sort())
})

test('everything has a description', () => {
  const bare: string[] = []
  const look = (name: string, { description }: { description?: string | null }) => {
    if (!description?.trim()) bare.push(name)
  }
  for (const type of types) {
    if (isScalarType(type) && ['String', 'Int', 'Float', 'Boolean', 'ID'].includes(type.name)) continue
    look(type.name, type)
    if (isEnumType(type)) for (const value of type.getValues()) look(`${type.name}.${value.name}`, value)
    if (!isObjectType(type) && !isInterfaceType(type) && !isInputObjectType(type)) continue
    for (const field of Object.values(type.getFields())) {
      look(`${type.name}.${field.name}`, field)
      for (const arg of 'args' in field ? field.args : []) look(`${type.name}.${field.name}(${arg.name})`, arg)
    }
  }
  expect(bare).toEqual([])
})

test.each(machines.map(({ entity, states }) => [entity, Object.keys(states)]))(
  '%s is a node with its lifecycle',
  (entity, states) => {
    const type = schema.getType(entity) as GraphQLObjectType
    expect(type.getInterfaces().map(({ name }) => name)).toContain('Node')
    const fields = Object.fromEntries(Object.values(type.getFields()).map((field) => [field.name, String(field.type)]))
    expect(fields).toMatchObject({
      id: 'ID!',
      state: `${entity}State!`,
      stateReason: 'String',
      stateChangedAt: 'DateTime!',
      version: 'String!',
      createdAt: 'DateTime!',
      allowedActions: '[AllowedAction!]!',
      events: 'EventConnection!',
    })
    const values = schema.getType(`${entity}State`)
    expect(isEnumType(values) && values.getValues().map(({ name }) => name)).toEqual([...states].sort())
  },
)

test('no mutation answers with a scalar, no result is a union without a payload, no filter takes JSON', () => {
  for (const type of types) {
    if (isUnionType(type)) expect(type.getTypes().filter(({ name }) => name.endsWith('Payload'))).toHaveLength(1)
    if (!isInputObjectType(type)) continue
    for (const field of Object.values(type.getFields())) expect(getNamedType(field.type).name).not.toBe('JSON')
  }
})

test('a field of one name has one type in all members of a result, so that one selection does for all', () => {
  for (const type of types) {
    if (!isUnionType(type)) continue
    const known = new Map<string, string>()
    for (const member of type.getTypes()) {
      for (const field of Object.values(member.getFields())) {
        expect(String(field.type), `${type.name}: ${member.name}.${field.name}`).toBe(
          known.get(field.name) ?? String(field.type),
        )
        known.set(field.name, String(field.type))
      }
    }
  }
})

test('every connection takes the same four arguments, and lists of nodes are connections', () => {
  for (const type of types) {
    if (!isObjectType(type)) continue
    for (const field of Object.values(type.getFields())) {
      const { name } = getNamedType(field.type)
      const args = field.args.map((arg) => arg.name)
      if (name.endsWith('Connection'))
        expect(args, `${type.name}.${field.name}`).toEqual(expect.arrayContaining(['first', 'after', 'last', 'before']))
      const list = isNonNullType(field.type) ? field.type.ofType : field.type
      if (isListType(list) && machines.some(({ entity }) => entity === name)) expect(field.name).toBe('nodes')
    }
  }
})

test('what a connection and its edges are lists of is said in the plural', () => {
  const said = types.flatMap(({ name, description }) => (/(Connection|Edge)$/.test(name) ? [String(description)] : []))
  expect(
    said.filter((text) => !/^A (page|row of a list) of [A-Z]\w+s\b/.test(text) || /[^aeiou]ys\b/.test(text)),
  ).toEqual([])
  expect(said).toContain('A page of WebhookDeliveries, newest first.')
})

test('the shapes that outside checks rely on', () => {
  const fieldsOf = (name: string) => Object.keys((schema.getType(name) as GraphQLObjectType).getFields())
  expect(fieldsOf('Deployment')).toEqual(
    expect.arrayContaining([
      'name',
      'environment',
      'image',
      'url',
      'generation',
      'expiresAt',
      'ttlPolicy',
      'env',
      'instances',
      'operations',
    ]),
  )
  expect(fieldsOf('Stack')).toEqual(
    expect.arrayContaining(['name', 'environment', 'services', 'specVersion', 'env', 'operations']),
  )
  expect(fieldsOf('StackService')).toEqual(expect.arrayContaining(['name', 'image', 'state', 'url']))
  expect(fieldsOf('EnvVar').sort()).toEqual(['changedAt', 'changedBy', 'key', 'revision', 'value'])
  expect(fieldsOf('Operation')).toEqual(
    expect.arrayContaining([
      'kind',
      'generation',
      'attempt',
      'startedAt',
      'finishedAt',
      'outcome',
      'requestId',
      'subject',
      'retryOf',
    ]),
  )
  expect(fieldsOf('Event')).toEqual(
    expect.arrayContaining([
      'cursor',
      'occurredAt',
      'kind',
      'from',
      'to',
      'generation',
      'actor',
      'requestId',
      'subject',
      'operation',
    ]),
  )
  expect(fieldsOf('Query').sort()).toEqual(
    (
      'apiToken apiTokens deployment deployments events instance instances invitation invitations lifecycles limits member members node nodes ' +
      'operation operations promotionApproval promotionApprovals promotionPlan resource resources secret secrets stack stacks stuck team viewer webhook webhooks'
    ).split(' '),
  )
  expect(fieldsOf('Subscription').sort()).toEqual(['deployment', 'events', 'operation', 'stack'])
})
