// What was made on this PostgreSQL, by whom and up to which fence: a table in the maintenance database, which no
// resource's role can reach. It is the only thing that says that a name is ours. One call at a time works on an incarnation: it holds
// a lock of its session, so a statement of a call that was cut off cannot come after those of the next one.
import { type Fence, stale } from '../outcome.ts'
import { admitCall, type CallKind, foreign, ofAnother, physicalName, type SeenFence } from './admission.ts'
import type { OwnedResource, ResourceRef } from './driver.ts'
import { Ended, type Line, type Row } from './postgres-session.ts'

/** Where the steps are: what is begun is finished, or undone, by the next call. */
export type LedgerState =
  | 'making'
  | 'active'
  | 'pausing'
  | 'paused'
  | 'resuming'
  | 'rotating'
  | 'limiting'
  | 'removing'
  | 'removed'

/** What there is of an incarnation: its record, its role and its database. */
export interface Found {
  readonly recorded: boolean
  readonly state: LedgerState | null
  readonly seen: SeenFence | null
  /** Of the password that was set last; null while it is being set. */
  readonly fingerprint: string | null
  readonly revision: number
  readonly role: boolean
  readonly login: boolean
  readonly database: boolean
  /** An interrupted DROP DATABASE leaves -2: it can only be dropped again. */
  readonly connectionLimit: number
  /** Whether its sessions write unless they say otherwise. */
  readonly writable: boolean
  readonly sizeBytes: number | null
}

/** Any number: the class of the locks that calls hold, each with a hash of the incarnation. */
const LOCK_CLASS = 1_885_435_756
const SERVER_LOCK_CLASS = LOCK_CLASS + 1
/** As long as a fence without a resource is kept; an operation that is still tried by then is not. */
const KEEP_REMOVED_DAYS = 30

const setup = [
  'CREATE SCHEMA IF NOT EXISTS pawl_provision',
  `CREATE TABLE IF NOT EXISTS pawl_provision.ledger (
    incarnation text PRIMARY KEY,
    subject_id text NOT NULL,
    label text NOT NULL,
    state text NOT NULL,
    generation integer NOT NULL,
    operation_id text NOT NULL,
    attempt integer NOT NULL,
    past text[] NOT NULL,
    removed boolean NOT NULL,
    fingerprint text,
    revision integer NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now())`,
  'ALTER TABLE pawl_provision.ledger ADD COLUMN IF NOT EXISTS installation text',
  'REVOKE ALL ON SCHEMA pawl_provision FROM PUBLIC',
] as const

/** Whether there is a ledger, in the form that tells installations apart or, with `incarnation`, in any. */
export async function hasLedger(line: Line, column: 'installation' | 'incarnation' = 'installation'): Promise<boolean> {
  const [there] = await line.ask(
    'ledger',
    `SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('pawl_provision.ledger')
      AND attname = '${column}') AS there`,
  )
  return there?.there === true
}

/** Makes the ledger if there is none, or what its first form lacks. */
export async function prepareLedger(line: Line): Promise<void> {
  if (await hasLedger(line)) return
  await oneAtATime(line, async () => {
    for (const statement of setup) await line.ask('ledger', statement)
  })
}

/** For what concerns the whole server: one call of all Pawl processes at a time. */
export async function oneAtATime(line: Line, work: () => Promise<void>): Promise<void> {
  await line.ask('lock', 'SELECT pg_advisory_lock($1, $2)', [SERVER_LOCK_CLASS, 0])
  await work()
  await line.ask('unlock', 'SELECT pg_advisory_unlock($1, $2)', [SERVER_LOCK_CLASS, 0])
}

/** Waits for whoever works on the incarnation; the lock ends with the connection. */
export async function lockIncarnation(line: Line, ref: ResourceRef): Promise<void> {
  await line.ask('lock', 'SELECT pg_advisory_lock($1, hashtext($2))', [LOCK_CLASS, ref.incarnation])
}

/** What there is now. Ends the call when it is not ours. */
export async function find(line: Line, ref: ResourceRef, sized = false): Promise<Found> {
  const size = sized ? 'CASE WHEN d.datconnlimit <> -2 THEN pg_database_size(d.oid) END' : 'NULL::bigint'
  const [row = {}] = await line.ask(
    'look',
    `SELECT l.subject_id, l.state, l.generation, l.operation_id, l.attempt, l.past, l.removed, l.fingerprint, l.revision,
      r.oid IS NOT NULL AS role, coalesce(r.rolcanlogin, false) AS login,
      d.oid IS NOT NULL AS database, coalesce(d.datconnlimit, 0) AS connection_limit, o.rolname AS owner, ${size} AS size,
      NOT coalesce('default_transaction_read_only=on' = ANY (s.setconfig), false) AS writable
    FROM (SELECT $1::text AS incarnation, $2::text AS name) AS x
    LEFT JOIN pawl_provision.ledger l ON l.incarnation = x.incarnation
    LEFT JOIN pg_roles r ON r.rolname = x.name
    LEFT JOIN pg_database d ON d.datname = x.name
    LEFT JOIN pg_roles o ON o.oid = d.datdba
    LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid AND s.setrole = r.oid`,
    [ref.incarnation, physicalName(ref)],
  )
  const recorded = row.subject_id !== null && row.subject_id !== undefined
  if (recorded && row.subject_id !== ref.subjectId) throw new Ended(ofAnother(ref))
  const strange = row.database === true && row.owner !== physicalName(ref)
  if (strange || (!recorded && (row.role === true || row.database === true))) throw new Ended(foreign(ref))
  return {
    recorded,
    state: recorded ? (row.state as LedgerState) : null,
    seen: recorded ? seenOf(row) : null,
    fingerprint: (row.fingerprint ?? null) as string | null,
    revision: Number(row.revision ?? 0),
    role: row.role === true,
    login: row.login === true,
    database: row.database === true,
    connectionLimit: Number(row.connection_limit),
    writable: row.writable === true,
    sizeBytes: row.size === null || row.size === undefined ? null : Number(row.size),
  }
}

