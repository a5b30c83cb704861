// The single steps by which a resource is made, closed, opened and removed on PostgreSQL. CREATE and DROP DATABASE run
// in no transaction, so each step leaves something that the next call can go on from, and each may be repeated.
// All of them run under the lock of the incarnation; names are quoted and made of letters, digits, - and _ alone.
import { setTimeout as sleep } from 'node:timers/promises'
import { refused, unreachable, working } from '../outcome.ts'
import { type Found, oneAtATime } from './postgres-ledger.ts'
import type { PostgresServer, ServerFacts } from './postgres-server.ts'
import { codeOf, Ended, type Line } from './postgres-session.ts'

const CONNECTIONS_AT_MOST = 20
const DROP_INTERRUPTED = -2
const END_SESSIONS_MS = 5_000
const LOOK_AGAIN_MS = 20
/** Where a client of its own may set others; only the last one cannot be raised by it. */
const SETTINGS = { statement_timeout: '15min', idle_in_transaction_session_timeout: '10min', lock_timeout: '1min' }
const SUPERUSER_SETTINGS = { temp_file_limit: '2GB' }

const quoted = (name: string): string => `"${name}"`

/**
 * Takes from PUBLIC the right to enter the databases that come with a server, and refuses a server where a resource's
 * role could enter another database all the same.
 */
export async function closeToPublic(line: Line): Promise<void> {
  const open = async () => {
    const rows = await line.ask(
      'entrances',
      `SELECT datname, datname IN ('postgres', 'template1', current_database()) AS common FROM pg_database
      WHERE datallowconn AND NOT EXISTS (SELECT FROM pawl_provision.ledger WHERE datname = 'pawl_' || incarnation) AND EXISTS (
        SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0 AND privilege_type = 'CONNECT')
      ORDER BY datname`,
    )
    return rows.map(({ datname, common }) => ({ name: String(datname), common: common === true }))
  }
  const found = await open()
  if (found.some(({ common }) => common)) {
    await oneAtATime(line, async () => {
      for (const { name, common } of await open()) {
        const revoke = `REVOKE CONNECT, TEMPORARY ON DATABASE "${name.replaceAll('"', '""')}" FROM PUBLIC`
        if (common) await line.ask('close entrance', revoke)
      }
    })
  }
  const left = (found.length === 0 ? [] : await open()).map(({ name }) => name.replace(/[^\w .-]/g, '?'))
  if (left.length === 0) return
  throw new Ended(
    refused(
      `Everyone may enter the database ${left[0]} on the server for resources: give Pawl a server of its own, or run ` +
        `REVOKE CONNECT ON DATABASE "${left[0]}" FROM PUBLIC`,
    ),
  )
}

/** Makes the role, which cannot log in yet, or gives the one that is there the password and locks it out. */
export async function makeRole(line: Line, name: string, found: Found, verifier: string, facts: ServerFacts) {
  const limits = `NOLOGIN CONNECTION LIMIT ${CONNECTIONS_AT_MOST} PASSWORD '${verifier}'`
  if (found.role) await line.change('alter role', `ALTER ROLE ${quoted(name)} ${limits}`)
  else
    await line.change(
      'create role',
      `CREATE ROLE ${quoted(name)} NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT ${limits}`,
    )
  if (!facts.superuser) {
    const how = facts.version >= 160_000 ? ' WITH SET TRUE, INHERIT TRUE' : ''
    await line.change('join role', `GRANT ${quoted(name)} TO CURRENT_USER${how}`)
  }
  for (const [setting, value] of Object.entries({ ...SETTINGS, ...(facts.superuser ? SUPERUSER_SETTINGS : {}) })) {
    await line.change('set limits', `ALTER ROLE ${quoted(name)} SET ${setting} = '${value}'`)
  }
}

/** The password counts from now on; nobody can log in until `open`. */
export async function changePassword(line: Line, name: string, verifier: string): Promise<void> {
  await line.change('change password', `ALTER ROLE ${quoted(name)} NOLOGIN PASSWORD '${verifier}'`)
}

/** For sessions that begin from now on; each may say otherwise, to remove what is too much. */
export async function setWritable(line: Line, name: string, writable: boolean): Promise<void> {
  const what = writable ? 'RESET default_transaction_read_only' : 'SET default_transaction_read_only = on'
  await line.change('set writable', `ALTER ROLE ${quoted(name)} IN DATABASE ${quoted(name)} ${what}`)
}

