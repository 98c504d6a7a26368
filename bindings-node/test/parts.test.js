const assert = require('node:assert/strict');
const { after, before, beforeEach, test } = require('node:test');
const { ROOT_CONTEXT, context, defaultTextMapGetter, propagation, trace } = require('@opentelemetry/api');
const {
  Carry,
  CarryQueue,
  Envelope,
  HandshakeRequest,
  Propagator,
  StreamMetrics,
  TraceState,
  formatBaggage,
  names,
  now,
  parseBaggage,
  parseTraceparent,
  parseTracestate,
  unixNow,
} = require('wirespan');
const { id, linkIds, parentId, setUp, until } = require('./helpers/sdk.js');

const ID = '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331';
const VALID = `00-${ID}-01`;

let sdk;
before(() => {
  sdk = setUp();
});
beforeEach(() => sdk.reset());
after(() => sdk.tearDown());

const refused = (action) => {
  try {
    action();
  } catch (error) {
    return [error.code, error.reason];
  }
  return 'accepted';
};

test('parseTraceparent refuses each wrong form with its reason', () => {
  const rows = [
    ['00-ab-cd-1', 'length'],
    [VALID.toUpperCase(), 'character'],
    [`ff-${ID}-01`, 'version'],
    [`${VALID}-`, 'trailing'],
    [`00-${'0'.repeat(32)}-b7ad6b7169203331-01`, 'zero_id'],
    [`00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`, 'zero_id'],
    [[VALID, VALID], 'duplicate'],
  ];
  for (const [value, reason] of rows)
    assert.deepEqual(
      refused(() => parseTraceparent(value)),
      ['malformed', reason],
      String(value),
    );
  for (const value of [`${VALID}\n`, `\u00a0${VALID}`, `\ufeff${VALID}`])
    assert.equal(refused(() => parseTraceparent(value))[0], 'malformed');
  assert.deepEqual(parseTraceparent(` ${VALID}\t`), {
    traceId: ID.slice(0, 32),
    spanId: ID.slice(33),
    traceFlags: 1,
    isRemote: true,
  });
  assert.equal(
    parseTraceparent(`cc-${ID}-ff-what`).traceFlags,
    3,
    'a later version is read by its first 55 characters, flags are masked',
  );
  assert.equal(parseTraceparent(Buffer.from(VALID)).traceFlags, 1);
  assert.equal(parseTraceparent([]), undefined);
  const error = (() => {
    try {
      parseTraceparent(VALID.replace('0af', '0aG'));
    } catch (thrown) {
      return thrown;
    }
  })();
  assert.deepEqual([error.name, error.field, error.offset], ['WirespanError', 'traceparent', 5]);
});

test('tracestate keeps level 2 keys, joins headers, and is discarded whole', () => {
  assert.equal(parseTracestate(['1a=1', 'foo@=2,a@b@c=3']), '1a=1,foo@=2,a@b@c=3');
  assert.equal(parseTracestate('a=1,b=2,a=3'), 'a=1,b=2');
  for (const value of ['a=1,=2', Array.from({ length: 33 }, (_, n) => `k${n}=v`).join(), 'a=b=c', 'A=1']) {
    assert.equal(refused(() => parseTracestate(value))[0], 'malformed', value);
  }
  const state = new TraceState('a=1,b=2');
  assert.equal(state.get('b'), '2');
  assert.equal(state.set('b', '3').serialize(), 'b=3,a=1');
  assert.equal(state.unset('a').serialize(), 'b=2');
  assert.equal(state.set('B', 'x').serialize(), 'a=1,b=2', 'what the standard refuses changes nothing');
});

