// What every object with a lifecycle shows, and the declared machines themselves: all of it derived, nothing repeated.
import { type Machine, type Move, type StateDeclaration, statesOf } from '../lifecycle/machine.ts'
import { machines } from '../lifecycle/machines.ts'
import type { AllowedAction } from '../resolvers/allowed-action.ts'
import { builder, type Fields, type SchemaContext } from './builder.ts'

export interface LifecycleRow {
  readonly id: string
  readonly state: string
  readonly stateReason: string | null
  readonly stateChangedAt: Date
  readonly version: number
  readonly createdAt: Date
}

const AllowedActionRef = builder.objectRef<AllowedAction>('AllowedAction').implement({
  description:
    'Whether a mutation would be accepted for an object now. Somebody may be faster: the mutation itself decides.',
  fields: (t) => ({
    action: t.exposeString('action', { description: 'Name of the mutation.' }),
    allowed: t.exposeBoolean('allowed', {
      description: 'Whether state, scope and what else is known of the object are for it.',
    }),
    because: t.exposeString('because', { nullable: true, description: 'Why not; null when it is allowed.' }),
  }),
})

const described = (state: StateDeclaration): string =>
  state.kind === 'passing'
    ? `Passing (leaves within ${state.deadlineMs / 60_000} min, seen to by ${state.owner}): ${state.description}`
    : `${state.kind === 'resting' ? 'Resting' : 'Terminal'}: ${state.description}`

/** `<Entity>State`, with what each state means. */
export const stateEnum = <S extends string>(machine: Machine<S, string>) =>
  builder.enumType(`${machine.entity}State`, {
    description: `Where the ${machine.entity} stands. Passing states end by themselves, resting ones may last, terminal ones are never left.`,
    values: Object.fromEntries(
      statesOf(machine).map((name) => [name, { description: described(machine.states[name]) }]),
    ) as Record<S, { description: string }>,
  })

/** The fields that every object with a lifecycle has. */
export function lifecycleFields<R extends LifecycleRow>(
  fields: Fields<R>,
  state: ReturnType<typeof stateEnum>,
  actions: (row: R, context: SchemaContext) => AllowedAction[] | Promise<AllowedAction[]>,
) {
  const t = fields as unknown as Fields<LifecycleRow>
  return {
    id: t.exposeID('id', { description: 'Opaque, global, never used again.' }),
    state: t.field({ type: state, description: 'Where it stands now.', resolve: (row) => row.state as never }),
    stateReason: t.exposeString('stateReason', {
      nullable: true,
      description: 'Why it is in this state, where more is to be said.',
    }),
    stateChangedAt: t.expose('stateChangedAt', { type: 'DateTime', description: 'Since when it is in this state.' }),
    version: t.string({
      description:
        'Changes with every change of the object. Pass it back as `expectedVersion` to act only on what you have seen.',
      resolve: (row) => String(row.version),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was made.' }),
    allowedActions: t.field({
      type: [AllowedActionRef],
      description: 'Every mutation on this object: whether it may be called now, by this caller, and if not, why.',
      complexity: { field: 1, multiplier: 8 },
      resolve: (row, _args, context) => actions(row as unknown as R, context),
    }),
  }
}

const StateKind = builder.enumType('StateKind', {
  description: 'How long a state may last.',
  values: {
    passing: { value: 'passing', description: 'On its way: leaves within its deadline, and its owner sees to it.' },
    resting: { value: 'resting', description: 'May last.' },
    terminal: { value: 'terminal', description: 'Never left.' },
  } as const,
})

const StateRef = builder.objectRef<{ name: string; declared: StateDeclaration }>('LifecycleState').implement({
  description: 'A declared state.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The value of the `state` field.' }),
    kind: t.field({ type: StateKind, description: 'How long it may last.', resolve: ({ declared }) => declared.kind }),
    deadlineMs: t.float({
      nullable: true,
      description: 'Within how many milliseconds a passing state is left; null for others.',
      resolve: ({ declared }) => (declared.kind === 'passing' ? declared.deadlineMs : null),
    }),
    owner: t.string({
      nullable: true,
      description: 'The loop that sees to it that a passing state is left; null for others.',
      resolve: ({ declared }) => (declared.kind === 'passing' ? declared.owner : null),
    }),
    description: t.string({ description: 'What it means.', resolve: ({ declared }) => declared.description }),
  }),
})

const TransitionRef = builder.objectRef<{ action: string; move: Move }>('LifecycleTransition').implement({
  description: 'A declared move. What is not declared does not happen: the database itself refuses it.',
  fields: (t) => ({
    action: t.exposeString('action', {
      description: 'Its name: also of the mutation, the event kind and the metric label.',
    }),
    from: t.stringList({
      description: 'The states that it starts from; empty for a birth.',
      resolve: ({ move }) => (move.from === 'birth' ? [] : [...move.from]),
    }),
    to: t.string({
      nullable: true,
      description: 'The state that it leads to; null when the state stays as it is.',
      resolve: ({ move }) => (move.to === 'same' ? null : move.to),
    }),
    by: t.stringList({
      description: 'Who may ask: caller (the API), runner, or a loop by name.',
      resolve: ({ move }) => [...move.by],
    }),
    refusal: t.string({
      description: 'What a caller is answered when the state is wrong.',
      resolve: ({ move }) => move.refusal,
    }),
    newGeneration: t.boolean({
      description: 'Whether it starts new work, which fences out all older work.',
      resolve: ({ move }) => move.newGeneration ?? false,
    }),
    effect: t.string({
      nullable: true,
      description: 'The kind of the operation that it accepts; null when nothing is done outside.',
      resolve: ({ move }) => move.effect ?? null,
    }),
    guard: t.string({
      nullable: true,
      description: 'What else must hold, in words.',
      resolve: ({ move }) => move.guard ?? null,
    }),
    description: t.string({ description: 'What it does.', resolve: ({ move }) => move.description }),
  }),
})

const LifecycleRef = builder.objectRef<Machine>('Lifecycle').implement({
  description: 'The declared states and moves of one kind of object.',
  fields: (t) => ({
    entity: t.exposeString('entity', { description: 'Name of the object type.' }),
    states: t.field({
      type: [StateRef],
      description: 'Every state.',
      resolve: (machine) => Object.entries(machine.states).map(([name, declared]) => ({ name, declared })),
    }),
    transitions: t.field({
      type: [TransitionRef],
      description: 'Every legal move.',
      resolve: (machine) => Object.entries(machine.moves).map(([action, move]) => ({ action, move })),
    }),
  }),
})

builder.queryField('lifecycles', (t) =>
  t.field({
    type: [LifecycleRef],
    description: 'The declared machines themselves: clients and tests need no copy of them.',
    resolve: () => machines,
  }),
)
