// Drizzle's session over our pool. It differs from the original in three things: an error passes through as it is
// (Drizzle wraps it in one that carries all parameters), a prepared statement's name becomes a comment in its text
// (so faults and pg_stat_activity can name it), and there are no transactions.

import type { PreparedQueryConfig } from 'drizzle-orm/pg-core'
import { PgDialect } from 'drizzle-orm/pg-core'
import { PostgresJsDatabase, PostgresJsSession } from 'drizzle-orm/postgres-js'
import type { Sql } from 'postgres'
import { DatabaseFault } from './fault.ts'
import type { Channel } from './slot.ts'

export type Database = PostgresJsDatabase<Record<string, never>>

const channels = new WeakMap<Database, Channel>()

/** One Drizzle database whose statements all go to the channel. */
export function databaseOver(channel: Channel): Database {
  const dialect = new PgDialect()
  const session = new PoolSession(clientOver(channel), dialect, undefined)
  const db: Database = new PostgresJsDatabase(dialect, session as never, undefined)
  channels.set(db, channel)
  return db
}

/** Where the statements of a database go. Throws for one that `databaseOver` has not made. */
export function channelOf(db: Database): Channel {
  const channel = channels.get(db)
  if (!channel) throw new Error('no database of ours')
  return channel
}

/** The name in a statement's leading comment, if there is one. */
export function statementName(sql: string): string | undefined {
  return /^\s*\/\*\s*([\w.:-]{1,80})\s*\*\//.exec(sql)?.[1]
}

/** What Drizzle asks of postgres.js: a lazy thenable with `values()`. */
function clientOver(channel: Channel): Sql {
  const client = {
    unsafe(sql: string, params: unknown[] = [], { prepare = false } = {}) {
      const run = (arrayMode: boolean) => channel.run({ sql, params, prepare, arrayMode })
      return {
        values: () => run(true),
        // biome-ignore lint/suspicious/noThenProperty: lazy like the driver's own query; `values()` may still follow
        then: (resolve: (rows: unknown[]) => unknown, reject: (error: unknown) => unknown) =>
          run(false).then(resolve, reject),
      }
    },
    begin: () => refuseTransaction(),
    options: { parsers: {}, serializers: {} },
  }
  return client as unknown as Sql
}

function refuseTransaction(): Promise<never> {
  return Promise.reject(new DatabaseFault('bug', 'no transaction is held open from the client: write one statement'))
}

class PoolSession extends PostgresJsSession<Sql, Record<string, never>, Record<string, never>> {
  override prepareQuery<T extends PreparedQueryConfig>(...[query, fields, name, ...rest]: PrepareArguments) {
    const named = name === undefined ? query : { ...query, sql: withName(query.sql, name) }
    const prepared = super.prepareQuery<T>(named, fields, name, ...rest)
    const execute = prepared.execute.bind(prepared)
    return Object.assign(prepared, {
      queryWithCache: (_sql: string, _params: unknown[], run: () => unknown) => run(),
      execute: async (values?: Record<string, unknown>) => {
        try {
          return await execute(values)
        } catch (error) {
          throw error instanceof DatabaseFault ? error : withoutValues(error, name)
        }
      },
    })
  }

  override transaction(): Promise<never> {
    return refuseTransaction()
  }
}

type PrepareArguments = Parameters<PostgresJsSession<Sql, Record<string, never>, Record<string, never>>['prepareQuery']>

function withName(sql: string, name: string): string {
  return statementName(sql) === undefined ? `/* ${name.replace(/[^\w.:-]/g, '_')} */ ${sql}` : sql
}

/** An error from filling in placeholders or from mapping rows; its message may quote a value, its frames do not. */
function withoutValues(error: unknown, statement: string | undefined): DatabaseFault {
  const [kind, stack] = error instanceof Error ? [error.name, error.stack] : [typeof error, undefined]
  const missing = /^No value for placeholder "\w+" was provided$/.exec(error instanceof Error ? error.message : '')
  const fault = new DatabaseFault('bug', missing?.[0] ?? `${kind} while parameters or rows were mapped`, { statement })
  const frames = stack?.split('\n').filter((line) => line.startsWith('    at ')) ?? []
  fault.stack = `${fault.name}: ${fault.message}\n${frames.join('\n')}`
  return fault
}
