// What a play starts from: a team with its owner, and rows in any state, each with an id of its own. How much of its plan a
// team uses follows from its rows, before a play and after it.
import { randomBytes } from 'node:crypto'
import { type Actor, actionClasses, type Role, scopes, scopesInEffect } from '../../src/auth.ts'
import { type IdEntity, newId } from '../../src/db/id.ts'
import { type UsageKind, usageKinds } from '../../src/db/team.ts'
import { liveDeploymentStates } from '../../src/lifecycle/deployment.ts'
import { liveInstanceStates } from '../../src/lifecycle/instance.ts'
import { liveResourceStates } from '../../src/lifecycle/resource.ts'
import { liveStackStates } from '../../src/lifecycle/stack.ts'
import { secretPlace } from '../../src/resolvers/reference.ts'
import { signingPlace } from '../../src/resolvers/webhook.ts'
import { mintToken } from '../../src/token.ts'
import { ownerActor, ownerOf } from '../owner.ts'
import { testSealing } from '../row.ts'
import { serviceOf } from '../stacks/row.ts'
import type { Row, Snapshot } from './stage.ts'

export const hoursFromNow = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString()
const hex = () => randomBytes(12).toString('hex')
const cap = 100

/** Of each thing that is counted, how many there are. */
export function counted(rows: Snapshot): Readonly<Partial<Record<UsageKind, number>>> {
  const among = (table: string, states: readonly string[], more: (row: Row) => boolean = () => true) =>
    (rows[table] ?? []).filter((row) => states.includes(String(row.state)) && more(row)).length
  return {
    deployments: among('deployment', liveDeploymentStates),
    resources: among('resource', liveResourceStates),
    stacks: among('stack', liveStackStates),
    secrets: among('secret', ['ACTIVE']),
    members: among('member', ['ACTIVE']),
    owners: among('member', ['ACTIVE'], (row) => row.role === 'owner'),
    instances: among('instance', liveInstanceStates, (row) => row.runtime === 'EXTERNAL'),
    webhooks: among('webhook', ['ACTIVE', 'DISABLED']),
  }
}

/** Positions in the log, of all scenes: none is given twice. */
let positions = 0

/** A team and what it has. Every method adds a row and returns its id. */
export class Scene {
  readonly teamId = newId('Team')
  readonly owner: Actor = ownerActor(newId('ApiToken'), this.teamId)
  readonly tables: Record<string, Row[]> = {}
  /** How many more of a kind the plan has room for; 100 in all otherwise. */
  readonly room: Partial<Record<UsageKind, number>> = {}

  readonly #receiverPort: number

