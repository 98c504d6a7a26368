import { WirespanError } from './errors.js';

/** The options of a connection (SPEC.md, "Options"). Times are nanoseconds. */
export interface Options {
  mode: 'auto' | 'always' | 'never';
  hello: 'when_asked' | 'first' | 'expect';
  subprotocol: 'off' | 'beside' | 'alone';
  query: boolean;
  hello_wait: number;
  trace_scope: 'call' | 'connection';
  trust: 'continue' | 'link' | 'ignore';
  session: string;
  baggage_in: readonly string[];
  baggage_out: readonly string[];
  hosts: readonly string[] | 'all';
  stall_threshold: number;
  idle_timeout: number;
  overflow_wait: number;
  skip_empty_first: boolean;
  max_running: number;
  max_streams: number;
  max_unread: number;
  max_unread_bytes: number;
  max_header_bytes: number;
  max_nesting: number;
}

const DEFAULTS: Options = {
  mode: 'auto',
  hello: 'when_asked',
  subprotocol: 'off',
  query: false,
  hello_wait: 250e6,
  trace_scope: 'call',
  trust: 'continue',
  session: 'new',
  baggage_in: [],
  baggage_out: [],
  hosts: 'all',
  stall_threshold: 1e9,
  idle_timeout: 300e9,
  overflow_wait: 5e9,
  skip_empty_first: false,
  max_running: 128,
  max_streams: 1024,
  max_unread: 256,
  max_unread_bytes: 1048576,
  max_header_bytes: 16384,
  max_nesting: 512,
};

/** Lower and upper bounds (OP-1). */
const BOUNDS: { [name: string]: readonly [number, number] } = {
  max_running: [1, 1024],
  max_streams: [1, 1024],
  max_unread: [1, 256],
  max_unread_bytes: [1, 1048576],
  max_header_bytes: [2048, 16384],
  max_nesting: [0, 512],
};

/** @throws {WirespanError} `invalid_argument` for a value out of its bounds, or a list of hosts that allows and denies. */
export function readOptions(given: Partial<Options> = {}): Options {
  const options = { ...DEFAULTS, ...given };
  for (const [name, [low, high]] of Object.entries(BOUNDS)) {
    const value = options[name as 'max_streams'];
    if (!(value >= low && value <= high)) throw new WirespanError('invalid_argument', name);
  }
  const { hosts } = options;
  const denied = hosts === 'all' ? [] : hosts.filter((host) => host[0] === '!');
  if (denied.length && denied.length < hosts.length) throw new WirespanError('invalid_argument', 'hosts');
  return options;
}

/** Says whether a host gets the context in the handshake (OP-2). */
export function hostAllowed(hosts: Options['hosts'], host: string): boolean {
  const deny = hosts[0]?.[0] === '!';
  const name = host.toLowerCase();
  if (hosts === 'all') return true;
  const found = hosts.some((entry) => {
    const pattern = entry.slice(deny ? 1 : 0).toLowerCase();
    return pattern.startsWith('*.')
      ? name.endsWith(pattern.slice(1)) && name.length >= pattern.length
      : name === pattern || pattern === 'all';
  });
  return found !== deny;
}
