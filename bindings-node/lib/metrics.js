const { native, numbers, names, NUMBER } = require('./native.js');
const { invalid } = require('./error.js');

/** What was measured on one direction of a stream. Times in seconds, as in attributes; `…Ns` in nanoseconds. */
class Summary {
  #values;

  constructor(values) {
    this.#values = values;
  }

  /** The summary that the addon left at a place of its numbers. */
  static _left(place) {
    return new Summary(numbers.slice(place, place + NUMBER.SUMMARY_LEN));
  }

  /** The outcome: complete, cancelled, error, abandoned; undefined while the stream is open. */
  get outcome() {
    return names.outcomes[this.#values[18]];
  }

  _value(place) {
    const value = this.#values[place];
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

/** Measures one direction of a stream: the messages of a call, or any iterator, server-sent events, socket. */
class StreamMetrics {
  #handle;

  constructor({ stallThresholdMs = undefined, skipEmptyFirst = false } = {}) {
    let threshold;
    if (stallThresholdMs !== undefined) {
      if (!(typeof stallThresholdMs === 'number' && stallThresholdMs >= 0)) {
        throw invalid('stallThresholdMs', 'must be a number of milliseconds that is not negative');
      }
      threshold = Math.round(stallThresholdMs * 1e6);
    }
    this.#handle = native.metricsNew(threshold, skipEmptyFirst);
    freed.register(this, this.#handle, this);
  }

  /** Starts the clock; only the first start counts. */
  start(now) {
    native.metricsStart(this.#handle, now);
  }

  /** Records a chunk; returns the stall that it ended, if it did. */
  recordChunk(bytes, now) {
    if (native.recordChunk(this.#handle, bytes, now) === 0) return undefined;
    const at = NUMBER.STALL;
    return { atNs: numbers[at], intervalNs: numbers[at + 1], chunk: numbers[at + 2] };
  }

  /** Ends the stream; only the first end counts. */
  finish(outcome, now) {
    native.metricsFinish(this.#handle, outcome, now);
  }

  /** Adds what another stream measured. */
  merge(other) {
    if (!(other instanceof StreamMetrics)) throw invalid('other', 'must be StreamMetrics');
    native.metricsMerge(this.#handle, other.#handle);
  }

  /** What was measured so far. */
  summary() {
    native.metricsSummary(this.#handle);
    return Summary._left(NUMBER.SUMMARY);
  }

  /** The attributes of a span that say this about one of its directions. */
  attributes(direction) {
    return JSON.parse(native.metricsAttributes(this.#handle, direction));
  }

  /** Frees the memory at once instead of with the object. Later calls raise `invalid_state`. */
  free() {
    freed.unregister(this);
    native.metricsFree(this.#handle);
  }
}

module.exports = { Summary, StreamMetrics, EMPTY };
