// How things are compared: in one process, by turns (A B B A), by the CPU time of the process.

const v8 = require('node:v8');
const vm = require('node:vm');

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc');

const ROUNDS = 41;
/** CPU time of a sample. The kernel counts nanoseconds and says microseconds, so that this is exact to a thousandth. */
const SAMPLE_NS = 5e5;

/** What the rivals leave here cannot be optimised away. */
const sink = { value: undefined };
const rows = [];

/** CPU time of the process so far, in nanoseconds: that of this thread, and of those that collect its garbage. */
function cpuNs() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/** The nanoseconds that each of `count` runs takes. */
function timed(run, count) {
  const start = cpuNs();
  for (let n = 0; n < count; n++) run(n);
  return (cpuNs() - start) / count;
}

/** Samples something that can be repeated at will. */
function repeated(run) {
  let count = 1;
  for (;;) {
    // The quickest of three: what else the machine does must not make a sample too short.
    const took = Math.min(timed(run, count), timed(run, count), timed(run, count)) * count;
    if (took > SAMPLE_NS / 4) {
      count = Math.max(1, Math.round((count * SAMPLE_NS) / took));
      return () => timed(run, count);
    }
    count *= 2;
  }
}

/** Samples something that must be prepared: `prepare` gives what is run `count` times. Preparing, and what it leaves, is not measured. */
function prepared(prepare, count) {
  return () => {
    const run = prepare();
    collect({ type: 'minor' });
    return timed(run, count);
  };
}

/** Sorted samples of each rival. The first of each warms up. */
function compare(samplers) {
  const samples = samplers.map((sample) => {
    sample();
    return [];
  });
  const order = [...samplers.keys()];
  for (let round = 0; round < ROUNDS; round++) {
    for (const at of [...order, ...order.toReversed()]) samples[at].push(samplers[at]());
    order.reverse();
  }
  return samples.map((times) => times.sort((a, b) => a - b));
}

function at(sorted, share) {
  return sorted[Math.floor((sorted.length - 1) * share)];
}

function rounded(value) {
  return value === undefined || value === null ? null : Math.round(value * 1000) / 1000;
}

function quartiles(sorted) {
  return [rounded(at(sorted, 0.25)), rounded(at(sorted, 0.75))];
}

/**
 * Adds a row for each idiom. `what` has the operation and, where they make sense, size, form and peer. `target` is the largest
 * ratio to the idiom that is good enough, or `{adds}`, nanoseconds over the idiom, or `{floor}`, the largest ratio to the floor.
 */
function measure(what, product, idioms, { floor = undefined, target = null } = {}) {
  const names = Object.keys(idioms);
  const found = compare([product, ...Object.values(idioms), ...(floor === undefined ? [] : [floor])]);
  for (const [place, idiom] of names.entries()) add(what, found[0], idiom, found[place + 1], found[names.length + 1], target);
}

function add({ operation, size = null, form = null, peer = null }, product, idiom, idiomTimes, floorTimes, target) {
  const [productNs, idiomNs] = [at(product, 0.5), at(idiomTimes, 0.5)];
  const floorNs = floorTimes === undefined ? undefined : at(floorTimes, 0.5);
  const ratio = productNs / idiomNs;
  const bound = target?.adds === undefined ? target : 1 + target.adds / idiomNs;
  rows.push({
    language: 'node',
    operation,
    size,
    form,
    peer,
    product_ns: rounded(productNs),
    product_quartiles: quartiles(product),
    idiom,
    idiom_ns: rounded(idiomNs),
    idiom_quartiles: quartiles(idiomTimes),
    ratio: rounded(ratio),
    floor_ns: rounded(floorNs),
    floor_ratio: rounded(floorNs === undefined ? undefined : productNs / floorNs),
    target: rounded(bound?.floor ?? bound),
    met: bound === null ? null : bound.floor === undefined ? ratio <= bound : productNs / floorNs <= bound.floor,
  });
}

function print() {
  for (const row of rows) {
    const what = [row.operation, row.form, row.peer].filter((word) => word !== null).join(' ');
    const target = row.target === null ? '' : ` ${row.met ? '<=' : 'ABOVE'} ${row.target}`;
    const floor = row.floor_ratio === null ? '' : ` (${row.floor_ratio} of the copy)`;
    const [product, idiom] = [row.product_ns, row.idiom_ns].map((ns) => `${(ns ?? 0).toFixed(1).padStart(11)} ns`);
    console.log(
      `${what.padEnd(32)}${String(row.size ?? '').padStart(8)}${product}  ${row.ratio} of${idiom}, ${row.idiom}${target}${floor}`,
    );
  }
}

module.exports = { rows, sink, measure, repeated, prepared, print };
