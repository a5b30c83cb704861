// Statements that are built once per database handle and named: only those are planned once by the server, everything else
// is parsed and planned at every call (measured: four times slower).

/** What drizzle's `.prepare(name)` gives. */
export interface Statement {
  execute(values?: Record<string, unknown>): Promise<unknown>
}
const prepared = new WeakMap<object, Map<string, Statement>>()

/** The statement of that name on that handle, built at its first use. */
export function statementOf<S extends Statement>(db: object, name: string, prepare: () => S): S {
  let byName = prepared.get(db)
  if (!byName) {
    byName = new Map()
    prepared.set(db, byName)
  }
  const known = byName.get(name)
  if (known) return known as S
  const statement = prepare()
  byName.set(name, statement)
  return statement
}
