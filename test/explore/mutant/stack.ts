// Planted bugs of stacks and of secrets: revived, rolled out by who is outdated, merged into what was seen before; values that
// cannot be opened, or that were replaced unseen.
import { secretMachine } from '../../../src/lifecycle/secret.ts'
import { stackMachine } from '../../../src/lifecycle/stack.ts'
import type { Subject } from '../play.ts'
import { subjectNamed } from '../subject/all.ts'
import { type Mutant, rewritingAll, unlocked, without } from './plant.ts'

const stack = subjectNamed('stack')
const none: Subject = { ...stack, name: 'stack.none', scene: () => ({ ids: {} }) }
const secret = subjectNamed('secret')

export const stackMutants: readonly Mutant[] = [
  {
    name: 'a redeploy revives a stack that is being deleted',
    races: ['R07'],
    subject: stack,
    cast: ['redeploy', 'delete'],
    wrap: unlocked('redeployStack', stackMachine),
  },
  {
    name: 'a stack is deleted twice',
    races: ['R17', 'R35'],
    subject: stack,
    cast: ['delete', 'delete'],
    wrap: unlocked('deleteStack', stackMachine),
  },
  {
    name: 'variables of a stack are merged into those of the snapshot',
    races: ['R40'],
    subject: stack,
    cast: ['env', 'env2'],
    wrap: rewritingAll(
      /^mergeStackEnv$/,
      /"env" = \("found"\."env" - /,
      '"env" = ((select x.env from "stack" x where x.id = "found".id) - ',
    ),
  },
  {
    name: 'who rolls out a stack asks for no generation, nor for the state',
    races: ['R09', 'R03'],
    subject: subjectNamed('stack.building'),
    cast: ['change', 'run'],
    wrap: rewritingAll(
      /^(rollOutStack|progressStack|markStack)/,
      /"found"\."generation" = (\$\d+)::text::int/,
      '$1::text is not null',
    ),
  },
  {
    name: 'a name is free when nobody is seen to have it: two stacks',
    races: ['R24', 'R25'],
    subject: none,
    cast: ['create', 'create'],
    before: ['drop index stack_name'],
  },
  {
    name: 'the plan of stacks is held by a count',
    races: ['R85', 'R86'],
    subject: {
      ...none,
      scene: (on) => {
        on.room.stacks = 1
        return { ids: {} }
      },
    },
    cast: ['create', 'create'],
    before: ['drop index stack_name'],
    wrap: without(
      'createStack',
      'u.used + c.n > u.cap',
      `(select count(*) from stack x where x.team_id = u.team_id) + c.n > u.cap`,
    ),
  },
  {
    name: 'a roll-out is taken back under its worker',
    races: ['R29', 'R16'],
    subject: subjectNamed('stack.building'),
    cast: ['cancel', 'run'],
    wrap: rewritingAll(
      /^cancelStackRollOut$/,
      /"found_also"\.state in \('PENDING'\)(.*)"found_also"\."attempt" = 0/,
      `(select x.state from operation x where x.id = found_also.id) in ('PENDING')$1(select x.attempt from operation x where x.id = found_also.id) = 0`,
    ),
  },
  {
    name: 'a secret is set whatever its revision has become',
    races: ['R48'],
    subject: secret,
    cast: ['set', 'set2'],
    wrap: without('setSecret', '"found"."revision" = ', '0 <> '),
  },
  {
    name: 'a revision grows, and its value is not sealed for it',
    races: ['R48'],
    subject: secret,
    cast: ['set', 'set2'],
    wrap: without('setSecret', '"revision" = "found"."revision" + 1,', '"revision" = "found"."revision" + 2,'),
  },
  {
    name: 'a secret is set that is deleted',
    races: ['R01', 'R48'],
    subject: secret,
    cast: ['set', 'deleteById'],
    wrap: unlocked('setSecret', secretMachine),
  },
  {
    name: 'a secret is deleted twice',
    races: ['R17', 'R54'],
    subject: secret,
    cast: ['deleteById', 'deleteById'],
    wrap: unlocked('deleteSecret', secretMachine),
  },
  {
    name: 'a name is free when nobody is seen to have it: two secrets',
    races: ['R24', 'R25'],
    subject: subjectNamed('secret.none'),
    cast: ['set', 'set2'],
    before: ['drop index secret_name'],
  },
]
