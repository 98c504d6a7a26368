const { performance } = require('node:perf_hooks');
const { native, numbers, names, NUMBER } = require('./native.js');
const { now } = require('./clock.js');
const { invalid } = require('./error.js');

/** What was measured on one direction of a stream. Times in seconds, as in attributes; `…Ns` in nanoseconds. */
class Summary {
  #values;
  #start;

  constructor(values, start = 0) {
    this.#values = values;
    this.#start = start;
  }

  /** The summary that the addon left in its numbers. */
  static _left() {
    return new Summary(numbers.slice(NUMBER.SUMMARY, NUMBER.RECEIVED));
  }

  /** The summaries of both directions that the addon left in its numbers. */
  static _bothLeft() {
    const values = numbers.slice(NUMBER.SUMMARY, NUMBER.RECEIVED + NUMBER.SUMMARY_LEN);
    return { sent: new Summary(values), received: new Summary(values, NUMBER.SUMMARY_LEN) };
  }

  /** The outcome: complete, cancelled, error, abandoned; undefined while the stream is open. */
  get outcome() {
    return names.outcomes[this.#values[this.#start + 18]];
  }

  _value(place) {
    const value = this.#values[this.#start + place];
    return Number.isNaN(value) ? undefined : value;
  }

  toJSON() {
    const json = {};
    for (const name of [...Object.keys(PLACES), 'outcome']) {
      if (this[name] !== undefined) json[name] = this[name];
    }
    return json;
  }
}

/** Places of the numbers of a summary, as `src/state.rs` writes them. */
const PLACES = {
  chunks: 0,
  bytes: 1,
  timeToFirstChunkNs: 2,
  timeToLastChunkNs: 3,
  durationNs: 4,
  rate: 5,
  intervals: 6,
  intervalAvgNs: 7,
  intervalMinNs: 8,
  intervalMaxNs: 9,
  intervalP50Ns: 10,
  intervalP90Ns: 11,
  intervalP95Ns: 12,
  intervalP99Ns: 13,
  relativeError: 14,
  stalls: 15,
  stallTimeNs: 16,
  clockBack: 17,
};

for (const [name, place] of Object.entries(PLACES)) {
  const get = {
    get: function () {
      return this._value(place);
    },
    enumerable: true,
  };
  Object.defineProperty(Summary.prototype, name, get);
  if (name.endsWith('Ns')) {
    const seconds = function () {
      const value = this._value(place);
      return value === undefined ? undefined : value / 1e9;
    };
    Object.defineProperty(Summary.prototype, name.slice(0, -2), { get: seconds, enumerable: true });
  }
}

const EMPTY = new Summary(
  Float64Array.from({ length: NUMBER.SUMMARY_LEN }, (_, place) => {
    if (place === PLACES.relativeError) return 0.011;
    return [0, 1, 6, 15, 16, 17].includes(place) ? 0 : Number.NaN;
  }),
);

const freed = new FinalizationRegistry((handle) => native.metricsFree(handle));

/** Chunks that wait for the core together: bytes and times in turn, and behind them the time of the last chunk. */
const LAST = 2 * 64;

/** Measures one direction of a stream: the messages of a call, or any iterator, server-sent events, socket. */
class StreamMetrics {
  #handle;
  #threshold = names.stallThresholdNs;
  #batch;
  #waiting = 0;

  constructor({ stallThresholdMs = undefined, skipEmptyFirst = false } = {}) {
    if (stallThresholdMs !== undefined) {
      if (!(typeof stallThresholdMs === 'number' && stallThresholdMs >= 0)) {
        throw invalid('stallThresholdMs', 'must be a number of milliseconds that is not negative');
      }
      this.#threshold = Math.round(stallThresholdMs * 1e6);
    }
    this.#handle = native.metricsNew(this.#threshold, skipEmptyFirst);
    freed.register(this, this.#handle, this);
  }

  /** Starts the clock, now if no time is given; only the first start counts. */
  start(at = now()) {
    native.metricsStart(this.#handle, at);
  }

  /** Records a chunk, now if no time is given; returns the stall that it ended, if it did. */
  recordChunk(bytes, at = performance.now() * 1e6) {
    const batch = this.#batch;
    // An interval within the threshold is no stall (SPEC SM-5), so nobody waits for what the core says of it. Anything else, and
    // whatever is no plain number, goes to the core at once. The core takes whole nanoseconds, so an interval may grow by one there.
    if (
      batch !== undefined &&
      typeof at === 'number' &&
      typeof bytes === 'number' &&
      at - batch[LAST] < this.#threshold &&
      at >= 0 &&
      bytes >= 0
    ) {
      const waiting = this.#waiting;
      batch[waiting] = bytes;
      batch[waiting + 1] = at;
      batch[LAST] = at;
      this.#waiting = waiting + 2;
      if (waiting + 2 === LAST) this.#flush();
      return undefined;
    }
    this.#flush();
    const stalled = native.recordChunk(this.#handle, bytes, at);
    if (typeof at === 'number') {
      this.#batch ??= new Float64Array(LAST + 1);
      this.#batch[LAST] = at;
    }
    if (stalled === 0) return undefined;
    const place = NUMBER.STALL;
    return { atNs: numbers[place], intervalNs: numbers[place + 1], chunk: numbers[place + 2] };
  }

  /** Hands over what waits. */
  #flush() {
    if (this.#waiting === 0) return;
    native.recordChunks(this.#handle, this.#batch, this.#waiting);
    this.#waiting = 0;
  }

  /** Ends the stream, now if no time is given; only the first end counts. */
  finish(outcome, at = now()) {
    this.#flush();
    native.metricsFinish(this.#handle, outcome, at);
  }

  /** Adds what another stream measured. */
  merge(other) {
    if (!(other instanceof StreamMetrics)) throw invalid('other', 'must be StreamMetrics');
    this.#flush();
    other.#flush();
    native.metricsMerge(this.#handle, other.#handle);
  }

  /** What was measured so far. */
  summary() {
    this.#flush();
    native.metricsSummary(this.#handle);
    return Summary._left();
  }

  /** The attributes of a span that say this about one of its directions. */
  attributes(direction) {
    this.#flush();
    return JSON.parse(native.metricsAttributes(this.#handle, direction));
  }

  /** Frees the memory at once instead of with the object. Later calls raise `invalid_state`. */
  free() {
    freed.unregister(this);
    this.#batch = undefined;
    this.#waiting = 0;
    native.metricsFree(this.#handle);
  }
}

module.exports = { Summary, StreamMetrics, EMPTY };
