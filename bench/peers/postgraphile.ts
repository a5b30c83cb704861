// The peer PostGraphile 5 on its own server for node:http. The mutation is an SQL function (postgraphile.sql); who asks goes to the
// database as settings of the transaction, which is how PostGraphile tells it.
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { grafserv } from 'grafserv/node'
import pg from 'pg'
import { postgraphile } from 'postgraphile'
import { makePgService } from 'postgraphile/adaptors/pg'
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'
import { tokenOf } from './redeploy-schema.ts'

const connectionString = process.env.DATABASE_URL ?? ''
const pool = new pg.Pool({ connectionString, max: 12 })
await pool.query(await readFile(new URL('postgraphile.sql', import.meta.url), 'utf8'))

const instance = postgraphile({
  extends: [PostGraphileAmberPreset],
  disablePlugins: ['NodePlugin'],
  pgServices: [makePgService({ pool, schemas: ['api'] })],
  grafast: {
    context: ({ node }) => {
      const token = tokenOf(node?.req.headers.authorization)
      return { pgSettings: { 'pawl.lookup_id': token?.lookupId ?? '', 'pawl.secret_hash': token?.secretHash ?? '' } }
    },
  },
  grafserv: { graphiql: false, websockets: false, watch: false },
})
const serv = instance.createServ(grafserv)
const server = createServer()
await serv.addTo(server)
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.stdout.write(`GraphQL: http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/graphql\n`)
})
process.once('SIGTERM', () => process.exit())
