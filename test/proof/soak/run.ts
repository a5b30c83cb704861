// `npm run soak -- --minutes 10 --seed 7 [--replicas 3]`: replicas, callers and loops at random under faults, then a calm, then the
// checks. The same seed gives the same orders of each caller and the same sequence of faults; how they meet is up to the machine.
// Exit code 1 when anything does not fit; the history, the faults and the drivers' log are kept then.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Replica } from '../fleet.ts'
import { record } from '../record.ts'
import { call } from './caller.ts'
import { calm, hurry } from './calm.ts'
import { makeCast } from './cast.ts'
import { figuresOf, lineOf } from './figures.ts'
import { follow } from './follower.ts'
import { History } from './history.ts'
import { type EventRow, type Finding, judge, type OperationRow } from './judge.ts'
import { judgeFollower, judgeReceiver } from './judge-told.ts'
import { neverOrdered } from './order.ts'
import { pause } from './pace.ts'
import { openStage, type Stage } from './stage.ts'
import { endTeam, trouble } from './trouble.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    replicas: { type: 'string', default: '3' },
  },
})
const [minutes, seed, count] = [Number(values.minutes), Number(values.seed), Number(values.replicas)]
const isWhole = (number: number, from: number, to: number) => Number.isInteger(number) && number >= from && number <= to
if (!(minutes > 0 && minutes <= 1_440) || !isWhole(seed, 0, 2 ** 31) || !isWhole(count, 1, 9)) {
  process.stderr.write(
    'Usage: npm run soak -- --minutes 10 --seed 7 --replicas 3 (0 < minutes ≤ 1440, replicas from 1 to 9)\n',
  )
  process.exit(2)
}
const restWithinMs = 30_000
const prefix = `soak-${seed}-`
const again = `npm run soak -- --minutes ${minutes} --seed ${seed} --replicas ${count}`

const begunAt = performance.now()
const say = (line: string): void => {
  const seconds = Math.round((performance.now() - begunAt) / 1_000)
  process.stdout.write(
    `${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, '0')} ${line}\n`,
  )
}

