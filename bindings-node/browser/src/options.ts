import { WirespanError } from './errors.js';
import type { Recognition } from './text.js';

/** The options of a page's connection (SPEC.md, "Options"). Times are nanoseconds. */
export interface Options {
  /** `always` is imported from `wirespan/browser/parts`. */
  mode?: 'auto' | 'never' | Recognition;
  hello?: 'when_asked' | 'first' | 'expect';
  subprotocol?: 'off' | 'beside' | 'alone';
  query?: boolean;
  hello_wait: number;
  trace_scope?: 'call' | 'connection';
  session?: string;
  baggage_in?: readonly string[];
  baggage_out?: readonly string[];
  stall_threshold?: number;
  idle_timeout: number;
  overflow_wait: number;
  skip_empty_first?: boolean;
  max_streams: number;
  max_unread: number;
  max_unread_bytes: number;
  max_header_bytes: number;
  max_nesting: number;
}

/** What is not named here is off by default, or has its default where it is used. */
const DEFAULTS = {
  hello_wait: 250e6,
  idle_timeout: 300e9,
  overflow_wait: 5e9,
  max_streams: 1024,
  max_unread: 256,
  max_unread_bytes: 1 << 20,
  max_header_bytes: 16384,
  max_nesting: 512,
};

/** The least values of what has other bounds than 1 and its default (OP-1). */
const LEAST: { [name: string]: number } = { max_header_bytes: 2048, max_nesting: 0 };

/** @throws {WirespanError} `invalid_argument` for a value out of its bounds. */
export function readOptions(given: Partial<Options> = {}): Options {
  const options = { ...DEFAULTS, ...given };
  for (const name in DEFAULTS) {
    const value = options[name as 'max_streams'];
    if (/^max/.test(name) && !(value >= (LEAST[name] ?? 1) && value <= DEFAULTS[name as 'max_streams'])) {
      throw new WirespanError('invalid_argument', name);
    }
  }
  return options;
}