test('baggage makes an exact round trip', () => {
  const header = 'k=a=b;p=1;q,empty=,plus=1+1,__proto__=x,space=%20a%22';
  const { baggage, members, dropped } = parseBaggage(header);
  assert.deepEqual(members, [
    ['k', 'a=b', 'p=1;q'],
    ['empty', '', ''],
    ['plus', '1+1', ''],
    ['__proto__', 'x', ''],
    ['space', ' a"', ''],
  ]);
  assert.equal(dropped, 0);
  assert.equal(baggage.getEntry('__proto__').value, 'x');
  assert.deepEqual(parseBaggage(formatBaggage(baggage).header).members, members);
  assert.deepEqual(
    formatBaggage([
      ['2', 'b'],
      ['1', 'a', 'p'],
    ]),
    { header: '2=b,1=a;p', dropped: 0 },
  );
  assert.throws(() => formatBaggage([['a b', '']]), { code: 'invalid_argument', field: 'key' });
  assert.equal(parseBaggage(Array.from({ length: 65 }, (_, n) => `k${n}=v`).join()).dropped, 1);
  assert.deepEqual(parseBaggage(' '.repeat(8192)).members, []);
});

test('the propagator extracts what is valid, and changes nothing for what is not', () => {
  const propagator = new Propagator();
  const extract = (carrier, base = ROOT_CONTEXT) =>
    trace.getSpanContext(propagator.extract(base, carrier, defaultTextMapGetter));
  const extracted = extract({ traceparent: `00-${ID}-03`, tracestate: ['foo@=1', 'b=2'] });
  assert.deepEqual([extracted.traceFlags, extracted.isRemote, extracted.traceState.serialize()], [3, true, 'foo@=1,b=2']);
  const local = trace.setSpanContext(ROOT_CONTEXT, { traceId: 'c'.repeat(32), spanId: 'd'.repeat(16), traceFlags: 1 });
  for (const traceparent of ['', 'zz', [VALID, VALID], `${VALID}-x`, undefined, 7, `ff-${ID}-01`]) {
    assert.equal(extract({ traceparent, tracestate: 'a=1' }, local).spanId, 'd'.repeat(16), String(traceparent));
  }
  assert.equal(extract({ traceparent: VALID, tracestate: 'a=1,,=' }).traceState, undefined);
  assert.equal(extract({ tracestate: 'a=1' }), undefined);
  const both = propagator.extract(ROOT_CONTEXT, { baggage: 'a=1;p, b=%C3%A9' });
  assert.deepEqual(
    propagation
      .getBaggage(both)
      .getAllEntries()
      .map(([key, { value }]) => [key, value]),
    [
      ['a', '1'],
      ['b', 'é'],
    ],
  );
});

test('the propagator injects level 2 flags, cuts tracestate by members, and writes baggage', () => {
  const propagator = new Propagator();
  const inject = (base) => {
    const carrier = {};
    propagator.inject(base, carrier);
    return carrier;
  };
  const span = { traceId: ID.slice(0, 32), spanId: ID.slice(33), traceFlags: 0xff, traceState: new TraceState('a=1') };
  assert.deepEqual(inject(trace.setSpanContext(ROOT_CONTEXT, span)), { traceparent: `00-${ID}-03`, tracestate: 'a=1' });
  assert.deepEqual(inject(trace.setSpanContext(ROOT_CONTEXT, { ...span, traceState: new TraceState('') })), {
    traceparent: `00-${ID}-03`,
  });
  assert.deepEqual(inject(ROOT_CONTEXT), {});
  assert.deepEqual(inject(trace.setSpanContext(ROOT_CONTEXT, { ...span, spanId: 'no' })), {});
  const baggage = propagation.setBaggage(
    ROOT_CONTEXT,
    propagation.createBaggage({ 'a b': { value: 'dropped' }, a: { value: '%\\ é' } }),
  );
  assert.deepEqual(inject(baggage), { baggage: 'a=%25%5C%20%C3%A9' });
  assert.deepEqual(propagator.fields(), ['traceparent', 'tracestate', 'baggage']);
});