  constructor(facts: Row = {}, receiverPort = 0) {
    this.#receiverPort = receiverPort
    this.#add('team', { id: this.teamId, state: 'ACTIVE', name: 'team', ...facts })
    const id = ownerOf(this.teamId)
    this.#add('member', {
      id,
      state: 'ACTIVE',
      team_id: this.teamId,
      identity: `local:${id}`,
      name: 'owner',
      role: 'owner',
    })
    this.#add('api_token', this.#tokenOf(this.owner.id, id))
  }

  /** All rows, counters last. */
  rows(): (readonly [string, Row])[] {
    const used = counted(this.tables)
    // The plan of a team that ends is closed.
    const usual = this.tables.team?.[0]?.state === 'DELETING' ? 0 : cap
    const counters = usageKinds.map((kind) => {
      const [now, room] = [used[kind] ?? 0, this.room[kind]]
      return { team_id: this.teamId, kind, used: now, cap: room === undefined ? usual : now + room }
    })
    return Object.entries({ ...this.tables, plan_usage: counters }).flatMap(([table, rows]) =>
      rows.map((row) => [table, row] as const),
    )
  }

  deployment(facts: Row = {}): string {
    const image = 'hello:1'
    return this.#own('Deployment', 'deployment', {
      state: 'HEALTHY',
      image,
      ttl_policy: facts.expires_at ? 'TTL' : 'PERMANENT',
      ...facts,
    })
  }

  resource(facts: Row = {}): string {
    const id = newId('Resource')
    const seal = (text: string, field: string) => testSealing.seal(text, [this.teamId, id, field])
    const sealed = { password: seal(hex(), 'password'), connection: seal('fake://u:p@127.0.0.1/u', 'connection') }
    const rotating = facts.next_password ? { next_password: seal(hex(), 'password') } : {}
    return this.#own('Resource', 'resource', {
      id,
      state: 'ACTIVE',
      type: 'POSTGRES',
      limit_bytes: 1_000,
      ...sealed,
      ...facts,
      ...rotating,
    })
  }

  stack(facts: Row = {}): string {
    const services = [serviceOf('web')]
    return this.#own('Stack', 'stack', { state: 'HEALTHY', services, placed: { web: {} }, ...facts })
  }

  secret(facts: Row = {}): string {
    const id = newId('Secret')
    const value = testSealing.seal('v', secretPlace({ teamId: this.teamId, id, revision: 1 }))
    const changed = { changed_at: hoursFromNow(0), changed_by: this.owner.id }
    const { incarnation: _, ...row } = this.#named('Secret', { id, state: 'ACTIVE', value, ...changed, ...facts })
    return this.#add('secret', row)
  }

  approval(facts: Row = {}): string {
    const of = {
      team_id: this.teamId,
      kind: 'STACK',
      subject_id: this.tables.stack?.[0]?.id,
      plan_digest: 'none',
      plan: {},
    }
    return this.#add('promotion_approval', {
      id: newId('PromotionApproval'),
      requested_by: ownerOf(this.teamId),
      ...of,
      ...facts,
    })
  }

  operation(subjectType: string, subjectId: string, kind: string, facts: Row = {}): string {
    const by = { actor: { kind: 'token', id: 'scene' }, request_id: 'scene' }
    const of = { team_id: this.teamId, subject_type: subjectType, subject_id: subjectId, kind }
    return this.#add('operation', {
      id: newId('Operation'),
      state: 'PENDING',
      due_at: hoursFromNow(-1),
      ...of,
      ...by,
      ...facts,
    })
  }

  /** A unit that Pawl runs of that deployment or stack of the scene; its run is put in place later. */
  unit(subjectType: 'Deployment' | 'Stack', subjectId: string, facts: Row = {}): string {
    const of = this.tables[subjectType === 'Stack' ? 'stack' : 'deployment']?.find(({ id }) => id === subjectId)
    const incarnation = [of?.incarnation, facts.service].filter(Boolean).join('-')
    return this.#instance({
      runtime: 'PROCESS',
      subject_type: subjectType,
      subject_id: subjectId,
      incarnation,
      ...facts,
    })
  }

  /** One that runs elsewhere, was last heard of an hour ago and promises a heartbeat every 30 s. */
  external(facts: Row = {}): string {
    const heard = { heartbeat_at: hoursFromNow(-1), heartbeat_seconds: 30 }
    return this.#instance({ runtime: 'EXTERNAL', instance_id: hex(), ...heard, ...facts })
  }

  #instance(facts: Row): string {
    const of = { team_id: this.teamId, environment: 'development', name: 'unit' }
    return this.#add('instance', { id: newId('Instance'), state: 'ONLINE', ...of, ...facts })
  }

  /** Told of all; its receiver answers with that status. */
  webhook(status: number, facts: Row = {}): string {
    const id = newId('Webhook')
    const url = `http://receiver.example:${this.#receiverPort}/${this.teamId}/${status}`
    const secret = testSealing.seal(`whsec_${hex()}`, signingPlace(this.teamId, id))
    const row = { state: 'ACTIVE', url, secret, filter: {}, secret_changed_at: hoursFromNow(-1), cursor: positions }
    return this.#add('webhook', { id, team_id: this.teamId, ...row, ...facts })
  }

  /** An event in the log, of something that is told of nowhere else; returns its position. */
  event(subjectId: string): number {
    const of = { team_id: this.teamId, subject_type: 'Deployment', subject_id: subjectId, kind: 'redeployDeployment' }
    const moved = {
      from_state: 'HEALTHY',
      to_state: 'BUILDING',
      generation: 1,
      version: 1,
      occurred_at: hoursFromNow(0),
    }
    const by = { actor_kind: 'loop', actor_id: 'scene', request_id: 'scene', transition_id: 'scene' }
    positions += 1
    this.#add('event', { position: positions, ...of, ...moved, ...by })
    return positions
  }

  /** That event, for that webhook. */
  delivery(webhookId: string, position: number, subjectId: string, facts: Row = {}): string {
    const id = newId('WebhookDelivery')
    const of = { team_id: this.teamId, webhook_id: webhookId, position, subject_id: subjectId, message_id: id }
    return this.#add('webhook_delivery', { id, state: 'PENDING', due_at: hoursFromNow(-1), ...of, ...facts })
  }

  /** A member with a token; returns it as authentication would. */
  member(role: Role): Actor {
    const [id, tokenId] = [newId('Member'), newId('ApiToken')]
    this.#add('member', { id, state: 'ACTIVE', team_id: this.teamId, identity: `local:${id}`, name: role, role })
    this.#add('api_token', this.#tokenOf(tokenId, id))
    return { ...this.owner, id: tokenId, memberId: id, role, scopes: scopesInEffect(scopes, role) }
  }

  token(facts: Row = {}): string {
    return this.#add('api_token', { ...this.#tokenOf(newId('ApiToken'), ownerOf(this.teamId)), ...facts })
  }

  /** Returns the caller who has nothing but its token. */
  invitation(facts: Row = {}): Actor {
    const id = newId('Invitation')
    const { lookupId, secretHash } = mintToken()
    const by = { team_id: this.teamId, email: 'ada@example.org', role: 'developer', invited_by: ownerOf(this.teamId) }
    const token = { lookup_id: lookupId, secret_hash: secretHash, expires_at: hoursFromNow(1) }
    this.#add('invitation', { id, state: 'PENDING', ...by, ...token, ...facts })
    const nobody = { memberId: null, role: null, scopes: new Set<never>() }
    return { kind: 'invitation', id, teamId: this.teamId, ...nobody, classes: new Set(['creating']) }
  }

  #tokenOf(id: string, memberId: string): Row {
    const { lookupId, secretHash } = mintToken()
    const of = { team_id: this.teamId, member_id: memberId, name: 'token', scopes, action_classes: actionClasses }
    return { id, state: 'ACTIVE', ...of, lookup_id: lookupId, secret_hash: secretHash, expires_at: hoursFromNow(24) }
  }

  #named(entity: IdEntity, facts: Row): Row {
    const id = facts.id ?? newId(entity)
    return { id, team_id: this.teamId, environment: 'development', name: `x${hex()}`, incarnation: hex(), ...facts }
  }

  #own(entity: IdEntity, table: string, facts: Row): string {
    return this.#add(table, this.#named(entity, facts))
  }

  #add(table: string, row: Row): string {
    this.tables[table] = [...(this.tables[table] ?? []), row]
    return String(row.id)
  }
}
