// Environment variables in the schema, the same for all that have them: what is shown of one, and how a patch is written.
import { lacking } from '../auth.ts'
import type { Env, EnvEntry } from '../db/env.ts'
import { builder, type Fields, type SchemaContext } from './builder.ts'

interface EnvVar extends EnvEntry {
  readonly key: string
}
const EnvVarRef = builder.objectRef<EnvVar>('EnvVar').implement({
  description: 'An environment variable and where it comes from.',
  fields: (t) => ({
    key: t.exposeString('key', { description: 'Its name.' }),
    revision: t.exposeInt('revision', {
      description: 'Never used twice on an object: what `expect` of a merge compares.',
    }),
    changedAt: t.field({ type: 'DateTime', description: 'When it was last set.', resolve: (entry) => entry.changedAt }),
    changedBy: t.exposeString('changedBy', { description: 'Id of the token that set it last.' }),
    value: t.string({
      nullable: true,
      description:
        'Its value as it was set, references such as `secret://NAME` unresolved. Null without the scope `env:read`.',
      resolve: (entry, _args, { actor }) => (lacking(actor, 'readEnvValues') ? null : entry.value),
    }),
  }),
})

/** The field `env` of an object: its variables by key. */
export const envField = <R extends { readonly id: string; readonly env?: Env }>(
  t: Fields<R>,
  load: (loaders: SchemaContext['loaders'], id: string) => Promise<Env>,
  description: string,
) =>
  t.field({
    type: [EnvVarRef],
    description,
    complexity: { field: 5, multiplier: 20 },
    resolve: async (row, _args, { loaders }) => {
      const { id, env } = row as R
      return Object.entries(env ?? (await load(loaders, id)))
        .map(([key, entry]) => ({ key, ...entry }))
        .sort((a, b) => (a.key < b.key ? -1 : 1))
    },
  })

export const EnvVarInput = builder.inputType('EnvVarInput', {
  description: 'An environment variable to set.',
  fields: (t) => ({
    key: t.string({ required: true, description: 'A-Z, 0-9 and _, not beginning with a digit.' }),
    value: t.string({ required: true, description: 'Its value; an empty string is a value.' }),
  }),
})

export const EnvExpectation = builder.inputType('EnvExpectation', {
  description: 'What the caller believes of a key: either its revision, or that it is absent.',
  fields: (t) => ({
    key: t.string({ required: true, description: 'Its name.' }),
    revision: t.int({ description: 'The revision that it must have.' }),
    absent: t.boolean({ description: '`true`: the key must not be there.' }),
  }),
})
