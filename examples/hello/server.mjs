// A small app to deploy: greets at /, answers its health check, ends cleanly on SIGTERM. No dependencies.
import { createServer } from 'node:http'

const { GREETING, HOST, PORT, PAWL_NAME, PAWL_GENERATION, PAWL_IMAGE } = process.env
const greeting = GREETING ?? 'Hello'
const name = PAWL_NAME ?? 'hello'

const server = createServer((request, response) => {
  if (request.url === '/healthz') return response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n')
  if (request.url !== '/') return response.writeHead(404, { 'content-type': 'text/plain' }).end('Only / is here.\n')
  console.log(`greeted ${request.headers['user-agent'] ?? 'someone'}`)
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' })
  response.end(`${greeting} from ${name}, generation ${PAWL_GENERATION ?? '?'}, image ${PAWL_IMAGE ?? '?'}.\n`)
})

server.listen(Number(PORT ?? 3000), HOST ?? '127.0.0.1', () => console.log(`${name} listens on ${PORT ?? 3000}`))

process.on('SIGTERM', () => {
  console.log('asked to end, goodbye')
  server.close(() => process.exit(0))
  server.closeAllConnections()
})
