// The page that a browser gets at /graphql: GraphiQL from its public host, and a plain form where that cannot be reached.
import { renderGraphiQL } from 'graphql-yoga'

const query = `# Welcome to Pawl. Put your token under "Headers" below: {"Authorization": "Bearer pawl_…"}
#
# State moves only by declared moves, and every refusal is a typed answer. Try:
#
# mutation { deploy(input: { name: "hello", image: "hello" }) {
#   __typename
#   ... on DeployPayload { deployment { id state } operation { id state } }
#   ... on Refusal { code message remedies { mutation arguments explanation } }
# } }

query Look {
  viewer { scopes team { name } }
  deployments(first: 5) {
    nodes { id name environment state url allowedActions { action allowed because } }
  }
}
`

/** Stands in when the scripts of GraphiQL cannot be loaded: enough to send a query with a token. */
const plain = `function plainPage(){if(window.YogaGraphiQL||document.getElementById('plain'))return;
document.body.innerHTML='<form id=plain style="font:14px monospace;margin:2em;display:grid;gap:.6em"><p>GraphiQL could not be loaded: no way to its host from this browser. This form sends queries as well.</p><input id=t placeholder="pawl_… token" type=password><textarea id=q rows=20></textarea><textarea id=v rows=3 placeholder="variables, JSON"></textarea><button>Send</button><pre id=a></pre></form>';
var by=function(i){return document.getElementById(i)};by('q').value=QUERY;
by('plain').onsubmit=function(e){e.preventDefault();var v;try{v=by('v').value?JSON.parse(by('v').value):undefined}catch(x){by('a').textContent='variables: '+x;return}
fetch('/graphql',{method:'POST',headers:{'content-type':'application/json',authorization:'Bearer '+by('t').value},body:JSON.stringify({query:by('q').value,variables:v})}).then(function(r){return r.json()}).then(function(j){by('a').textContent=JSON.stringify(j,null,2)},function(x){by('a').textContent=String(x)})}}
window.addEventListener('load',function(){setTimeout(plainPage,500)})`

/** JSON inside a script must not be able to end it. */
const scriptSafe = (text: string) => text.replaceAll('<', '\\u003c')

const options = {
  title: 'Pawl',
  defaultQuery: query,
  headers: '{"Authorization": "Bearer pawl_…"}',
  shouldPersistHeaders: false,
}

/** The page, the same for everybody. */
export const graphiqlPage: string = renderGraphiQL(options)
  .replace(/<link rel=icon[^>]*>/, '<link rel=icon href="data:,">')
  .replace('</body>', `<script>var QUERY=${scriptSafe(JSON.stringify(query))};${plain}</script></body>`)

/** Only this page may load anything from elsewhere, and only from the host of GraphiQL. */
export const graphiqlPolicy = [
  "default-src 'none'",
  "script-src 'unsafe-inline' https://unpkg.com blob:",
  "style-src 'unsafe-inline' https://unpkg.com",
  'font-src https://unpkg.com data:',
  'img-src data:',
  'worker-src blob:',
  "connect-src 'self' https://unpkg.com",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')
