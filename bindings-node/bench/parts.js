// The parts that stand alone: stream metrics, carry, and the start of the package.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { performance } = require('node:perf_hooks');
const { context, defaultTextMapGetter, defaultTextMapSetter, ROOT_CONTEXT } = require('@opentelemetry/api');
const { Carry, StreamMetrics } = require('wirespan');
const { rows, sink, measure, repeated, prepared } = require('./measure.js');
const { propagator, newSpan, contextOf } = require('./ends.js');

/** What one writes for time to first chunk and the average interval. */
class PlainMetrics {
  chunks = 0;
  bytes = 0;
  first;
  last;
  sum = 0;
  min = Number.POSITIVE_INFINITY;
  max = 0;

  record(bytes) {
    const at = performance.now();
    if (this.first === undefined) this.first = at;
    else {
      const interval = at - this.last;
      this.sum += interval;
      if (interval < this.min) this.min = interval;
      if (interval > this.max) this.max = interval;
    }
    this.last = at;
    this.chunks += 1;
    this.bytes += bytes;
  }
}

function measureChunks() {
  const STREAM = 1000;
  const product = (n) => {
    if (n % STREAM === 0) {
      product.metrics?.free();
      product.metrics = new StreamMetrics();
    }
    sink.value = product.metrics.recordChunk(256);
  };
  const idiom = (n) => {
    if (n % STREAM === 0) idiom.metrics = new PlainMetrics();
    sink.value = idiom.metrics.record(256);
  };
  const what = { operation: 'record_chunk', size: 256 };
  measure(what, repeated(product), { 'a class that reads the clock and keeps sums': repeated(idiom) }, { target: 1.3 });
}

/** An item through a queue within the process, put inside a span and worked on with that span current. */
function measureCarry() {
  const item = { id: 1 };
  const queue = [];
  const current = contextOf(newSpan());
  const work = (value) => value.id;
  const inside = (run) => prepared(() => run, BATCH);
  const BATCH = 4096;
  const within = (sampler) => () => context.with(current, sampler);
  const product = within(
    inside(() => {
      queue.push(Carry.capture(item));
      sink.value = queue.shift().run(work);
    }),
  );
  const bare = within(
    inside(() => {
      queue.push(item);
      sink.value = work(queue.shift());
    }),
  );
  const byHand = within(
    inside(() => {
      const headers = {};
      propagator.inject(context.active(), headers, defaultTextMapSetter);
      queue.push({ headers, item, at: performance.now() });
      const queued = queue.shift();
      const restored = propagator.extract(ROOT_CONTEXT, queued.headers, defaultTextMapGetter);
      sink.value = context.with(restored, work, undefined, queued.item);
    }),
  );
  measure({ operation: 'carry' }, product, { 'the bare queue': bare }, { target: { adds: 80 } });
  measure({ operation: 'carry' }, product, { 'W3C headers beside the item': byHand });
}

/** The start of the package beside that of the OpenTelemetry API, in fresh processes, by the CPU time that they use for it. */
function measureStart() {
  const start = (code, type) => () => {
    const timing = `const began = process.cpuUsage();${code};const { user, system } = process.cpuUsage(began);console.log(user + system);`;
    return (
      Number(execFileSync(process.execPath, [`--input-type=${type}`, '--eval', timing], { cwd: __dirname, encoding: 'utf8' })) *
      1e3
    );
  };
  const idiom = 'the OpenTelemetry API alone';
  const required = start("require('@opentelemetry/api')", 'commonjs');
  const imported = start("await import('@opentelemetry/api')", 'module');
  measure(
    { operation: 'start.require' },
    start("require('@opentelemetry/api');require('wirespan')", 'commonjs'),
    { [idiom]: required },
    { target: { adds: 15e6 } },
  );
  measure(
    { operation: 'start.import' },
    start("await import('@opentelemetry/api');await import('wirespan')", 'module'),
    { [idiom]: imported },
    { target: { adds: 15e6 } },
  );
  const absent = [
    'form',
    'peer',
    'product_ns',
    'product_quartiles',
    'idiom_ns',
    'idiom_quartiles',
    'ratio',
    'floor_ns',
    'floor_ratio',
    'target',
    'met',
  ];
  const { size } = fs.statSync(path.join(__dirname, '..', 'wirespan.node'));
  rows.push({
    language: 'node',
    operation: 'addon',
    size,
    idiom: 'bytes of the addon',
    ...Object.fromEntries(absent.map((field) => [field, null])),
  });
}

module.exports = { measureChunks, measureCarry, measureStart };
