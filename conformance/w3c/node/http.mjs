// What the services in JavaScript share: an HTTP server that makes the calls that it is asked for.

import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

/**
 * Serves until the standard input ends, so that no service outlives who started it. `tracing` extracts a context from a request,
 * injects one into headers, starts the span of a context's child, and sends a context and a body through the envelope.
 */
export function serve(tracing) {
  const { values } = parseArgs({ options: { through: { type: 'string', default: 'direct' } } });
  if (!['direct', 'text', 'binary'].includes(values.through)) throw new Error(`no such way: ${values.through}`);
  const server = createServer((request, response) => {
    handle(tracing, values.through, request, response).catch((error) => {
      console.error(error);
      response.writeHead(500).end();
    });
  });
  server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
  process.stdin.resume().on('end', () => process.exit());
}

/** Calls what the request lists, with the context that came with it. */
async function handle(tracing, through, request, response) {
  let body = await buffer(request);
  let context = tracing.extract(request);
  if (through !== 'direct') [context, body] = tracing.forward(context, body, through === 'binary');
  let calls;
  try {
    calls = callsOf(JSON.parse(body));
  } catch {
    response.writeHead(400).end('not a list of {url, arguments}');
    return;
  }
  await inSpan(tracing, 'SERVER', context, async (served) => {
    for (const { url, args } of calls) await inSpan(tracing, 'CLIENT', served, (context) => call(tracing, context, url, args));
  });
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ calls: calls.length }));
}

function callsOf(list) {
  return list.map(({ url, arguments: args }) => {
    if (args === undefined) throw new TypeError('a call without arguments');
    return { url: new URL(url), args };
  });
}

async function inSpan(tracing, kind, parent, act) {
  const { context, end } = tracing.start(kind, parent);
  try {
    await act(context);
  } finally {
    end();
  }
}

async function call(tracing, context, url, args) {
  const headers = { 'content-type': 'application/json', ...tracing.inject(context) };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(args) });
  await response.arrayBuffer();
}
