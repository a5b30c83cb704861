// One play: a scene that was put on the stage, the world of fakes outside of it, and the actors' calls as the product makes
// them. After the actors have gone, what they left to be done is carried out, so that ends can be compared.
import type { Actor as Caller } from '../../src/auth.ts'
import type { Context } from '../../src/context.ts'
import { createFakeProvisioner, type FakeProvisioner } from '../../src/drivers/provision/fake.ts'
import { createFakeDriver, type FakeDriver } from '../../src/drivers/runtime/fake.ts'
import type { Log } from '../../src/log.ts'
import { keepingLog } from '../loops/fixture.ts'
import { contextFor, testSealing } from '../row.ts'
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

const base = contextFor(null as never, null as never)

/** Puts the scene of a subject on the stage. */
export async function begin(stage: Stage, subject: Subject): Promise<Play> {
  const scene = new Scene(subject.team?.())
  const { ids, callers = {} } = subject.scene(scene)
  await stage.put(scene.rows())
  const lines: string[] = []
  const play: Play = {
    log: keepingLog(lines),
    get interruptions() {
      return lines.filter((line) => /^(error|fatal) /.test(line))
    },
    stage,
    scene,
    ids,
    callers,
    driver: createFakeDriver({ asksUntilHealthy: 0, onCall: parkCall }),
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
