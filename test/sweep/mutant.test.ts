// That the tenant sweep can fail: from each statement that it was seen to send, one after the other, the comparison with the
// caller's team is left out, and what used that statement is swept again. The product has no switch for this: the
// statement is changed on its way to the database. PAWL_ROUNDS=1 tries every statement, otherwise a few.
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Statement } from '../../src/db/client.ts'
import { statementName } from '../../src/db/session.ts'
import { type Api, openApi } from '../schema/api.ts'
import { noLimit } from './no-limit.ts'
import { everythingOf, read, readEverything } from './paths.ts'
import { nameOf, sweepMutation, sweepQuery } from './tenant.ts'
import { places } from './walk.ts'
import { idsOf, openWorld, shownOf, type World } from './world.ts'

/** Sweeps again what used a statement; returns whether anything was found. */
type Trial = () => Promise<boolean>

/** All of them where PAWL_ROUNDS is set; otherwise, for a run that is short, a read, a loader and a rule. */
const whole = process.env.PAWL_ROUNDS !== undefined
const few = [
  'read:deployments.page',
  'read:operations.pages',
  'read:deployment.byId',
  'read:stack.byId',
  'stopDeployment',
]
const usesOfFew = /^deployments.*\.operations|^Query\.node\(|^Subscription\.stack|^Mutation\.stopDeployment/

/** Of a statement's uses the first and the last so many are tried: the sweep itself tries all. */
const maxTrials = 4

let api: Api
let world: World
beforeAll(async () => {
  api = await openApi({ rate: noLimit() })
  world = await openWorld(api)
})
afterAll(async () => {
  await world.close()
  await api.close()
})

const named = ({ sql }: Statement) => statementName(sql) ?? sql.slice(0, 60)

/** The statement without the comparisons with that team; null when it has none. */
function without(teamId: string, { sql, params }: Statement): string | null {
  let mutant = sql
  for (const [at, value] of params.entries()) {
    if (value !== teamId) continue
    const compared = new RegExp(String.raw`(?:"\w+"\.|\b\w+\.)?"?\b(?:team_id|id)"? = \$${at + 1}\b(?:::text)?`, 'g')
    mutant = mutant.replace(compared, `$$${at + 1}::text is not null`)
  }
  return mutant === sql ? null : mutant
}

/** What each statement with such a comparison was used by. */
async function usesOf(trials: ReadonlyMap<string, Trial>): Promise<Map<string, string[]>> {
  const uses = new Map<string, string[]>()
  for (const [name, trial] of trials) {
    api.forget()
    expect(await trial(), `${name} finds something without any mutant`).toBe(false)
    const sent = api.statements.filter((statement) => without(world.a.teamId, statement) !== null).map(named)
    for (const one of new Set(sent)) uses.set(one, [...(uses.get(one) ?? []), name])
  }
  return uses
}

test('a statement that leaves the team out is found, whichever it is', async () => {
  const documents = everythingOf(world)
  const { answers: alone } = await readEverything(world)
  await world.settle()
  const theirs = new Set(idsOf(world.b))
  const trials = new Map<string, Trial>()
  for (const [at, document] of documents.entries()) {
    trials.set(`${document.paths.map(({ name }) => name).join(' ')} ${at}`, async () => {
      const { data } = await read(world, document)
      return !isDeepStrictEqual(data, alone[at]?.data) || shownOf(theirs, data).length > 0
    })
  }
  for (const [nth, place] of places('ID').entries()) {
    const sweep = place.type === 'Mutation' ? sweepMutation : sweepQuery
    trials.set(nameOf(place), async () => (await sweep(world, place, nth)).length > 0)
  }
  const tried = [...trials].filter(([name]) => whole || usesOfFew.test(name))
  const uses = await usesOf(new Map(tried))

  // Reads first: what a mutant moves is seen by those that come after it.
  const order = [...uses.keys()].sort(
    (one, other) => Number(other.startsWith('read:')) - Number(one.startsWith('read:')),
  )
  const chosen = order.filter((name) => whole || few.includes(name))
  expect(chosen.length).toBeGreaterThanOrEqual(whole ? 60 : few.length)
  const survivors: string[] = []
  for (const name of chosen) {
    api.before = (statement) => {
      if (named(statement) === name) statement.sql = without(world.a.teamId, statement) ?? statement.sql
    }
    let found = false
    const all = uses.get(name) ?? []
    for (const use of new Set([...all.slice(-maxTrials), ...all.slice(0, maxTrials)]))
      found ||= (await trials.get(use)?.()) ?? false
    if (!found) survivors.push(name)
  }
  api.before = () => {}
  process.stdout.write(`mutants without the team: ${chosen.length}, found ${chosen.length - survivors.length}\n`)
  expect(survivors).toEqual([])
}, 180_000)
