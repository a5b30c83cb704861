// What drivers have against what rows say. Rows are read before a driver is asked and again after it has answered; judged is only
// what stood still from the one to the other, without live work: then the driver's answer is of the same moment, and whatever
// goes on beside it raises no false alarm.
import type { Outcome } from './drivers/outcome.ts'
import type { OwnedResource, Provisioner } from './drivers/provision/driver.ts'
import type { OwnedWorkload, RuntimeDriver } from './drivers/runtime/driver.ts'
import { runsOnThisMachine } from './drivers/runtime/process-table.ts'
import { atMost } from './loops/at-most.ts'
import { type Checked, checkedOf } from './resolvers/check.ts'
import { type OutsideRow, outsideRows } from './resolvers/outside-check.ts'
import type { Database } from './resolvers/transition.ts'

/** What a look at a driver came to; `incomplete` says what of it could not be looked at. */
export interface OutsideChecked extends Checked {
  readonly incomplete: string | null
}
type Ref = Pick<OutsideRow, 'subjectId' | 'incarnation'>
interface Suspect extends Ref {
  readonly flaw: string
}
interface Looked {
  /** What was looked at, in words. */
  readonly said: string
  readonly suspects: readonly Suspect[]
  readonly incomplete: string | null
}

const timeoutMs = 60_000
const askedAtOnce = 16
const keyOf = ({ subjectId, incarnation }: Ref) => `${subjectId} ${incarnation}`
const inTime = () => AbortSignal.timeout(timeoutMs)
const why = (outcome: Outcome<unknown>) => ('reason' in outcome ? outcome.reason : outcome.kind)
/** What must not differ for a suspicion to stand. */
const face = (row: OutsideRow | undefined) =>
  row && JSON.stringify([row.state, row.version, row.instanceId, row.there, row.ended])

async function compare(
  rowsNow: (subjectIds?: readonly string[]) => Promise<readonly OutsideRow[]>,
  look: (rows: ReadonlyMap<string, OutsideRow>) => Promise<Looked>,
): Promise<OutsideChecked> {
  const mapped = (rows: readonly OutsideRow[]) => new Map(rows.map((row) => [keyOf(row), row]))
  const before = mapped(await rowsNow())
  const { said, suspects, incomplete } = await look(before)
  const after = mapped(await rowsNow([...new Set(suspects.map(({ subjectId }) => subjectId))]))
  const stood = suspects.filter((suspect) => {
    const [was, is] = [before.get(keyOf(suspect)), after.get(keyOf(suspect))]
    // What had no living row and has none now is nobody's; else the row has to be as it was.
    return was === undefined ? is === undefined || is.ended : is !== undefined && !is.busy && face(is) === face(was)
  })
  const busy = [...before.values()].filter((row) => row.busy).length
  const found = stood.map((suspect) => {
    const ended = after.get(keyOf(suspect))
    return `${suspect.subjectId}: ${suspect.flaw}${ended?.ended ? `, and it is ${ended.state}` : ''}`
  })
  return { ...checkedOf(`${said} of ${before.size} rows, ${busy} with work under way`, found), incomplete }
}

/** Workloads of the runtime driver, and runs on this machine that it knows nothing of. */
export function checkRuntime(db: Database, driver: RuntimeDriver): Promise<OutsideChecked> {
  const rowsNow = (ids?: readonly string[]) => outsideRows(db, 'workload', ids)
  return compare(rowsNow, async (rows) => {
    const running = driver.name === 'process' ? runsOnThisMachine() : null
    const listed = await driver.listOwned(inTime())
    if (listed.kind !== 'done') return nothing(why(listed))
    const owned = new Map(listed.value.map((one) => [keyOf(one), one]))
    const suspects = listed.value.flatMap((one) => suspectRun(one, rows.get(keyOf(one))))
    const lost = [...rows.values()].filter(
      (row) => row.there && !row.busy && row.unheard && !owned.get(keyOf(row))?.instanceId,
    )
    await eachOf(lost, async (row) => {
      const seen = await driver.observeInstance(row, String(row.instanceId), inTime())
      if (seen.state === 'running') return
      suspects.push({ ...row, flaw: `is ${row.state}, and its run ${row.instanceId} is ${seen.state}: ${seen.reason}` })
    })
    const current = new Set(listed.value.map(({ instanceId }) => instanceId))
    const strays = [...(running ?? [])].filter(([id]) => !current.has(id))
    const here = strays.length > 0 ? runsOnThisMachine() : null
    const ours = await outsideRows(db, 'workload', [...new Set(strays.map(([, { subjectId }]) => subjectId))])
    for (const [id, { subjectId, pid }] of strays) {
      const rowsOf = ours.filter((one) => one.subjectId === subjectId)
      const row = rowsOf.find(({ instanceId }) => instanceId === id) ?? rowsOf[0]
      if (row === undefined || !here?.has(id)) continue
      // One from before there were installations is not listed, and is known all the same.
      if (row.instanceId === id && (await driver.observeInstance(row, id, inTime())).state === 'running') continue
      const flaw = `the run ${id} lives (process ${pid}), and its driver does not know it`
      suspects.push({ ...row, incarnation: id, flaw })
    }
    const lives = listed.value.filter(({ instanceId }) => instanceId !== null).length
    const said = `${listed.value.length} workloads on this host, ${lives} of them running,`
    return { said, suspects, incomplete: null }
  })
}

