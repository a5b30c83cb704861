// `npm run coverage`: writes test/races/COVERAGE.md, which race of the catalogue below is forced by which test, from the
// titles that begin with its id. `--check` fails when the page is stale. A race that has a test once never loses it:
// both refuse a page that would name fewer races than the one that is there.
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const catalogue = `
# Resurrection, lost transition
R01 redeploy revives an expired or deleted deployment
R02 a build that ends late writes over EXPIRED or DELETED
R03 two redeploys overlap and the older image wins
R04 a longer time limit is accepted, the app still expires
R05 a time limit set on a permanent or ended row
R06 make-permanent of an expired row answers success
R07 redeploy of a stack that is being deleted
R08 promotion onto a target that is being deleted
R09 a late stack deploy writes HEALTHY after deletion began
R10 a periodic delete removes a row that was just extended
R11 a reaper drops what has just been extended
R12 a reaper destroys things of a team inside its restore window
R13 a heartbeat brings a removed instance back
R14 deleted objects reappear in a list that was in flight
R15 a reconciler writes over terminal rows
R16 what was declared stuck then finishes and writes success
# Double effect
R17 two deletes both take the thing down
R18 a second delete path skips the gate
R19 two replicas tear down the same thing
R20 each periodic job runs twice with two replicas
R21 a lost swap still tells the world
R22 R23 one idempotency key runs twice
R24 R25 two of a kind are created
R26 two live confirmations for one object
R27 two promotions to a new environment make two targets
R28 approve against reject, approve twice
R29 a stop hits something that has just got work
R30 R31 the same thing is started twice
R32 overlapping stop and start wedge the subject
R33 a storm of restarts, one per small write
R34 a sweep acts although its update changed nothing
R35 confirm clicked twice
R39 work runs twice after its batch outlives the lease
# Lost update, lost message
R40 concurrent stack env patches lose a key
R41 concurrent deployment env patches lose a key
R42 a patch answers success and stores nothing
R43 stored env is dropped at the next redeploy
R44 a message is lost after a crash
R45 state is committed, its audit row is lost
R47 an unknown answer counted as success
R48 two credential rotations leave a password that does not work
R49 an event dropped on a transient delivery error
R50 an approval burnt by a failing preflight
R51 the same in the twin path
R52 promotion changes the target, then loses the approval
R54 a counter stuck so that a queue never drains
# Stuck states, crash windows
R55 expired things run on
R56 expired rows without a provider id never leave
R57 an approved promotion never runs by itself
R58 a failed teardown is never retried
R59 BUILDING for ever after the process that built died
R60 a failed build shown as stopped
R61 R62 live infrastructure behind a DELETED row
R63 stuck rows promoted without a look at what is there
R64 a refused teardown reported as success
R65 a half-done team deletion after a crash
R67 work done but not recorded
R68 the recovery itself fails at every run
R69 R70 claimed rows or passing states without a way out
R71 one crashing item burns all retries or blocks the batch
R72 R73 orphans after a swallowed error; "gone" is no success
R74 pause answers success while still running
R76 a row vanishes after a provision timeout
R78 accepted work lost at a deploy or crash
R100 R101 a loop writes a state that the database does not know
R102 a rolling deploy aborts running work
R103 eighty minutes until dead work is retried
R104 an old worker spins on a kind that only the new API knows
R106 heavy extra work overruns the tick
R107 one failing pass blocks the others
R108 an agent that does not know the id creates three copies
# False decisions
R79 a healthy instance flipped offline and restarted
R80 re-confirm and flip are two statements
R81 the oldest rows are never checked
R82 DEGRADED with a dead instance falls through every sweep
R83 one cycle takes half an hour
R85 R86 concurrent creates pass the plan cap
R87 suspend and release flap at the limit
R89 R90 R91 loops starve, pools run dry
R92 a live database dropped by an unknown path
R93 a thing that merely looks orphaned is reaped
R94 a lost pause opens what was paused
R97 a cached refusal replays after the state changed
R98 an approval for one stack used for another
R99 a link scanner approves by GET
`

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = 'test/races/COVERAGE.md'
/** A title: the first text given to test(…) or to test.each(…)(…), when it begins with ids. */
const title = /(?:\b(?:test|it)(?:\.\w+)*|\))\s*\(\s*(['"`])((?:R\d{2,3} )+(?:(?!\1)[^\\\n]|\\.)*)\1\s*,/g

interface Found {
  readonly title: string
  readonly file: string
}

function testsById(): Map<string, Found[]> {
  const found = new Map<string, Found[]>()
  for (const file of globSync('test/**/*.{test,conformance}.ts', { cwd: root }).sort()) {
    for (const [, , text = ''] of readFileSync(`${root}/${file}`, 'utf8').matchAll(title)) {
      const ids = /^(?:R\d{2,3} )+/.exec(text)?.[0].trim().split(' ') ?? []
      for (const id of ids) found.set(id, [...(found.get(id) ?? []), { title: text, file }])
    }
  }
  return found
}

/** The page; throws for a test that names a race which is not in the catalogue. */
function render(found: ReadonlyMap<string, readonly Found[]>): string {
  const body: string[] = []
  const all: string[] = []
  for (const line of catalogue.trim().split('\n')) {
    if (line.startsWith('#')) {
      body.push('', `#${line}`, '')
      continue
    }
    const [ids = ''] = /^(?:R\d{2,3} )+/.exec(line) ?? []
    const words = line.slice(ids.length)
    for (const id of ids.trim().split(' ')) {
      all.push(id)
      const tests = found.get(id) ?? []
      body.push(`- ${tests.length > 0 ? `**${id}**` : id} ${words}${tests.length > 0 ? '' : ': no test yet'}`)
      for (const { title: text, file } of tests) body.push(`  - ${text.slice(text.indexOf(id))} (\`${file}\`)`)
    }
  }
  const strangers = [...found.keys()].filter((id) => !all.includes(id))
  if (strangers.length > 0) throw new Error(`tests name races that are not in the catalogue: ${strangers.join(', ')}`)
  const covered = all.filter((id) => found.has(id))
  return [
    '# Race coverage',
    '',
    'Made by `npm run coverage` from the titles of tests; do not edit. Each race is an incident of a real control plane, and',
    'each test forces it on a real PostgreSQL. Races that are left belong to parts that are not built yet, or wait for a test.',
    '',
    `${covered.length} of ${all.length} races have a test.`,
    ...body,
    '',
  ].join('\n')
}

const idsOf = (text: string) => [...text.matchAll(/^- \*\*(R\d+)\*\*/gm)].map(([, id]) => String(id))

function main(check: boolean): string[] {
  const next = render(testsById())
  let before = ''
  try {
    before = readFileSync(`${root}/${page}`, 'utf8')
  } catch {
    // The first time there is no page yet.
  }
  const gone = idsOf(before).filter((id) => !idsOf(next).includes(id))
  if (gone.length > 0) return [`${gone.join(', ')} had a test and has none now: bring it back under its title`]
  if (check) return before === next ? [] : [`${page} is stale: npm run coverage`]
  writeFileSync(`${root}/${page}`, next)
  process.stdout.write(`${/^\d+ of \d+ .*$/m.exec(next)?.[0]}\n`)
  return []
}

const faults = main(process.argv.includes('--check'))
for (const fault of faults) process.stderr.write(`${fault}\n`)
process.exitCode = faults.length > 0 ? 1 : 0
