// The stage of the loops with resources on it: one world of fake resources, and replicas whose dispatchers carry out the
// effects of deployments and of resources, each with a provisioner and a script of its own.
import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import type { Provisioner, ResourceRef } from '../../src/drivers/provision/driver.ts'
import { createFakeProvisioner, type FakeProvisioner } from '../../src/drivers/provision/fake.ts'
import type { FakeEffect } from '../../src/drivers/provision/fake-world.ts'
import type { FakeDriverOptions } from '../../src/drivers/runtime/fake.ts'
import type { Effect } from '../../src/loops/effect.ts'
import { resourceEffects } from '../../src/loops/resource-effect.ts'
import { createResource, type NewResource, type ResourcePayload } from '../../src/resolvers/resource.ts'
import type { Database } from '../../src/resolvers/transition.ts'
import { openStage, type Replica, type ReplicaOptions, until } from '../loops/fixture.ts'
import { testSealing } from '../row.ts'
import { giveRoom } from './row.ts'

export interface ResourceReplica extends Replica {
  readonly provisioner: FakeProvisioner
}
export interface ResourceReplicaOptions extends Omit<ReplicaOptions, 'effects'> {
  /** What stands between the dispatcher and the fake; default: nothing. */
  readonly through?: (provisioner: FakeProvisioner, db: Database) => Provisioner
  /** Effects of resources instead of the usual ones, or made of them. */
  readonly instead?: (usual: Effect[], db: Database, provisioner: FakeProvisioner) => Effect[]
}
export interface ResourceSeen {
  readonly id: string
  readonly state: string
  readonly stateReason: string | null
  readonly generation: number
  readonly version: number
  readonly incarnation: string
  readonly password: string
  readonly nextPassword: string | null
  readonly connection: string | null
  readonly deletedAt: Date | null
  readonly sizeBytes: string | null
}

export type ResourceStage = Awaited<ReturnType<typeof openResourceStage>>

/** Opens a stage with room for resources. */
export async function openResourceStage({ cap = 1_000, ...options }: FakeDriverOptions & { cap?: number } = {}) {
  const stage = await openStage(options)
  await giveRoom(stage.sql, stage.teamId, cap)
  const provisioner = createFakeProvisioner()
  const provisioners: FakeProvisioner[] = []

  const resource = async (id: string): Promise<ResourceSeen> => {
    const [row] = await stage.sql<ResourceSeen[]>`
      select id, state, state_reason as "stateReason", generation, version, incarnation, password,
        next_password as "nextPassword", connection, deleted_at as "deletedAt", size_bytes as "sizeBytes"
      from resource where id = ${id}`
    if (!row) throw new Error(`${id} is gone`)
    return row
  }
  const open = (id: string, field: 'password' | 'connection', sealed: string) =>
    testSealing.open(sealed, [stage.teamId, id, field])
  const refOf = async (id: string): Promise<ResourceRef> => ({
    subjectId: id,
    incarnation: (await resource(id)).incarnation,
  })

  return {
    ...stage,
    provisioner,
    resource,
    refOf,
    replica({ through, instead, ...more }: ResourceReplicaOptions = {}): ResourceReplica {
      const own = provisioner.another()
      provisioners.push(own)
      const replica = stage.replica({
        ...more,
        effects: (db, _driver, usual) => {
          const reached = through?.(own, db) ?? own
          const effects = resourceEffects(db, () => reached, testSealing)
          return [...usual, ...(instead?.(effects, db, own) ?? effects)]
        },
      })
      return { ...replica, provisioner: own }
    },
    async create(input: Partial<NewResource> = {}, asked = stage.context): Promise<string> {
      const name = input.name ?? `r${randomBytes(5).toString('hex')}`
      const answer = await createResource(asked, { type: 'POSTGRES', ...input, name })
      expect(answer).not.toHaveProperty('refusal')
      return (answer as ResourcePayload).resource.id
    },
    /** Until the resource is in that state. */
    comesTo: (id: string, state: string): Promise<ResourceSeen> =>
      until(async () => {
        const row = await resource(id)
        expect(row.state).toBe(state)
        return row
      }),
    /** What is stored of how to connect, opened; null where there is none. */
    async url(id: string): Promise<string | null> {
      const { connection } = await resource(id)
      return connection === null ? null : open(id, 'connection', connection)
    },
    /** The stored password, opened. */
    password: async (id: string): Promise<string> => open(id, 'password', (await resource(id)).password),
    /** Whether the provider has it. */
    exists: async (id: string): Promise<boolean> => provisioner.world.exists(await refOf(id)),
    /** How often each thing was done to a resource, as the fake's log has it. */
    effectsOn: (id: string): FakeEffect[] =>
      provisioner
        .log()
        .filter(({ ref }) => ref?.subjectId === id)
        .flatMap(({ effects }) => effects.map(({ effect }) => effect)),
    /** Makes the lease of the running operation of a subject end. */
    leaseEnds: (id: string) =>
      stage.beneath((sql) => sql`update operation set due_at = now() where subject_id = ${id} and state = 'RUNNING'`),
    async close() {
      provisioner.clear()
      for (const each of provisioners) each.clear()
      await stage.close()
    },
  }
}

/** Calls of one kind on a resource that the fake has answered with that outcome. */
export const answersOf = (stage: ResourceStage, id: string, call: string): string[] =>
  stage.provisioner
    .log()
    .filter((entry) => entry.ref?.subjectId === id && entry.call === call)
    .map(({ result }) => result)
