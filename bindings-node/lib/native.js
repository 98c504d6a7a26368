// Loads the addon and registers the arrays through which it answers. Nothing here is handed to users.

const { WirespanError } = require('./error.js');

/** Places in `words`; the same as in `src/state.rs`, which refuses arrays of other lengths. */
const WORD = Object.freeze({
  EVENTS: 0,
  FORM: 1,
  STREAM: 2,
  PAYLOAD: 3,
  START: 4,
  END: 5,
  FLAGS: 6,
  TRACE_FLAGS: 7,
  IDS: 8,
  HANDLE: 14,
  KEY: 15,
  GIVEN: 16,
  EVENT: 17,
  OUTCOME: 18,
  PLACE: 19,
  COUNT: 20,
});
/** Places in `numbers`. */
const NUMBER = Object.freeze({
  DEADLINE: 0,
  SUMMARY: 1,
  SUMMARY_LEN: 19,
  RECEIVED: 20,
  STALL: 39,
  NOW: 42,
  OFFSET: 43,
  LENGTH: 44,
  ATTRIBUTES: 45,
  COUNT: 77,
});

const native = load();
const words = new Uint32Array(WORD.COUNT);
const numbers = new Float64Array(NUMBER.COUNT);
/** The ids of the last context, as bytes and as signed words. */
const ids = Buffer.from(words.buffer, WORD.IDS * 4, 24);
const idWords = new Int32Array(words.buffer, WORD.IDS * 4, 6);

native.register(words, numbers, WirespanError._fromNative);
const names = Object.freeze(JSON.parse(native.names()));

function load() {
  try {
    return require('../wirespan.node');
  } catch (cause) {
    const why = cause.code === 'MODULE_NOT_FOUND' ? 'has not been built' : `cannot be loaded (${cause.message})`;
    throw new Error(`The addon of wirespan ${why}: run "npm rebuild wirespan" (it needs Rust, see https://rustup.rs).`, {
      cause,
    });
  }
}

module.exports = { native, words, numbers, ids, idWords, names, WORD, NUMBER };