function suspectRun(
  { subjectId, incarnation, instanceId, generation }: OwnedWorkload,
  row: OutsideRow | undefined,
): Suspect[] {
  const told = (flaw: string) => [{ subjectId, incarnation, flaw }]
  const run = instanceId === null ? 'holds its address' : `runs as ${instanceId}`
  if (row === undefined) return told(`its workload ${incarnation} ${run}, and no living row has it`)
  if (row.busy) return []
  if (generation > row.generation)
    return told(`its driver has seen generation ${generation}, and its row ${row.generation} only`)
  if (instanceId === null) return []
  if (row.still) return told(`is ${row.state}, and ${run}`)
  if (!row.there) return []
  if (generation < row.generation)
    return told(`is at generation ${row.generation}, and ${run} for generation ${generation}`)
  return instanceId === row.instanceId ? [] : told(`${run}, and its row names ${row.instanceId}`)
}

/** Resources of one provisioner; one that cannot be used, and that no row needs, has nothing to look at. */
export function checkProvisioner(db: Database, provisioner: Provisioner): Promise<OutsideChecked> {
  const { type } = provisioner
  const rowsNow = async (ids?: readonly string[]) =>
    (await outsideRows(db, 'resource', ids)).filter((row) => row.type === type)
  return compare(rowsNow, async (rows) => {
    if (provisioner.unavailable !== null)
      return rows.size > 0 ? nothing(provisioner.unavailable) : { said: `no ${type}`, suspects: [], incomplete: null }
    const listed = await provisioner.listOwned(inTime())
    if (listed.kind !== 'done') return nothing(why(listed))
    const suspects = listed.value.flatMap((one) => suspectResource(one, rows.get(keyOf(one))))
    const settled = [...rows.values()].filter((row) => row.there && !row.busy)
    let silent: string | null = null
    await eachOf(settled, async (row) => {
      const seen = await provisioner.observe(row, inTime())
      if (seen.kind !== 'done') silent = `${row.subjectId}: ${why(seen)}`
      else if (seen.value.state === 'absent')
        suspects.push({ ...row, flaw: `is ${row.state}, and its provider has nothing of it` })
      else if (row.still !== (seen.value.state === 'paused'))
        suspects.push({ ...row, flaw: `is ${row.state}, and ${row.still ? 'can' : 'cannot'} be connected to` })
    })
    return { said: `${listed.value.length} ${type}`, suspects, incomplete: silent }
  })
}

function suspectResource(
  { subjectId, incarnation, generation }: OwnedResource,
  row: OutsideRow | undefined,
): Suspect[] {
  const told = (flaw: string) => [{ subjectId, incarnation, flaw }]
  if (row === undefined) return told(`pawl_${incarnation} is there, and no living row has it`)
  if (row.busy || generation <= row.generation) return []
  return told(`its provider has seen generation ${generation}, and its row ${row.generation} only`)
}

async function eachOf(rows: readonly OutsideRow[], ask: (row: OutsideRow) => Promise<void>): Promise<void> {
  const turn = atMost(askedAtOnce)
  await Promise.all(rows.map((row) => turn(() => ask(row))))
}

const nothing = (reason: string): Looked => ({ said: 'nothing', suspects: [], incomplete: reason })