/** Plays it all; answers what was found. */
async function soak(
  stage: Stage,
): Promise<{ readonly findings: readonly Finding[]; readonly figures: Record<string, number | string> }> {
  const { sql, receiver, folder } = stage
  const findings: Finding[] = neverOrdered.map((name) => ({ rule: 'mix', what: `nobody orders ${name}` }))
  await Promise.all(stage.replicas.map((_, n) => stage.start(n)))
  const cast = await makeCast(stage)
  const history = new History(join(folder, 'history.jsonl'))
  const [done, well, rested] = [new AbortController(), new AbortController(), new AbortController()]
  const followers = await Promise.all(
    cast.teams.map((team) => follow(team, stage.replicas[0] as Replica, stage.address, rested.signal)),
  )
  say(`${count} replicas serve; ${cast.callers.length} callers begin, for ${minutes} minutes; in ${folder}`)

  const calling = { seed, history, prefix, receiver: receiver.url, address: stage.address }
  const callers = cast.callers.map((caller) => call(caller, calling, done.signal))
  const note = (name: string, what: string) => {
    say(`  ${name}: ${what}`)
    appendFileSync(join(folder, 'faults.jsonl'), `${JSON.stringify({ atMs: performance.now(), name, what })}\n`)
  }
  const troubled = trouble(stage, { seed, minutes, note }, well.signal)
  const hurried = hurry(stage, 2_000, rested.signal)
  const told = setInterval(() => {
    for (const proxy of stage.proxies) proxy.reset()
    say(lineOf(history.lines, stage.replicas.filter(Boolean).length))
  }, 10_000)
  await pause(minutes * 60_000 * 0.6)
  await Promise.all([
    pause(minutes * 60_000 * 0.4),
    endTeam(stage, done.signal),
    pause(minutes * 60_000 * 0.4).then(() => done.abort()),
  ])
  await Promise.all(callers)
  say('callers are done; the faults end')
  well.abort()
  await troubled.over
  say(`nothing goes wrong any more; it has ${restWithinMs / 1_000} s to come to rest`)
  const { left, tookMs } = await calm(stage, restWithinMs)
  for (const what of left) findings.push({ rule: 'rest', what })
  say(left.length === 0 ? `at rest after ${(tookMs / 1_000).toFixed(1)} s` : `not at rest: ${left.length} things left`)
  clearInterval(told)
  const [placed] = await sql`select max(position)::int as last from event`
  // What was given its position last has yet to travel; loops go on meanwhile.
  await pause(2_000)
  rested.abort()
  await Promise.all([hurried, ...followers.map(({ left: gone }) => gone)])
  const events =
    (await sql`select id, position, team_id as "teamId", subject_type as "subjectType", subject_id as "subjectId", kind,
    to_state as "to", actor_kind as "actorKind", request_id as "requestId", operation_id as "operationId", transition_id as "transitionId"
    from event order by id`) as unknown as EventRow[]
  const operations = (await sql`select id, request_id as "requestId" from operation`) as unknown as OperationRow[]
  findings.push(...judge(history.lines, { events, operations }, prefix))
  for (const { heard } of followers) findings.push(...judgeFollower(heard, events, placed?.last))
  for (const webhook of cast.watched) findings.push(...judgeReceiver(webhook, receiver.receipts, events, placed?.last))
  findings.push(...(await check(stage)))
  for (const n of stage.replicas.keys()) await stage.end(n, 'SIGTERM')
  findings.push(...stage.findings)
  const returns = followers.reduce((sum, follower) => sum + follower.returns(), 0)
  const figures = figuresOf(history.lines, {
    seed,
    minutes,
    replicas: count,
    returns,
    restMs: tookMs,
    faults: troubled.counts,
    events,
    operations: operations.length,
    receipts: receiver.receipts.length,
  })
  return { findings, figures }
}

/** What an operator would run: everything that rows, events, counters and drivers say of each other. */
async function check({ postgres, writeDriverLog, folder }: Stage): Promise<Finding[]> {
  const program = fileURLToPath(new URL('../../../src/check.ts', import.meta.url))
  const child = spawn(process.execPath, [program, '--database-only', '--driver-log', await writeDriverLog()], {
    env: {
      PATH: String(process.env.PATH),
      DATABASE_URL: postgres.url,
      PAWL_SECRET_KEYS: `test:${Buffer.alloc(32, 7).toString('base64')}`,
      PAWL_DATA_DIR: folder,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk))
  const [code] = await once(child, 'close')
  for (const line of text.trim().split('\n')) say(`  check: ${line}`)
  return code === 0 ? [] : [{ rule: 'check', what: text.trim() }]
}

const stage = await openStage(count, say)
let clean = false
const leave = (why: unknown) => {
  process.stderr.write(`${why instanceof Error ? why.stack : why}: kept in ${stage.folder}. Again: ${again}\n`)
  void stage.close().finally(() => process.exit(130))
}
for (const signal of ['SIGINT', 'SIGTERM', 'uncaughtException'] as const) process.once(signal, leave)
try {
  const { findings, figures } = await soak(stage)
  for (const [name, value] of Object.entries(figures)) process.stdout.write(`${name.padEnd(28)} ${value}\n`)
  for (const { rule, what } of findings.slice(0, 200)) process.stdout.write(`FOUND ${rule}: ${what}\n`)
  if (findings.length > 200) process.stdout.write(`… and ${findings.length - 200} more\n`)
  clean = findings.length === 0
  if (clean) record('soak', figures)
  process.stdout.write(
    clean
      ? 'Nothing was lost, nothing was doubled.\n'
      : `${findings.length} findings; kept in ${stage.folder}. Again: ${again}\n`,
  )
} finally {
  await stage.close()
  if (clean) await rm(stage.folder, { recursive: true, force: true })
}
process.exit(clean ? 0 : 1)
