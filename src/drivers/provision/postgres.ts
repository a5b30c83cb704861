// Resources of type POSTGRES: a database and a login role of its own, both named after the incarnation, on a PostgreSQL that is
// not the control plane's. Order of the steps: the record, the role (locked), the database (shut), then both opened; and for a
// removal shut, dropped, recorded. So a crash at any point leaves what the next call completes, and nothing that opens by itself.
import { done, type Fence, type Outcome, refused } from '../outcome.ts'
import { fingerprint, physicalName, senseless } from './admission.ts'
import type { Provisioner, ResourceConnection, ResourceObservation, ResourceRef, ResourceSpec } from './driver.ts'
import * as ledger from './postgres-ledger.ts'
import { scramVerifier } from './postgres-scram.ts'
import { PostgresServer, type PostgresServerOptions, type ServerFacts } from './postgres-server.ts'
import type { Line } from './postgres-session.ts'
import * as steps from './postgres-steps.ts'

export { assertNotControlPlane } from './postgres-server.ts'
export type { Connect, Session } from './postgres-session.ts'
export type { StartCluster, StartedCluster } from './postgres-shared.ts'

export interface PostgresProvisioner extends Provisioner {
  /** Starts the embedded cluster if it was made before: what is in it must be reachable after a restart of Pawl. */
  start(): Promise<void>
  /** Stops the embedded cluster if this process owns it. Calls that run end first. */
  close(): Promise<void>
}

/** Makes the provisioner; connects to nothing and starts nothing until it is asked. */
export function createPostgresProvisioner(options: PostgresServerOptions): PostgresProvisioner {
  const server = new PostgresServer(options)
  const connection = async (spec: ResourceSpec): Promise<Outcome<ResourceConnection>> =>
    done({ url: await server.addressOf(physicalName(spec), spec.password) })
  const call = <T>(
    [ref, fence, password]: readonly [ResourceRef, Fence | null, string?],
    signal: AbortSignal,
    work: (line: Line, facts: ServerFacts) => Promise<Outcome<T>>,
  ): Promise<Outcome<T>> => {
    const nonsense = senseless(ref, fence, password)
    return nonsense === null ? server.call(signal, work) : Promise.resolve(nonsense)
  }
  return {
    type: 'POSTGRES',
    unavailable: null,
    start: () => server.start(),
    close: () => server.close(),
    provision: (spec, fence, signal) =>
      call([spec, fence, spec.password], signal, async (line, facts) => {
        await steps.closeToPublic(line)
        await provision(line, facts, { ...spec, installation: options.installation }, fence)
        return connection(spec)
      }),
    observe: (ref, signal) =>
      call([ref, null], signal, async (line) =>
        // Whoever changes something has made the ledger when it came in.
        options.onlyReads && !(await ledger.hasLedger(line, 'incarnation'))
          ? done({ state: 'absent' })
          : observe(line, ref),
      ),
    pause: (ref, fence, signal) => call([ref, fence], signal, (line) => pause(line, ref, fence)),
    resume: (ref, fence, signal) => call([ref, fence], signal, (line) => resume(line, ref, fence)),
    rotate: (spec, fence, signal) =>
      call([spec, fence, spec.password], signal, async (line) => {
        const outcome = await rotate(line, spec, fence)
        return outcome.kind === 'done' ? connection(spec) : outcome
      }),
    setWritable: (ref, writable, fence, signal) =>
      call([ref, fence], signal, (line) => setWritable(line, ref, writable, fence)),
    deprovision: (ref, fence, signal) =>
      call([ref, fence], signal, (line) => deprovision(line, server, ref, fence, signal)),
    async listOwned(signal) {
      if (!signal.aborted && (await server.isUnmade())) return done([])
      return server.call(signal, async (line) =>
        done((await ledger.hasLedger(line)) ? await ledger.listLedger(line, options.installation) : []),
      )
    },
  }
}

const missing = refused('The database is not there')

const isOpen = (found: ledger.Found): boolean =>
  found.role && found.login && found.database && (found.connectionLimit > 0 || found.connectionLimit === -1)

