// Preloaded by `npm start`: what drizzle-orm's files are is found out once, not at each of 1,000 imports. Its package.json
// lists 180 KB of exports, which Node reads anew for each file of it and parses anew for each import of it: 200 MB of garbage, which
// is what the process then stays as large as, and half of the time of a start. Without this all is the same, only slower.
import module from 'node:module'

const name = 'drizzle-orm'
const own = `/node_modules/${name}/`
/** What our own files mean by a name: they all see the same packages. */
const resolved = new Map<string, ReturnType<module.ResolveHookSync>>()

const resolve: module.ResolveHookSync = (specifier, context, next) => {
  const from = context.parentURL ?? ''
  // Its files name each other in full, and are all modules.
  if (from.includes(own) && specifier.startsWith('.') && specifier.endsWith('.js'))
    return { url: new URL(specifier, from).href, format: 'module', shortCircuit: true }
  if (from.includes('/node_modules/') || (specifier !== name && !specifier.startsWith(`${name}/`)))
    return next(specifier, context)
  const found = resolved.get(specifier) ?? { ...next(specifier, context), shortCircuit: true }
  resolved.set(specifier, found)
  return found
}
// Node has had it since 22.15.
module.registerHooks?.({ resolve })
