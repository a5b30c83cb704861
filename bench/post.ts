// One call over HTTP, by an agent that keeps its connections: the text of its answer, whatever its status.
import { type Agent, request } from 'node:http'

export const post = (url: string, token: string, body: string, agent: Agent): Promise<string> =>
  new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${token}` }
    const sent = request(url, { method: 'POST', agent, headers })
    sent.once('error', reject)
    sent.once('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
      response.once('end', () => resolve(text))
    })
    sent.end(body)
  })
