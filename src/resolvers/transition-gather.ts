// Calls of one rule that come at the same time are decided together. A call that finds nothing under way goes at once, by the
// statement for one. Whatever comes while enough is out waits for one of those to come back, and then all of it goes in one
// statement (transition-group.ts): one round trip and one commit for many. There is no timer that anybody waits for.
// What a group does not decide, since it is held by somebody else or is not there, and what fails together, is decided by the
// statement for one, each for itself, which holds nobody up. So every answer is one that the call would have had alone.
import { DatabaseFault } from '../db/fault.ts'
import type { Statement } from '../db/prepared.ts'
import type { Group } from './transition-group.ts'

/** More are of little use, and make the answer to the first of them late. */
const togetherAtMost = 64
/** While one is being answered the next is on its way, as soon as that is worth it: when it is not smaller. */
const outAtMost = 2
/** As many as may wait for a connection of the API's pool (db/client.ts). */
const waitingAtMost = 240
/** What is out for so long, in ms, is held up: nobody waits for it any more. */
const patienceMs = 100

interface Row {
  readonly found: unknown
}
type Values = Record<string, unknown>

interface Waiting {
  readonly values: Values
  /** No two in one statement have one in common: the subject, and the key under which the call may be repeated. */
  readonly marks: readonly string[]
  readonly sinceMs: number
  readonly answer: PromiseWithResolvers<readonly Row[]>
}

/** A rule's statement that gathers calls; each call gets its own row, as from the statement for one. */
export function gathering(name: string, one: Statement, group: Group): Statement {
  const out = new Set<readonly Waiting[]>()
  let waiting: Waiting[] = []

  /** As many as may go now, in the order in which they came. */
  function gather(): Waiting[] {
    const taken = new Set([...out].flat().flatMap(({ marks }) => marks))
    const overdue = performance.now() - patienceMs
    const going: Waiting[] = []
    waiting = waiting.filter((call) => {
      if (going.length === togetherAtMost) return true
      const after = call.marks.some((mark) => taken.has(mark))
      for (const mark of call.marks) taken.add(mark)
      if (!after) going.push(call)
      else if (call.sinceMs < overdue) void decideAlone(call)
      else return true
      return false
    })
    return going
  }

  const isWorthIt = () => [...out].every(({ length }) => length <= waiting.length)

  function send(): void {
    while (waiting.length > 0 && out.size < outAtMost && isWorthIt()) {
      const calls = gather()
      if (calls.length === 0) return
      out.add(calls)
      const back = () => {
        clearTimeout(timer)
        if (out.delete(calls)) send()
      }
      const timer = setTimeout(back, patienceMs)
      const [only, ...more] = calls
      if (only && more.length === 0 && out.size === 1) void decideAlone(only).then(back)
      else void decideTogether(calls, back)
    }
  }

  const decideAlone = ({ values, answer }: Waiting): Promise<void> =>
    one.execute(values).then((rows) => answer.resolve(rows as Row[]), answer.reject)

  async function decideTogether(calls: readonly Waiting[], back: () => void): Promise<void> {
    try {
      const rows = (await group(calls.map(({ values }) => values))) as Row[]
      back()
      const byId = new Map(rows.map((row) => [(row.found as { id: string }).id, row]))
      for (const call of calls) {
        const row = byId.get(String(call.values.id))
        if (row) call.answer.resolve([row])
        else void decideAlone(call)
      }
    } catch (error) {
      back()
      const undone = error instanceof DatabaseFault && !['unavailable', 'unknown-outcome'].includes(error.kind)
      for (const call of calls) {
        if (undone) void decideAlone(call)
        else call.answer.reject(error)
      }
    }
  }

  return {
    async execute(values = {}) {
      if (waiting.length >= waitingAtMost)
        throw new DatabaseFault('unavailable', 'too many calls wait to be decided', { statement: name, shed: true })
      const { id, actorId, mutation, key } = values
      const marks = [String(id), ...(key === null ? [] : [`${actorId} ${mutation} ${key}`])]
      const call = { values, marks, sinceMs: performance.now(), answer: Promise.withResolvers<readonly Row[]>() }
      waiting.push(call)
      send()
      return call.answer.promise
    },
  }
}
