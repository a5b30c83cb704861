// The fake provisioner: the contract of a provisioner without a provider, for race tests and fault injection. It keeps the
// fence as the real ones do, writes down every call with its effects, and does what its script orders.
import { setTimeout as delay } from 'node:timers/promises'
import { type Outcome, refused, unknown, unreachable, working } from '../outcome.ts'
import type { Provisioner, ResourceObservation, ResourceRef, ResourceType } from './driver.ts'
import { createScript, type FakeCall, type FakeScript } from './fake-script.ts'
import { type FakeEffect, FakeWorld } from './fake-world.ts'

/** One call that has been answered, or whose effect has been carried out; in the order in which effects happened. */
export interface FakeLogEntry extends FakeCall {
  readonly at: Date
  /** What the call changed, in order; empty for most. */
  readonly effects: readonly { readonly effect: FakeEffect; readonly incarnation: string }[]
  /** The outcome's kind; `thrown` for that fault. */
  readonly result: string
}

export interface FakeProvisioner extends Provisioner, FakeScript {
  /** The resources themselves: to connect as a client, to look, to make trouble. Shared by `another()`. */
  readonly world: FakeWorld
  /** Every call so far, of all provisioners that share the world. */
  log(): readonly FakeLogEntry[]
  /** Another provisioner on the same world with a script of its own: another replica, or the same one restarted. */
  another(): FakeProvisioner
}

export interface FakeProvisionerOptions {
  /** Default POSTGRES. */
  readonly type?: ResourceType
  readonly unavailable?: string
  /** Called before each call acts and after it has acted: a scheduler that parks every call hangs in here. */
  readonly onCall?: (when: 'before' | 'after', call: FakeCall) => void | Promise<void>
}

/** Makes a fake provisioner on an empty world. */
export function createFakeProvisioner(options: FakeProvisionerOptions = {}): FakeProvisioner {
  return onWorld(new FakeWorld(), [], options)
}

function onWorld(world: FakeWorld, log: FakeLogEntry[], options: FakeProvisionerOptions): FakeProvisioner {
  const script = createScript()

  /** Waits, answers or acts as ordered; `act` runs at one moment, with nothing between it and its log entry. */
  async function run<T>(
    call: FakeCall,
    signal: AbortSignal,
    act: () => Outcome<T>,
    absent?: Outcome<T>,
  ): Promise<Outcome<T>> {
    const note = (result: string): void => {
      log.push({ ...call, at: new Date(), effects: world.takeEffects(), result })
    }
    const answer = (outcome: Outcome<T>): Outcome<T> => {
      note(outcome.kind)
      return outcome
    }
    if (options.unavailable !== undefined) return answer(refused(options.unavailable))
    await options.onCall?.('before', call)
    const deaf = await script.pass('before', call)
    if (signal.aborted && !deaf) return answer(unreachable('Given up before anything was done'))
    const fault = script.takeFault(call)
    if (fault?.kind === 'throw') {
      note('thrown')
      throw new Error('The fake provisioner was told to throw')
    }
    if (fault?.kind === 'unreachable') return answer(unreachable('The fake provider is unreachable'))
    if (fault?.kind === 'refuse') return answer(refused(fault.reason))
    if (fault?.kind === 'working') return answer(working(fault.askAgainAfterMs, 'The fake provider is at it'))
    if (fault?.kind === 'lieAbsent' && absent !== undefined) return answer(absent)
    if (fault?.kind === 'alreadyGone' && call.ref !== null) world.vanish(call.ref)
    if (fault?.kind === 'slow') {
      const slept = await delay(fault.delayMs, true, { signal }).catch(() => false)
      if (!slept) return answer(unreachable('Given up before anything was done'))
    }
    const unanswered = fault?.kind === 'unknown' || fault?.kind === 'hang'
    const value = !unanswered || fault.done ? act() : null
    const said = unanswered || value === null ? unknown('The fake provider did not answer') : value
    answer(said)
    await options.onCall?.('after', call)
    await script.pass('after', call)
    if (fault?.kind === 'hang') await abortOf(signal)
    return said
  }

  return {
    ...script,
    type: options.type ?? 'POSTGRES',
    unavailable: options.unavailable ?? null,
    world,
    log: () => log,
    another: () => onWorld(world, log, options),
    provision: (spec, fence, signal) =>
      run(callOf('provision', spec, fence), signal, () => world.provision(spec, fence)),
    observe: (ref, signal) =>
      run(callOf('observe', ref), signal, () => world.observe(ref), {
        kind: 'done',
        value: { state: 'absent' } as ResourceObservation,
      }),
    pause: (ref, fence, signal) => run(callOf('pause', ref, fence), signal, () => world.turn(ref, fence, false)),
    resume: (ref, fence, signal) => run(callOf('resume', ref, fence), signal, () => world.turn(ref, fence, true)),
    rotate: (spec, fence, signal) => run(callOf('rotate', spec, fence), signal, () => world.rotate(spec, fence)),
    setWritable: (ref, writable, fence, signal) =>
      run(callOf('setWritable', ref, fence), signal, () => world.setWritable(ref, writable, fence)),
    deprovision: (ref, fence, signal) =>
      run(callOf('deprovision', ref, fence), signal, () => world.deprovision(ref, fence)),
    listOwned: (signal) => run(callOf('listOwned', null), signal, () => world.listOwned(), { kind: 'done', value: [] }),
  }
}

const callOf = (call: FakeCall['call'], ref: ResourceRef | null, fence: FakeCall['fence'] = null): FakeCall => ({
  call,
  ref: ref && { subjectId: ref.subjectId, incarnation: ref.incarnation },
  fence: fence && { ...fence },
})

function abortOf(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (signal.aborted) resolve()
  else signal.addEventListener('abort', () => resolve(), { once: true })
  return promise
}
