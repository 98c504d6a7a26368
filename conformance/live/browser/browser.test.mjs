// wirespan/browser in headless Chromium against the peers of the live matrix: browser.test.mjs RECEIVER NAME=COMMAND …
// (node --test passes what stands in WIRESPAN_BROWSER_TEST, a JSON object {receiver, peers, chromium}).

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const {
  receiver: receiverCommand,
  peers: peerCommands,
  chromium: executablePath,
} = JSON.parse(process.env.WIRESPAN_BROWSER_TEST);
// The tools and the OpenTelemetry packages are those of the Node.js package.
const require = createRequire(fileURLToPath(new URL('../../../bindings-node/package.json', import.meta.url)));
const { build } = require('esbuild');
const { chromium } = require('playwright-core');
const { WebSocketServer } = require('ws');

let browser;
let page;
let pages;
let receiver;
const peers = {};
const received = [];

class Peer {
  #waiting = new Map();
  #seq = 0;

  constructor(name, command, endpoint) {
    const [program, ...args] = command;
    const env = { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint };
    this.child = spawn(program, [...args, name], { env, stdio: ['pipe', 'pipe', 'ignore'] });
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      const { seq, ok, error } = JSON.parse(line);
      const { resolve, reject } = this.#waiting.get(seq);
      if (error === undefined) resolve(ok);
      else reject(new Error(`${name}: ${error}`));
    });
  }

  ask(command, fields = {}) {
    this.#seq += 1;
    const seq = this.#seq;
    const answer = new Promise((resolve, reject) => this.#waiting.set(seq, { resolve, reject }));
    this.child.stdin.write(`${JSON.stringify({ seq, do: command, ...fields })}\n`);
    return answer;
  }
}

const hex = (id) => (/^[\da-f]+$/i.test(id ?? '') ? id.toLowerCase() : Buffer.from(id ?? '', 'base64').toString('hex'));
const KINDS = [undefined, 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];

/** The spans in a line of the receiver. */
function spansOf(line) {
  return JSON.parse(line).resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue;
    return scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        service,
        name: span.name,
        kind: KINDS[span.kind] ?? span.kind,
        traceId: hex(span.traceId),
        spanId: hex(span.spanId),
        parent: hex(span.parentSpanId) || undefined,
        links: (span.links ?? []).map(({ spanId }) => hex(spanId)),
        attributes: Object.fromEntries((span.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]])),
      })),
    );
  });
}

async function until(found, what) {
  for (let tries = 0; tries < 1000; tries++) {
    const value = found();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return assert.fail(`waited in vain for ${what}`);
}

before(async () => {
  receiver = spawn(receiverCommand[0], [...receiverCommand.slice(1), '--json', '127.0.0.1:0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: receiver.stdout });
  const port = await new Promise((resolve) => lines.once('line', (line) => resolve(line.split(' ')[1])));
  lines.on('line', (line) => received.push(...spansOf(line)));
  for (const [name, command] of Object.entries(peerCommands)) peers[name] = new Peer(name, command, `http://127.0.0.1:${port}`);

  const entry = fileURLToPath(new URL('page.mjs', import.meta.url));
  const modules = fileURLToPath(new URL('../../../bindings-node/node_modules', import.meta.url));
  const dist = (name) => fileURLToPath(new URL(`../../../bindings-node/browser/dist/${name}.js`, import.meta.url));
  const alias = { 'wirespan/browser': dist('index'), 'wirespan/browser/parts': dist('parts') };
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    format: 'esm',
    write: false,
    alias,
    nodePaths: [modules],
  });
  pages = createServer((request, response) => {
    const isScript = request.url === '/page.js';
    response.writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html' });
    response.end(
      isScript
        ? outputFiles[0].contents
        : '<!doctype html><title>wirespan</title><script type="module" src="/page.js"></script>',
    );
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => pages.once('listening', resolve));
  const args = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ];
  browser = await chromium.launch({ executablePath, args });
});

after(async () => {
  await browser?.close();
  pages?.close();
  for (const { child } of Object.values(peers)) child.stdin.end();
  receiver?.kill();
});

async function openPage() {
  page = await browser.newPage();
  page.on('pageerror', (error) => assert.fail(error));
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);
  await page.waitForFunction(() => globalThis.exercise !== undefined);
}

const EXPECTED = {
  echo: ['"text"', 'not JSON', '', [0, 255, 87, 1], []],
  large: 300_000,
  ask: ['"sure?"'],
  failed: ['remote', 'Boom'],
  unknown: ['remote', 'unknown_method'],
  plain: 'plain',
  concurrent: Array.from({ length: 8 }, (_, n) => [`${n}`]),
};

