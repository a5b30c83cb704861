// An app that runs and is never healthy: a deployment of it must fail with the reason and leave nothing running.
import { createServer } from 'node:http'

const server = createServer((request, response) => {
  console.log(`${request.method} ${request.url} answered 500`)
  response.writeHead(500, { 'content-type': 'text/plain' }).end('not today\n')
})

server.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? '127.0.0.1')
