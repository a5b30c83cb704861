// docs/proof.md, from what a run of the proof has seen: how many schedules each meeting has, which planted bugs were found, where
// processes were killed, what went wrong around them, which answers were had, what a soak came to, and what none of it proves.
import type { Records } from './record.ts'
import type { Proof } from './result.ts'

const grouped = <T>(number: T) => String(number).replace(/\B(?=(\d{3})+$)/g, ',')
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)
const row = (...cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] => [
  row(...head),
  row(...head.map(() => '---')),
  ...rows.map((cells) => row(...cells)),
]
const folded = (title: string, lines: readonly string[]) => [
  '<details>',
  `<summary>${title}</summary>`,
  '',
  ...lines,
  '',
  '</details>',
  '',
]
const keptOf = (some: readonly { readonly kept: boolean }[]) =>
  `${some.filter(({ kept }) => kept).length} of ${some.length}`

/** The page. */
export function pageOf({ at, machine, minutes, seen }: Proof): string {
  return [
    '# What is proved, and how',
    '',
    'Made by `npm run prove -- --write` from its last run; `npm run prove` plays all of it again, in under half an hour on two cores,',
    'and fails when anything does not hold or when this page tells of something that it did not show.',
    '',
    `That run: ${at}, ${minutes} minutes, ${machine}.`,
    '',
    ...schedules(seen.meeting),
    ...mutants(seen.mutant),
    ...deaths(seen.crash),
    ...faults(seen.fault),
    ...answers(seen.pair),
    ...soak(seen.soak),
    ...unproved,
  ].join('\n')
}

function schedules(meetings: readonly Records['meeting'][]): string[] {
  const parts = meetings.map((meeting) => {
    const [subject = '', cast = ''] = meeting.name.split('/')
    return { ...meeting, subject, actors: cast.split('+') }
  })
  const pairs = parts.filter(({ actors }) => actors.length === 2)
  const more = parts.filter(({ actors }) => actors.length > 2)
  const bySubject = [...Map.groupBy(parts, ({ subject }) => subject)]
  const total = (some: readonly Records['meeting'][]) => sum(some.map(({ schedules }) => schedules))
  return [
    '## Every schedule',
    '',
    'Real operations of the product meet on one object, each on a connection of its own to a real PostgreSQL. Each stops before every',
    'statement, every commit and every call of a driver; one at a time is let go on, in every order that makes a difference. A wait for a',
    'lock is seen through `pg_blocking_pids`; its time-out is one more choice. After each schedule the promises P1 to P6, P9 and P10 are',
    'checked by SQL and by what the drivers were asked, and some order of one after the other must explain all answers and the end.',
    '',
    `**${grouped(total(meetings))} schedules of ${grouped(meetings.length)} meetings** on ${bySubject.length} stages: ` +
      `${grouped(total(pairs))} of ${grouped(pairs.length)} pairs, ${grouped(total(more))} of ${more.length} groups of three. ` +
      `${keptOf(meetings)} kept all promises.`,
    '',
    ...table(
      ['stage', 'actors', 'pairs', 'schedules'],
      bySubject.map(([subject, some]) => [
        `\`${subject}\``,
        new Set(some.flatMap(({ actors }) => actors)).size,
        some.filter(({ actors }) => actors.length === 2).length,
        grouped(total(some)),
      ]),
    ),
    '',
    ...folded(
      'Schedules of each pair, by stage',
      bySubject.flatMap(([subject, some]) => matrix(subject, some)),
    ),
    ...folded(
      'Schedules of each group of three: those that preempt at most twice, and random ones',
      table(
        ['meeting', 'schedules'],
        more.map(({ name, schedules }) => [`\`${name}\``, grouped(schedules)]),
      ),
    ),
    'One meeting again: `PAWL_EXPLORE="deployment/redeploy+delete" npx vitest run test/explore`; with `:` and a schedule, as a failure',
    'prints it, that schedule alone, step by step.',
    '',
  ]
}

/** Rows and columns are actors; `~` marks what was not played in full. */
function matrix(
  subject: string,
  some: readonly { readonly actors: readonly string[]; readonly schedules: number; readonly way: string }[],
): string[] {
  const pairs = some.filter(({ actors }) => actors.length === 2)
  const names = [...new Set(pairs.flatMap(({ actors }) => actors))]
  const cell = (one: string, other: string) => {
    const met = pairs.find(({ actors: [a, b] }) => (a === one && b === other) || (a === other && b === one))
    return met ? `${met.way === 'bounded' ? '~' : ''}${met.schedules}` : ''
  }
  const rows = names.map((one, at) => [one, ...names.map((other, to) => (to < at ? '' : cell(one, other)))])
  return [`**${subject}**`, '', ...table(['', ...names], rows), '']
}

function mutants(planted: readonly Records['mutant'][]): string[] {
  const killed = planted.filter((one) => one.killed).length
  const sample = planted.find(({ told }) => told !== undefined)
  return [
    '## Planted bugs',
    '',
    'That the checks can fail is shown by bugs that are planted, in the tests alone: a guard taken out of a statement on its way to the',
    'database, an operation written as the design forbids. Each must be found.',
    '',
    `**${killed} of ${planted.length} found: ${planted.length === 0 ? 0 : Math.floor((100 * killed) / planted.length)} %.**`,
    '',
    ...table(
      ['planted', 'races', 'found by'],
      planted.map(({ name, races, by }) => [name, races.join(' '), by]),
    ),
    '',
    ...(sample
      ? [
          `What a failure looks like, here of the planted bug “${sample.name}”:`,
          '',
          '```text',
          String(sample.told),
          '```',
          '',
        ]
      : []),
  ]
}

