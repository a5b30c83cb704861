// The server dies while it promotes: before the statement has committed, nothing has happened and the approval can still be
// used; once it has, all of it has happened, the roll-out is carried out, and a repeat under the key is told so.
import { expect, test } from 'vitest'
import { hold, untilBlocked } from '../interleave.ts'
import { type Machine, openMachine, type Server, until } from './server.ts'

const promoting = `mutation ($input: PromoteStackInput!) { promoteStack(input: $input) { __typename ... on Refusal { code message }
  ... on PromoteStackPayload { replayed stack { id } operation { id } approval { state } } } }`

/** A stack and the approval of its promotion. */
async function approved(machine: Machine, server: Server) {
  const made = await machine.ask(
    server,
    `mutation ($input: CreateStackInput!) { createStack(input: $input) { ... on CreateStackPayload { stack { id } } } }`,
    { input: { name: machine.nameOf('shop'), services: [{ name: 'web', image: 'hello' }] } },
  )
  const stackId: string = made.createStack.stack.id
  const asked = await machine.ask(
    server,
    `mutation ($id: ID!) { requestPromotion(input: { stackId: $id, toEnvironment: "staging" }) {
      ... on RequestPromotionPayload { approval { id } } } }`,
    { id: stackId },
  )
  const { id } = asked.requestPromotion.approval
  const approve = 'mutation ($id: ID!) { approvePromotion(input: { id: $id }) { __typename } }'
  const { approvePromotion } = await machine.ask(server, approve, { id })
  expect(approvePromotion.__typename).toBe('ApprovePromotionPayload')
  return { input: { stackId, toEnvironment: 'staging', approvalId: id, idempotencyKey: machine.nameOf('k') } }
}
const seen = async (machine: Machine, { input }: Awaited<ReturnType<typeof approved>>) => {
  const [row] =
    await machine.sql`select (select state from promotion_approval where id = ${input.approvalId}) as approval,
    (select count(*)::int from stack where environment = 'staging') as targets`
  return row
}

test('kill -9 of a promotion, before it commits and after: never the half of it, and never twice', {
  timeout: 180_000,
}, async () => {
  const machine = await openMachine()
  try {
    let server = await machine.start()
    const wish = await approved(machine, server)
    const [{ team } = { team: '' }] = await machine.sql<{ team: string }[]>`select id as team from team`

    // Before: the statement waits for the counters when its server dies; the database sees that within a second.
    const counters = await hold(machine.sql, `select 1 from plan_usage where team_id = '${team}' for update`)
    const cut = machine.ask(server, promoting, wish).catch(() => 'cut')
    await untilBlocked(machine.sql, 'promoteStack:new')
    await server.end('SIGKILL')
    expect(await cut).toBe('cut')
    await until(() => untilBlocked(machine.sql, 'promoteStack:new', 0))
    await counters.release()
    expect(await seen(machine, wish)).toEqual({ approval: 'APPROVED', targets: 0 })

    // After: it commits while its server is dying, and nobody is told.
    server = await machine.start()
    const again = await hold(machine.sql, `select 1 from plan_usage where team_id = '${team}' for update`)
    const lost = machine.ask(server, promoting, wish).catch(() => 'lost')
    await untilBlocked(machine.sql, 'promoteStack:new')
    const death = server.end('SIGKILL')
    await again.release()
    await death
    expect(await lost).toBe('lost')
    await until(async () => expect(await seen(machine, wish)).toEqual({ approval: 'EXECUTED', targets: 1 }))

    server = await machine.start()
    const { promoteStack } = await machine.ask(server, promoting, wish)
    expect(promoteStack).toMatchObject({ replayed: true, approval: { state: 'EXECUTED' } })
    const { id } = promoteStack.stack
    await until(async () => {
      const [row] = await machine.sql`select state, generation from stack where id = ${id}`
      expect(row).toEqual({ state: 'HEALTHY', generation: 1 })
    })
    const { input } = wish
    const other = await machine.ask(server, promoting, { input: { ...input, idempotencyKey: null } })
    expect(other.promoteStack).toMatchObject({ code: 'APPROVAL_ALREADY_EXECUTED' })
    expect(await seen(machine, wish)).toEqual({ approval: 'EXECUTED', targets: 1 })
    const [work] = await machine.sql`select count(*)::int as n from operation where subject_id = ${id}`
    expect(work).toEqual({ n: 1 })
  } finally {
    await machine.dispose()
  }
})