async function provision(
  line: Line,
  facts: ServerFacts,
  spec: ResourceSpec & { readonly installation: string },
  fence: Fence,
): Promise<void> {
  const name = physicalName(spec)
  const held = await ledger.admitted(line, spec, fence, 'make', () => 'making')
  const known = fingerprint(spec.password)
  if (!(held.state === 'active' && held.fingerprint === known && isOpen(held))) {
    await ledger.record(line, spec, held, 'making', null)
    await steps.makeRole(line, name, held, await scramVerifier(spec.password), facts)
    await steps.makeDatabase(line, name, held)
    if (held.role && held.database) {
      await steps.close(line, name, { ...held, connectionLimit: 0 })
      await steps.endSessions(line, name)
    }
    await steps.open(line, name)
  }
  await ledger.record(line, spec, held, 'active', known)
}

const isShut = (state: ledger.LedgerState | null): boolean => state === 'paused' || state === 'pausing'

/** Half made, half removed or closed: it is there, and nobody can connect. */
async function observe(line: Line, ref: ResourceRef): Promise<Outcome<ResourceObservation>> {
  const found = await ledger.find(line, ref, true)
  const { seen, sizeBytes, database, role } = found
  const between = found.state === 'making' || found.state === 'removing'
  if (seen === null || !(database || (role && between))) return done({ state: 'absent' })
  return done({ state: isOpen(found) ? 'active' : 'paused', generation: seen.generation, sizeBytes })
}

async function pause(line: Line, ref: ResourceRef, fence: Fence): Promise<Outcome<null>> {
  const held = await ledger.admitted(line, ref, fence, 'change', () => 'pausing')
  if (!held.database || !held.role) return missing
  const closed = held.state === 'paused' && !held.login && held.connectionLimit === 0
  if (!closed) {
    await steps.close(line, physicalName(ref), held)
    await steps.endSessions(line, physicalName(ref))
  }
  await ledger.record(line, ref, held, 'paused')
  return done(null)
}

async function resume(line: Line, ref: ResourceRef, fence: Fence): Promise<Outcome<null>> {
  const held = await ledger.admitted(line, ref, fence, 'change', () => 'resuming')
  if (!held.database || !held.role) return missing
  if (!(held.state === 'active' && isOpen(held))) await steps.open(line, physicalName(ref))
  await ledger.record(line, ref, held, 'active')
  return done(null)
}

async function rotate(line: Line, spec: ResourceSpec, fence: Fence): Promise<Outcome<null>> {
  const name = physicalName(spec)
  const held = await ledger.admitted(line, spec, fence, 'change', (before) => (isShut(before) ? 'paused' : 'rotating'))
  if (!held.database || !held.role) return missing
  const known = fingerprint(spec.password)
  const stayClosed = isShut(held.state)
  if (!(held.fingerprint === known && (isOpen(held) || stayClosed))) {
    await ledger.record(line, spec, held, stayClosed ? 'paused' : 'rotating', null)
    await steps.changePassword(line, name, await scramVerifier(spec.password))
    // Shut for a moment: who was let in with the old password and is not listed yet would be overlooked.
    await steps.close(line, name, held)
    await steps.endSessions(line, name)
    if (!stayClosed) await steps.open(line, name)
  }
  await ledger.record(line, spec, held, stayClosed ? 'paused' : 'active', known)
  return done(null)
}

async function setWritable(line: Line, ref: ResourceRef, writable: boolean, fence: Fence): Promise<Outcome<null>> {
  const name = physicalName(ref)
  const held = await ledger.admitted(line, ref, fence, 'change', (before) => (isShut(before) ? 'paused' : 'limiting'))
  if (!held.database || !held.role) return missing
  const stayClosed = isShut(held.state)
  const settled = held.writable === writable && (stayClosed || (held.state === 'active' && isOpen(held)))
  if (!settled) {
    await steps.setWritable(line, name, writable)
    // Shut for a moment, as in a rotation.
    await steps.close(line, name, held)
    await steps.endSessions(line, name)
    if (!stayClosed) await steps.open(line, name)
  }
  await ledger.record(line, ref, held, stayClosed ? 'paused' : 'active')
  return done(null)
}

async function deprovision(
  line: Line,
  server: PostgresServer,
  ref: ResourceRef,
  fence: Fence,
  signal: AbortSignal,
): Promise<Outcome<null>> {
  const name = physicalName(ref)
  const held = await ledger.admitted(line, ref, fence, 'remove', () => 'removing')
  await steps.close(line, name, held)
  if (held.database) await steps.dropDatabase(line, name)
  if (held.role) await steps.dropRole(line, server, name, signal)
  await ledger.record(line, ref, held, 'removed', null)
  await ledger.trimLedger(line)
  return done(null)
}