function deaths(points: readonly Records['crash'][]): string[] {
  const byWhat = [...Map.groupBy(points, ({ of }) => of)]
  return [
    '## Deaths',
    '',
    'The control plane as it is started by `npm start`, on a world of fakes that outlives it, is killed with SIGKILL: before a statement',
    'is sent, after its answer, between its commit and the reply, before and after the effect of a driver. Another one goes on, and',
    'everything that was accepted is finished, once.',
    '',
    `**${keptOf(points)} deaths** kept all promises.`,
    '',
    ...table(
      ['what was under way', 'deaths'],
      byWhat.map(([of, some]) => [`\`${of}\``, keptOf(some)]),
    ),
    '',
    ...folded(
      'Every point',
      byWhat.flatMap(([of, some]) => [`- \`${of}\`: ${[...new Set(some.map(({ point }) => point))].join('; ')}`]),
    ),
  ]
}

const kinds = { postgres: 'PostgreSQL', connection: 'the connection to it', driver: 'a driver' } as const

function faults(seen: readonly Records['fault'][]): string[] {
  const byKind = [...Map.groupBy(seen, ({ kind }) => kind)]
  return [
    '## Faults around us',
    '',
    'PostgreSQL is killed and comes back; the connection is cut before, in the middle of and after a statement; drivers hang, lie, throw,',
    'refuse, and answer when their claim is long over. Callers are told the truth, and what was accepted is finished.',
    '',
    ...table(
      ['what went wrong', 'kept'],
      byKind.map(([kind, some]) => [kinds[kind], keptOf(some)]),
    ),
    '',
    ...folded(
      'Every one of them',
      byKind.flatMap(([kind, some]) => some.map(({ name }) => `- ${kinds[kind]}: ${name}`)),
    ),
  ]
}

function answers(pairs: readonly Records['pair'][]): string[] {
  const byMutation = [...Map.groupBy(pairs, ({ mutation }) => mutation)]
  const distinct = new Set(pairs.map(({ mutation, member }) => `${mutation} ${member}`)).size
  return [
    '## Every answer',
    '',
    'Each member of the result of each mutation was brought about through the API, and each remedy that came with a refusal was carried',
    'out as it stands, by the same caller, and accepted.',
    '',
    `**${grouped(distinct)} pairs of a mutation and a member of its result, ${byMutation.length} mutations, in ${grouped(pairs.length)} scenes; ` +
      `${grouped(sum(pairs.map(({ remedies }) => remedies)))} remedies accepted.**`,
    '',
  ]
}

function soak(runs: readonly Records['soak'][]): string[] {
  return [
    '## A soak',
    '',
    'Three replicas, callers at random, all loops, and every few seconds a fault: replicas killed, connections cut, PostgreSQL killed,',
    'drivers that hang and lie. Then the faults stop, everything must come to rest, and a checker reads the event log, the rows and the',
    'drivers’ logs, and holds them to what callers were told. Any length, any seed: `npm run soak -- --minutes 10 --seed 7`.',
    '',
    ...runs.flatMap((run) =>
      table(
        ['figure', 'measured'],
        Object.entries(run).map(([what, value]) => [what, grouped(value)]),
      ),
    ),
    '',
  ]
}

const unproved = [
  '## What is not proved',
  '',
  '- Schedules stop at statements, commits and driver calls. What PostgreSQL does inside a statement, and two clients that are served by',
  '  one process between its own awaits, is left to race tests and to the soak.',
  '- Where a number has a `~`, schedules that preempt more than twice were not played; groups of three add random ones. Groups of four',
  '  and more are met by the soak alone.',
  '- `promoteStack` and `twinResource` look several times before they decide. Where several refusals are true they may name another one',
  '  than any order of the calls would; that they refuse, and what is stored then, is as after one of these orders.',
  '- Some members stand in a result so that one selection handles all results, and cannot come: `VersionConflict` where no version can',
  '  be given, `NotFound` where nothing can be named, `IllegalState` of `deleteDeployment`. A test derives them from the inputs.',
  '- Two that go many steps (`run` with `run`, say) are played for at most 300 schedules, and explained by orders that change sides',
  '  at most twice.',
  '- A redelivery that is accepted in the moment in which its webhook is disabled is dropped, though it was accepted: a birth has no guard',
  '  on other rows. That pair is not played (`delivery.unheard`).',
  '- A roll-out that gives up after an hour stops what runs as far as that can be done then: where the driver cannot be reached, or does',
  '  not know, something may run on beside a row that is FAILED, until the next wish for it.',
  '- `createTeam` meets nobody: what it makes is known to nobody else yet.',
  '- Of schedules that differ only in the order of steps which do not concern each other, one is played: a mistake in the rule for that',
  '  (`commute` in test/explore/schedule.ts) would hide schedules.',
  '- Worlds are fakes that keep the contract of drivers; that the real drivers keep it, too, is shown by the suites that both pass',
  '  (test/drivers), and by the tests that kill real servers with real apps (test/crash).',
  '- All of it runs on one machine, on one kind of file system: a power failure, a torn page, a clock that jumps, and a standby that is',
  '  promoted are not played.',
  '- A planted bug stands for its kind. That all of them are found says that the checks bite, not that nothing else can be wrong.',
  '',
]