test('an envelope is made, read and converted', () => {
  const head = { traceparent: VALID, kind: 'call', method: 'm', stream: 1, own: [['X', 'y']], sent: 12345678901234567890n };
  const wrapped = Envelope.wrap(head, 'hello');
  const { bytes } = wrapped;
  assert.equal(
    bytes.toString(),
    `{"headers":{"traceparent":"${VALID}","kind":"call","method":"m","stream":"1","content":"text","sent":"12345678901234567890","X":"y"},"body":"hello"}`,
  );
  assert.deepEqual(wrapped, { bytes, form: 'text', baggageDropped: false, tracestateCut: false, ownDropped: 0 });
  const read = Envelope.unwrap(bytes);
  assert.equal(read.body, 'hello');
  assert.equal(read.head.sent, head.sent);
  assert.deepEqual(read.head.own, [['X', 'y']]);
  const binary = Envelope.convertHead(bytes);
  assert.deepEqual([binary[0], binary[1]], [0xff, 0x57]);
  assert.equal(Envelope.unwrap(binary, { binary: true }).head.method, 'm');
  assert.equal(Envelope.unwrap('{ "body": [1], "headers": {} }', { recognition: 'any' }).body.toString(), ' [1]');
  const ended = Envelope.unwrap(Envelope.wrap({ stream: 1, end: '1' }, undefined, { binary: true }).bytes, { binary: true });
  assert.deepEqual([ended.head.end, ended.head.content, ended.body], ['1', 'none', undefined]);
  assert.equal(Envelope.isLookAlike('{"headers":{'), true);
  assert.equal(Envelope.isJson('{"a":1}'), true);
  assert.equal(Envelope.isJson('[[1]]', { maxNesting: 1 }), false);
  assert.deepEqual(['a.b~-_', 'a b', ''].map(Envelope.isSessionId), [true, false, false]);
  assert.deepEqual(['0', '01', '-1'].map(Envelope.isNumber), [true, false, false]);
  assert.throws(() => Envelope.wrap({ own: [['Traceparent', 'x']] }, 1), { code: 'invalid_argument' });
  for (const [name, value] of [
    ['session', ''],
    ['method', 'a b'],
    ['error', 'é'],
    ['end', 'complete'],
    ['kind', 'stream'],
    ['stream', -1],
  ]) {
    assert.throws(() => Envelope.wrap({ [name]: value }, 1), { code: 'invalid_argument', field: name });
  }
});

test('a message that is no envelope says why, and a head that does not fit says what was left out', () => {
  const canonical = (text) => Envelope.unwrap(text).reason;
  assert.deepEqual(Envelope.unwrap('{ "body": [1], "headers": {} }'), { envelope: false, reason: 'ordinary' });
  assert.equal(canonical('{"headers":{"a":"b'), 'truncated');
  assert.equal(canonical('{"headers":{"a" :"b"},"body":1}'), 'character');
  assert.equal(canonical('{"headers":{},"body":1} '), 'trailing');
  assert.equal(Envelope.unwrap(Buffer.from([0xff, 0x57, 2, 0, 0, 0]), { binary: true }).reason, 'version');
  const long = Envelope.wrap({ own: [['a', 'x'.repeat(500)]] }, 1).bytes;
  assert.equal(Envelope.unwrap(long, { maxHeaderBytes: 100 }).reason, 'head_too_long');
  const head = { traceparent: VALID, tracestate: `a=${'x'.repeat(200)}`, baggage: `b=${'y'.repeat(200)}`, own: [['c', 'z']] };
  const { baggageDropped, tracestateCut, ownDropped, bytes } = Envelope.wrap(head, 1, { maxHeaderBytes: 96 });
  assert.deepEqual([baggageDropped, tracestateCut, ownDropped], [true, true, 1]);
  assert.deepEqual(Envelope.unwrap(bytes).head.traceparent, VALID);
  const { drops } = Envelope.unwrap('{"headers":{"traceparent":"zz","stream":"01"},"body":1}').head;
  assert.deepEqual([drops.contextInvalid, drops.headerInvalid, drops.headerRepeated], [true, 1, false]);
});