/** Makes the database, closed to all; one whose removal was interrupted is removed first, as nothing is left in it. */
export async function makeDatabase(line: Line, name: string, found: Found): Promise<void> {
  const broken = found.database && found.connectionLimit === DROP_INTERRUPTED
  if (broken) await line.change('drop database', `DROP DATABASE IF EXISTS ${quoted(name)} WITH (FORCE)`)
  if (!found.database || broken) {
    const options = `OWNER ${quoted(name)} TEMPLATE template0 ENCODING 'UTF8' CONNECTION LIMIT 0`
    await line.change('create database', `CREATE DATABASE ${quoted(name)} ${options}`)
  }
  await line.change('close database', `REVOKE ALL ON DATABASE ${quoted(name)} FROM PUBLIC`)
}

/** From now on nobody enters; who is in stays. The owner of a database may undo the second half, not the first. */
export async function close(line: Line, name: string, found: Pick<Found, 'role' | 'database' | 'connectionLimit'>) {
  if (found.role) await line.change('lock role', `ALTER ROLE ${quoted(name)} NOLOGIN`)
  if (!found.database || found.connectionLimit === DROP_INTERRUPTED) return
  await line.change('shut database', `ALTER DATABASE ${quoted(name)} WITH IS_TEMPLATE false CONNECTION LIMIT 0`)
}

export async function open(line: Line, name: string): Promise<void> {
  await line.change('open database', `ALTER DATABASE ${quoted(name)} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1`)
  await line.change('unlock role', `ALTER ROLE ${quoted(name)} LOGIN`)
}

/**
 * Ends all sessions of the role and in the database, superusers' apart, and returns when there is none. One that has been let in
 * but is not listed yet holds a lock on the database: whoever takes that lock after `close` finds it shut.
 */
export async function endSessions(line: Line, name: string): Promise<void> {
  const giveUpAt = Date.now() + END_SESSIONS_MS
  for (;;) {
    const rows = await line.change(
      'end sessions',
      `WITH d AS (SELECT oid, datconnlimit FROM pg_database WHERE datname = '${name}'),
      listed AS (
        SELECT a.pid FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
        WHERE (a.datname = '${name}' OR a.usename = '${name}') AND a.pid <> pg_backend_pid()
          AND a.backend_type = 'client backend' AND NOT coalesce(r.rolsuper, false)),
      entering AS (
        SELECT pid FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_database'::regclass
          AND objid = (SELECT oid FROM d) AND pid <> pg_backend_pid())
      SELECT count(*)::integer AS left, coalesce(bool_or(pg_terminate_backend(pid)), true) AS told,
        coalesce((SELECT datconnlimit > 0 OR datconnlimit = -1 FROM d), false) AS reopened,
        (SELECT count(*)::integer FROM entering) AS entering
      FROM listed`,
    )
    const [row = {}] = rows
    if (Number(row.left) === 0 && Number(row.entering) === 0 && row.reopened !== true) return
    if (row.reopened === true) await close(line, name, { role: false, database: true, connectionLimit: -1 })
    if (Date.now() > giveUpAt) throw new Ended(working(500, `${row.left} sessions are still ending`))
    await sleep(LOOK_AGAIN_MS)
  }
}

/** Removes the database with everything in it. */
export async function dropDatabase(line: Line, name: string): Promise<void> {
  await line.change('drop database', `DROP DATABASE IF EXISTS ${quoted(name)} WITH (FORCE)`)
}

/**
 * Removes the role. Owners of other databases may have given it rights, or things that it made there: those
 * are taken back, or left to the owner of the place, because a role that is named anywhere cannot be removed.
 */
export async function dropRole(line: Line, server: PostgresServer, name: string, signal: AbortSignal): Promise<void> {
  const drop = () => line.change('drop role', `DROP ROLE IF EXISTS ${quoted(name)}`)
  try {
    await drop()
  } catch (error) {
    if (codeOf(error) !== '2BP01') throw error
    await line.change('drop rights', `DROP OWNED BY ${quoted(name)}`)
    const places = await line.ask(
      'find rights',
      `SELECT DISTINCT d.datname, o.rolname FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid JOIN pg_roles o ON o.oid = d.datdba
      WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)`,
      [name],
    )
    for (const { datname, rolname } of places) {
      const outcome = await server.inDatabase(String(datname), signal, async (there) => {
        await there.change(
          'hand over',
          `REASSIGN OWNED BY ${quoted(name)} TO "${String(rolname).replaceAll('"', '""')}"`,
        )
        await there.change('drop rights', `DROP OWNED BY ${quoted(name)}`)
        return { kind: 'done', value: null }
      })
      if (outcome.kind !== 'done') {
        throw new Ended(
          unreachable('The database is gone; its role is still named in another one that cannot be entered'),
        )
      }
    }
    await drop()
  }
}