for (const name of Object.keys(peerCommands)) {
  test(`a page calls a server in ${name}, is called by it, and both see one trace`, async () => {
    await openPage();
    const { port } = await peers[name].ask('serve', { as: 'default' });
    // A page sets no headers: it announces itself by the query, and the server greets it.
    const seen = await page.evaluate(([url]) => exercise(url, { query: true }), [`ws://127.0.0.1:${port}/`]);
    const { peer, session, resumed, counters, ...results } = seen;
    assert.deepEqual(results, EXPECTED);
    assert.deepEqual([peer, resumed], ['announced', session]);
    assert.deepEqual(counters, {});
    await peers[name].ask('flush');
    const own = await page.evaluate(() => finishedSpans());
    const find = (spans, span, kind) => spans.filter((one) => one.name === span && one.kind === kind);
    const theirs = () =>
      received.filter((span) => span.service === name && span.attributes['websocket.session.id'] === session);
    await until(
      () => find(theirs(), 'echo', 'SERVER').length === 10 && find(theirs(), 'websocket.handshake', 'SERVER').length === 2,
      'the spans of the server',
    );

    for (const method of ['echo', 'ask', 'fail']) {
      for (const caller of find(own, method, 'CLIENT')) {
        const callee = find(theirs(), method, 'SERVER').find(({ parent }) => parent === caller.spanId);
        assert.ok(callee, `${method} ${caller.spanId} has its child`);
        assert.equal(callee.traceId, caller.traceId);
      }
    }
    // The server calls the page: the page's SERVER span is the child of the server's CLIENT span, which is inside `ask`.
    const [confirmed] = find(own, 'confirm', 'SERVER');
    const [confirm] = find(theirs(), 'confirm', 'CLIENT');
    const [asked] = find(theirs(), 'ask', 'SERVER');
    assert.deepEqual([confirmed.parent, confirm.parent], [confirm.spanId, asked.spanId]);
    const [sent] = find(own, 'send log', 'PRODUCER');
    assert.deepEqual(find(theirs(), 'process log', 'CONSUMER')[0].links, [sent.spanId]);
    // All of a connection names its session, and every call links its handshake; the second handshake links the first.
    const handshakes = find(own, 'websocket.handshake', 'CLIENT');
    assert.deepEqual(handshakes[1].links, [handshakes[0].spanId]);
    for (const span of own) assert.equal(span.attributes['websocket.session.id'], session);
    for (const call of own.filter(({ kind }) => kind === 'CLIENT').filter((span) => span.name !== 'websocket.handshake')) {
      assert.deepEqual(call.links, [handshakes[0].spanId]);
    }
    assert.deepEqual(
      own.filter(({ isError }) => isError).map((span) => span.attributes['error.type']),
      ['Boom', 'unknown_method'],
    );
    const [echo] = find(own, 'echo', 'CLIENT');
    assert.deepEqual(
      [echo.attributes['websocket.stream.sent.chunks'], echo.attributes['websocket.stream.received.chunks']],
      [5, 5],
    );
    await page.close();
  });
}

test('without an OpenTelemetry API there are no spans, and everything else works', async () => {
  await openPage();
  const [name] = Object.keys(peers);
  const { port } = await peers[name].ask('serve', { as: 'quiet' });
  const { peer, echo } = await page.evaluate(([url]) => exercise(url, { query: true }, false), [`ws://127.0.0.1:${port}/`]);
  assert.deepEqual([peer, echo], ['announced', EXPECTED.echo]);
  assert.deepEqual(await page.evaluate(() => finishedSpans()), []);
  await page.close();
});

test('a server that sends a hello first is answered by a page that expects one', async () => {
  await openPage();
  const [name] = Object.keys(peers);
  const { port } = await peers[name].ask('serve', { as: 'greeting', options: { hello: 'first' } });
  const { peer, echo } = await page.evaluate(([url]) => exercise(url, { hello: 'expect' }), [`ws://127.0.0.1:${port}/`]);
  assert.deepEqual([peer, echo], ['announced', EXPECTED.echo]);
  await page.close();
});

/** A server in this process that echoes; gives its port and what ends it. */
async function echoServer(options, settings) {
  const { attach } = require('wirespan/ws');
  const wss = new WebSocketServer({ host: '127.0.0.1', port: 0, ...options });
  await new Promise((resolve) => wss.once('listening', resolve));
  const echo = async (call) => {
    for await (const chunk of call) await call.send(chunk.data);
  };
  const server = attach(wss, { echo }, settings);
  return { port: wss.address().port, close: () => server.close() };
}

test('a page announces itself by a subprotocol beside that of the application', async () => {
  await openPage();
  const { port, close } = await echoServer({ handleProtocols: () => 'chat' });
  // An address by http: is taken as well.
  const seen = await page.evaluate(([url]) => exerciseSubprotocol(url), [`http://127.0.0.1:${port}/`]);
  assert.deepEqual(seen, { peer: 'announced', reply: 'hello' });
  await close();
  await page.close();
});

test('a page and a server that know each other as always peers need no negotiation', async () => {
  await openPage();
  const { port, close } = await echoServer({}, { mode: 'always' });
  const seen = await page.evaluate(([url]) => exerciseAlways(url), [`ws://127.0.0.1:${port}/`]);
  assert.deepEqual(seen, { peer: 'always', echo: ['"hello"', [1]], counters: {} });
  await close();
  await page.close();
});

test('to a server that it has not announced itself to, a page sends every message as it is', async () => {
  await openPage();
  const [name] = Object.keys(peers);
  const { port } = await peers[name].ask('serve', { as: 'raw', raw: true });
  const seen = await page.evaluate(([url]) => exerciseUnknown(url), [`ws://127.0.0.1:${port}/`]);
  assert.deepEqual(seen, { peer: 'unknown', reply: '{"headers":{"a":"b"},"body":1}' });
  await page.close();
});

test('a server that is not there is told, and the span has failed', async () => {
  await openPage();
  const [kind, message] = await page.evaluate(() => refused('ws://127.0.0.1:9/'));
  assert.equal(kind, 'io');
  assert.match(message, /cannot connect to 127\.0\.0\.1:9/);
  const [span] = await page.evaluate(() => finishedSpans());
  assert.deepEqual([span.name, span.isError, span.attributes['error.type']], ['websocket.handshake', true, 'io']);
  await page.close();
});