const seenOf = (row: Row): SeenFence => ({
  generation: Number(row.generation),
  operationId: String(row.operation_id),
  attempt: Number(row.attempt),
  past: row.past as string[],
  removed: row.removed === true,
})

/** What a call holds once it has been let through. */
export interface Admitted extends Found {
  readonly seen: SeenFence
  /** The revision that this call has written: nobody else's may be overwritten. */
  readonly revision: number
}

/**
 * Checks the fence and advances it, under the lock, by a swap on the record's revision. The record is written before
 * anything is made, so what a crash leaves is known to be ours.
 */
export async function admitted(
  line: Line,
  ref: ResourceRef & { readonly name?: string; readonly installation?: string },
  fence: Fence,
  call: CallKind,
  stateAfter: (before: LedgerState | null) => LedgerState,
): Promise<Admitted> {
  await lockIncarnation(line, ref)
  const found = await find(line, ref)
  const next = admitCall(found.seen, fence, call)
  if ('kind' in next) throw new Ended(next)
  const values = [
    ref.incarnation,
    ref.subjectId,
    ref.name ?? '',
    stateAfter(found.state),
    next.generation,
    next.operationId,
  ]
  const rows = await line.ask(
    'fence',
    `INSERT INTO pawl_provision.ledger AS l
      (incarnation, subject_id, label, state, generation, operation_id, attempt, past, removed, installation, revision)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $11, 1)
    ON CONFLICT (incarnation) DO UPDATE SET state = $4, generation = $5, operation_id = $6, attempt = $7, past = $8,
      removed = $9, revision = l.revision + 1, changed_at = now(),
      label = CASE WHEN $3 = '' THEN l.label ELSE $3 END, installation = coalesce($11, l.installation)
    WHERE l.revision = $10
    RETURNING l.revision`,
    [...values, next.attempt, next.past, next.removed, found.revision, ref.installation ?? null],
  )
  if (rows.length === 0) throw new Ended(stale('Another call has worked on the resource meanwhile'))
  return { ...found, seen: next, revision: Number(rows[0]?.revision) }
}

/** Writes where the steps have come to; `fingerprint` only where it changes. */
export async function record(
  line: Line,
  ref: ResourceRef,
  { revision }: Admitted,
  state: LedgerState,
  fingerprint?: string | null,
): Promise<void> {
  const rows = await line.ask(
    `record ${state}`,
    `UPDATE pawl_provision.ledger SET state = $3, fingerprint = CASE WHEN $4 THEN $5 ELSE fingerprint END,
      changed_at = now() WHERE incarnation = $1 AND revision = $2 RETURNING revision`,
    [ref.incarnation, revision, state, fingerprint !== undefined, fingerprint ?? null],
  )
  if (rows.length === 0) throw new Ended(stale('Another call has worked on the resource meanwhile'))
}

/** Drops fences of removed resources that are older than any operation still tried. */
export async function trimLedger(line: Line): Promise<void> {
  await line.ask(
    'trim',
    `DELETE FROM pawl_provision.ledger WHERE state = 'removed' AND changed_at < now() - $1 * interval '1 day'`,
    [KEEP_REMOVED_DAYS],
  )
}

/** Every resource of the ledger, made for that installation, of which a role or a database is there. */
export async function listLedger(line: Line, installation: string): Promise<readonly OwnedResource[]> {
  const rows = await line.ask(
    'list',
    `SELECT l.subject_id, l.incarnation, l.generation FROM pawl_provision.ledger l
    WHERE l.installation = $1 AND l.state <> 'removed' AND (EXISTS (SELECT FROM pg_roles WHERE rolname = 'pawl_' || l.incarnation)
      OR EXISTS (SELECT FROM pg_database WHERE datname = 'pawl_' || l.incarnation)) ORDER BY l.incarnation`,
    [installation],
  )
  return rows.map((row) => ({
    subjectId: String(row.subject_id),
    incarnation: String(row.incarnation),
    generation: Number(row.generation),
  }))
}
