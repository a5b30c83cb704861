// One play: a scene that was put on the stage, the world of fakes outside of it, and the actors' calls as the product makes
// them. After the actors have gone, what they left to be done is carried out, so that ends can be compared.
import type { Actor as Caller } from '../../src/auth.ts'
import type { Context } from '../../src/context.ts'
import { createFakeProvisioner, type FakeProvisioner } from '../../src/drivers/provision/fake.ts'
import type { WorkloadRef } from '../../src/drivers/runtime/driver.ts'
import { createFakeDriver, type FakeDriver } from '../../src/drivers/runtime/fake.ts'
import type { Log } from '../../src/log.ts'
import { createSealing } from '../../src/sealing.ts'
import { keepingLog } from '../loops/fixture.ts'
import { contextFor, testSealing } from '../row.ts'
import type { Received } from '../webhooks/receiver.ts'
import { parkCall, type Seat } from './gate.ts'
import { Scene } from './scene.ts'
import type { Row, Stage } from './stage.ts'

export type Ids = Readonly<Record<string, string>>

export interface Play {
  readonly stage: Stage
  readonly scene: Scene
  /** What the scene calls its rows. */
  readonly ids: Ids
  readonly callers: Readonly<Record<string, Caller>>
  readonly driver: FakeDriver
  readonly provisioner: FakeProvisioner
  /** Which runs the driver was asked about. */
  readonly asked: readonly (WorkloadRef & { readonly instanceId: string })[]
  /** Runs that have ended by themselves, and after how many calls of the driver. */
  readonly died: readonly { readonly instanceId: string; readonly after: number }[]
  /** What was sent to webhooks. */
  readonly received: readonly Received[]
  /** What runners could not make sense of: any line of it is a flaw. */
  readonly log: Log
  readonly interruptions: readonly string[]
  /** The context of a request on that seat; of the owner, unless another caller is named. */
  context(seat: Seat, requestId: string, caller?: Caller): Context
}

/** What a scene names for its actors. */
export interface Set {
  readonly ids: Ids
  readonly callers?: Readonly<Record<string, Caller>>
}

export interface Actor {
  readonly kind: 'caller' | 'loop' | 'runner'
  run(play: Play, seat: Seat, requestId: string): Promise<unknown>
  /** The idempotency key that it sends. */
  readonly key?: string
  /** It looks several times before it decides. */
  readonly looks?: boolean
  /** It does not meet itself: what it leaves for later is due at a random time. */
  readonly lone?: boolean
  /** Statements of a pass that touch nothing of this scene do not stop. */
  readonly stops?: (label: string) => boolean
}

export interface Subject {
  readonly name: string
  /** What is unusual about its team. */
  readonly team?: () => Row
  /** Puts rows into the scene; what it needs of the product's own calls it may call once those are there. */
  readonly scene: (scene: Scene) => Set
  readonly prepare?: (play: Play) => Promise<Ids>
  readonly actors: Readonly<Record<string, Actor>>
  /** Carries out what was accepted, so that ends are compared; what does not come to one is told in words. */
  readonly settles?: (play: Play) => Promise<string | null>
}

/** A key that has come after the one that all is sealed with. */
export const bothKeys = createSealing([
  { id: 'new', bytes: Buffer.alloc(32, 8) },
  { id: 'test', bytes: Buffer.alloc(32, 7) },
])

const base = contextFor(null as never, null as never)

/** Puts the scene of a subject on the stage. */
export async function begin(stage: Stage, subject: Subject): Promise<Play> {
  const scene = new Scene(subject.team?.(), stage.receiver.port)
  const { ids, callers = {} } = subject.scene(scene)
  await stage.put(scene.rows())
  const lines: string[] = []
  const asked: (WorkloadRef & { instanceId: string })[] = []
  const died: { instanceId: string; after: number }[] = []
  const driver = createFakeDriver({ asksUntilHealthy: 0, onCall: parkCall })
  const play: Play = {
    log: keepingLog(lines),
    get interruptions() {
      return lines.filter((line) => /^(error|fatal) /.test(line))
    },
    stage,
    scene,
    ids,
    callers,
    asked,
    died,
    received: stage.receiver.received,
    driver: {
      ...driver,
      crash(ref, reason) {
        const run = driver.liveRun(ref)
        if (run) died.push({ instanceId: run.instanceId, after: driver.log().length })
        driver.crash(ref, reason)
      },
      observeInstance: (ref, instanceId, signal) => {
        asked.push({ ...ref, instanceId })
        return driver.observeInstance(ref, instanceId, signal)
      },
    },
    provisioner: createFakeProvisioner({ onCall: parkCall }),
    context: ({ db }, requestId, caller = scene.owner) => ({
      ...base,
      db,
      requestId,
      actor: caller,
      sealing: testSealing,
    }),
  }
  return subject.prepare ? { ...play, ids: { ...ids, ...(await subject.prepare(play)) } } : play
}

/** A caller: one call of the API's resolvers. */
export const calls = (call: (context: Context, ids: Ids, play: Play) => Promise<object>, by?: string): Actor => ({
  kind: 'caller',
  run: (play, seat, requestId) =>
    call(play.context(seat, requestId, by ? play.callers[by] : undefined), play.ids, play),
})