test('values of headers may be bytes that are no text', () => {
  assert.equal(parseTraceparent([Buffer.from(VALID)]).traceFlags, 1);
  assert.deepEqual(
    refused(() => parseTraceparent([VALID, new Uint8Array([0xff])])),
    ['malformed', 'duplicate'],
  );
  assert.equal(parseTracestate([Buffer.from('a=1'), 'b=2']), 'a=1,b=2');
  assert.deepEqual(parseBaggage([Buffer.from('k=%FF'), 'l=1']).members, [
    ['k', '\ufffd', ''],
    ['l', '1', ''],
  ]);
  for (const wrong of [7, [7], [[VALID]], {}])
    assert.throws(() => parseTraceparent(wrong), { code: 'invalid_argument', field: 'traceparent' });
  const carry = Carry.fromHeaders(1, [
    ['traceparent', Buffer.from(VALID)],
    ['session', new Uint8Array([0xff])],
  ]);
  assert.deepEqual([trace.getSpanContext(carry.context).spanId, carry.sessionId], [ID.slice(33), undefined]);
  assert.equal(Carry.planProcess('q', carry, { continueTrace: true }).remote.spanId, ID.slice(33));
  assert.equal(new HandshakeRequest({ wirespan: Buffer.from('1;session=s-1') }).proposedSession, 's-1');
});

test('stream metrics measure, merge and tell stalls', () => {
  const ms = 1e6;
  const metrics = new StreamMetrics();
  metrics.start(0);
  for (const at of [120, 140, 160]) assert.equal(metrics.recordChunk(64, at * ms), undefined);
  assert.deepEqual(metrics.recordChunk(64, BigInt(2160 * ms)), { atNs: 2160 * ms, intervalNs: 2000 * ms, chunk: 3 });
  metrics.finish('complete', 2200 * ms);
  const summary = metrics.summary();
  assert.deepEqual([summary.chunks, summary.bytes, summary.stalls, summary.outcome], [4, 256, 1, 'complete']);
  assert.deepEqual([summary.timeToFirstChunk, summary.intervalMaxNs, summary.durationNs], [0.12, 2000 * ms, 2200 * ms]);
  assert.ok(Math.abs(summary.intervalP50 - 0.02) <= 0.02 * summary.relativeError);
  assert.equal(metrics.attributes('received')['websocket.stream.received.chunks'], 4);
  const other = new StreamMetrics({ stallThresholdMs: 1, skipEmptyFirst: true });
  other.start(0);
  other.recordChunk(0, 1);
  other.recordChunk(1, 5);
  metrics.merge(other);
  assert.equal(metrics.summary().chunks, 5);
  assert.equal(metrics.summary().timeToFirstChunk, undefined);
  assert.equal(JSON.parse(JSON.stringify(other.summary())).timeToFirstChunkNs, 5);
  assert.throws(() => metrics.finish('well', 0), { code: 'invalid_argument', field: 'outcome' });
  assert.throws(() => metrics.recordChunk(-1, 0), { code: 'invalid_argument', field: 'bytes' });
  assert.throws(() => new StreamMetrics({ stallThresholdMs: -1 }), { field: 'stallThresholdMs' });
  metrics.free();
  assert.throws(() => metrics.summary(), { code: 'invalid_state' });
});

