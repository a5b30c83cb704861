// Why a promotion would leave variables of the target without what they need: names of variables and of what they refer to,
// never a value behind a reference.
import { advice, lookAt, type Refusal, type Remedy, refuse } from '../refusals.ts'
import type { PromotionPlan } from './promotion-plan.ts'
import { referenceIn, standingsOf } from './reference.ts'
import type { Database } from './transition.ts'

/** Names every variable that would be lacking or lead nowhere; `more` is what else leads on. */
export async function unresolved(
  db: Database,
  { source, lacking, toEnvironment }: PromotionPlan,
  facts: object,
  more: readonly Remedy[],
): Promise<Refusal> {
  const services = Object.fromEntries(source.services.map(({ name }) => [name, '']))
  const subject = { teamId: source.teamId, environment: toEnvironment, env: lacking.references }
  const standings = await standingsOf(db, subject, services)
  // What is there by now was not when the plan was made, and is not told as lacking.
  const reasons = standings.map(({ key, scheme, name, standing }) =>
    standing.kind === 'absent' ? standing.reason : `${key} refers to ${scheme}://${name}, which was lacking just now`,
  )
  const references = Object.entries(lacking.references).map(([key, { value }]) => ({ key, to: referenceIn(value) }))
  const told = new Set(references.flatMap(({ to }) => (to?.scheme === 'secret' ? [to.name] : [])))
  const required = lacking.secrets.filter(({ name }) => !told.has(name))
  reasons.push(
    ...lacking.variables.map((key) => `${key} is not set in ${toEnvironment}, where the policy requires it`),
    ...required.map(
      ({ name, keys }) =>
        `${keys.join(', ')} refers to secret://${name}, which ${toEnvironment} lacks and the policy requires`,
    ),
  )
  const secrets = [...new Set([...told, ...required.map(({ name }) => name)])].sort()
  const listed = { filter: { environment: toEnvironment } }
  const remedies: Remedy[] = [...more]
  if (secrets.length > 0) {
    remedies.push(
      advice(`Keep ${secrets.join(', ')} in ${toEnvironment} with setSecret, then ask for the same again.`),
      lookAt('secrets', listed, `See which secrets there are in ${toEnvironment}.`),
    )
  }
  if (references.some(({ to }) => to?.scheme === 'resource'))
    remedies.push(lookAt('resources', listed, `See which resources there are in ${toEnvironment}.`))
  if (lacking.variables.length > 0)
    remedies.push(advice(`Set ${lacking.variables.join(', ')} on the stack in ${toEnvironment}, or let it be copied.`))
  const keys = [
    ...references.map(({ key }) => key),
    ...lacking.variables,
    ...lacking.secrets.flatMap((one) => one.keys),
  ]
  return refuse('SecretUnresolved', {
    message: `${reasons.join('; ')}. Nothing was started.`,
    facts: { keys: [...new Set(keys)].sort(), ...facts },
    remedies,
  })
}