test('chunks that wait for the core give the same as chunks one by one', () => {
  let seed = 7;
  const random = (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  for (let round = 0; round < 200; round++) {
    const options = { skipEmptyFirst: round % 2 === 0, ...(round % 3 === 0 && { stallThresholdMs: random(3) }) };
    const [batched, single, merged] = [new StreamMetrics(options), new StreamMetrics(options), new StreamMetrics(options)];
    let at = random(1e6);
    for (const metrics of [batched, single]) metrics.start(at);
    const chunks = random(200);
    for (let n = 0; n < chunks; n++) {
      at = Math.max(0, at + [random(1e6), random(5e9), -random(1e6), 0][random(8) & 3]);
      const bytes = random(3) * random(1e5);
      // A bigint goes to the core at once.
      assert.deepEqual(batched.recordChunk(bytes, at), single.recordChunk(bytes, BigInt(at)), `round ${round}, chunk ${n}`);
      if (random(50) === 0) assert.deepEqual(batched.summary().toJSON(), single.summary().toJSON());
    }
    assert.deepEqual(batched.attributes('sent'), single.attributes('sent'));
    const last = random(2) === 0 ? at + 5 : at;
    batched.recordChunk(1, at);
    single.recordChunk(1, BigInt(at));
    merged.merge(batched);
    assert.equal(merged.summary().chunks, single.summary().chunks);
    for (const metrics of [batched, single]) metrics.finish('complete', last);
    assert.deepEqual(batched.summary().toJSON(), single.summary().toJSON(), `round ${round}`);
  }
});

test('metrics read the clock where no time is given', async () => {
  const metrics = new StreamMetrics({ stallThresholdMs: 20 });
  metrics.start();
  assert.equal(metrics.recordChunk(1), undefined);
  assert.equal(metrics.recordChunk(1), undefined);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const stall = metrics.recordChunk(1);
  assert.equal(stall.chunk, 2);
  assert.ok(stall.intervalNs >= 29e6 && now() - stall.atNs < 5e9);
  metrics.finish('complete');
  assert.ok(metrics.summary().durationNs >= 29e6);
  for (const bytes of [-1, Number.NaN, '1', undefined])
    assert.throws(() => metrics.recordChunk(bytes), { code: 'invalid_argument', field: 'bytes' });
});

test('a carry takes the whole context through a queue, and its wait is measured', async () => {
  const queue = new CarryQueue({ maxSize: 1 });
  const key = Symbol.for('mine');
  const span = sdk.tracer.startSpan('receive');
  const base = trace.setSpan(ROOT_CONTEXT, span).setValue(key, 'kept');
  await context.with(base, () => queue.put('one'));
  let second = false;
  const putting = context
    .with(base, () => queue.put('two'))
    .then(() => {
      second = true;
    });
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(second, false, 'a full queue makes put wait');
  const carry = await queue.get();
  await putting;
  const result = await carry.run(async (value, extra) => {
    await null;
    assert.equal(context.active().getValue(key), 'kept');
    sdk.tracer.startSpan('work').end();
    return [value, extra];
  }, 'more');
  assert.deepEqual(result, ['one', 'more']);
  assert.equal(trace.getActiveSpan(), undefined);
  span.end();
  assert.equal(parentId(sdk.span('work')), id(span));
  assert.ok(sdk.span('receive').attributes[names.queueWait] >= 0.009);
  queue.close();
  const rest = [];
  for await (const item of queue) rest.push(item.value);
  assert.deepEqual(rest, ['two']);
  assert.equal(await queue.get(), undefined);
  await assert.rejects(queue.put('late'), { code: 'closed' });
});

test('a carry ends the span that was handed over: run, failed, or dropped unread', async () => {
  const hand = (name) => Carry.capture(name, { span: sdk.tracer.startSpan(name) });
  hand('sync').run(() => assert.equal(sdk.spans('sync').length, 0));
  assert.equal(sdk.spans('sync').length, 1);
  await assert.rejects(
    hand('failed').run(async () => {
      throw new TypeError('x');
    }),
    TypeError,
  );
  assert.equal(sdk.span('failed').attributes['error.type'], 'TypeError');
  const taken = hand('taken');
  taken.takeSpan().end();
  assert.equal(taken.takeSpan(), undefined);
  (() => {
    hand('dropped');
  })();
  await until(() => {
    globalThis.gc();
    return sdk.spans('dropped').length === 1;
  });
});

test('a carry crosses a broker in headers', async () => {
  let sent;
  const producer = await sdk.inSpan('root', () =>
    Carry.send(
      'orders',
      (headers) => {
        sent = headers;
      },
      { sessionId: 's-1' },
    ),
  );
  const span = sdk.span('send orders', 'PRODUCER');
  assert.equal(parentId(span), id(producer));
  assert.equal(sent.traceparent.split('-')[2], id(span));
  assert.equal(sent.session, 's-1');
  assert.ok(unixNow() - BigInt(sent.sent) < 5_000_000_000n);
  const carry = Carry.fromHeaders('payload', { Traceparent: sent.traceparent, session: sent.session, sent: sent.sent });
  assert.deepEqual([carry.sessionId, carry.contextInvalid, carry.sentUnixNs], ['s-1', false, BigInt(sent.sent)]);
  await Carry.process('orders', carry, (item) => assert.equal(item.value, 'payload'), { continueTrace: true });
  assert.equal(parentId(sdk.span('process orders', 'CONSUMER')), id(span));
  assert.ok(sdk.span('process orders').attributes[names.queueWait] >= 0);
  sdk.reset();
  const broken = Carry.fromHeaders('x', [['traceparent', 'zz']]);
  assert.equal(broken.contextInvalid, true);
  await Carry.process(undefined, [carry, broken], () => {});
  const batch = sdk.span('websocket process', 'CONSUMER');
  assert.equal(parentId(batch), undefined);
  assert.deepEqual(linkIds(batch), [id(span)]);
  assert.equal(batch.attributes['messaging.batch.message_count'], 2);
  assert.deepEqual(
    Carry.links([carry, broken]).map((link) => link.context.spanId),
    [id(span)],
  );
  const plan = Carry.planProcess('orders', carry, { continueTrace: true, nowUnixNs: BigInt(sent.sent) + 1_000_000_000n });
  assert.deepEqual(plan.attributes, { [names.queueWait]: 1, [names.sessionId]: 's-1' });
  assert.deepEqual([plan.parent, plan.remote.spanId, Carry.planSend('orders').name], ['remote', id(span), 'send orders']);
  assert.throws(() => Carry.fromHeaders('x', 7), { code: 'invalid_argument' });
});

test('a carry sends only the baggage that is named', () => {
  const baggage = propagation.createBaggage({ user: { value: 'ann' }, secret: { value: 's' } });
  const carry = Carry.capture(1, { context: propagation.setBaggage(ROOT_CONTEXT, baggage) });
  assert.equal(carry.toHeaders().baggage, undefined);
  assert.equal(carry.toHeaders({ baggage: ['user'] }).baggage, 'user=ann');
  assert.deepEqual(Object.keys(carry.toHeaders({ baggage: ['*'], sentUnixNs: null })), ['baggage']);
  assert.equal(propagation.getBaggage(Carry.fromHeaders(1, { baggage: 'user=ann' }).context), undefined);
});

test('the clocks advance together', async () => {
  const [start, wall] = [now(), unixNow()];
  await new Promise((resolve) => setTimeout(resolve, 20));
  const [gone, goneWall] = [now() - start, Number(unixNow() - wall)];
  assert.ok(gone >= 19e6 && Math.abs(gone - goneWall) < 5e6, `${gone} ${goneWall}`);
  assert.ok(Number.isSafeInteger(now()));
});

/** Numbers that are the same in each run. */
function numbersFrom(seed) {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

test('chunks that wait for each other are measured as chunks that are handed over one by one', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const next = numbersFrom(seed);
    const options = { stallThresholdMs: 1 + next(3), skipEmptyFirst: next(2) === 1 };
    const [together, single] = [new StreamMetrics(options), new StreamMetrics(options)];
    let at = 0;
    for (let chunk = next(400); chunk > 0; chunk--) {
      // Stalls, intervals at the threshold, and a clock that goes back.
      at = Math.max(0, at + [next(1e6), next(5e6), options.stallThresholdMs * 1e6, -next(1e5)][next(4)]);
      const bytes = next(4) * 100;
      const stall = together.recordChunk(bytes, at);
      // A bigint goes to the core at once.
      assert.deepEqual(stall, single.recordChunk(bytes, BigInt(at)));
    }
    assert.deepEqual(together.summary().toJSON(), single.summary().toJSON());
  }
});
