import { WirespanError } from '../errors.js';
import { type Options as PageOptions, readOptions as readPageOptions } from '../options.js';
import { always } from './always.js';

/** All options of a connection (SPEC.md, "Options"). Times are nanoseconds. */
export interface Options extends Omit<PageOptions, 'mode'> {
  mode: 'auto' | 'always' | 'never';
  trust: 'continue' | 'link' | 'ignore';
  hosts: readonly string[] | 'all';
  max_running: number;
}

/** The same, as the core takes them. */
export type CoreOptions = Omit<Options, 'mode'> & PageOptions;

/** @throws {WirespanError} `invalid_argument` for a value out of its bounds, or a list of hosts that allows and denies. */
export function readOptions(given: Partial<Options> = {}): CoreOptions {
  const { session, subprotocol, mode, ...others } = given;
  // What says that something is off is left out, as a page does it.
  const on = {
    ...(mode && { mode: mode === 'always' ? always : mode }),
    ...(session !== 'new' && { session }),
    ...(subprotocol !== 'off' && { subprotocol }),
  };
  const options: CoreOptions = { trust: 'continue', hosts: 'all', max_running: 128, ...readPageOptions({ ...others, ...on }) };
  const { hosts, max_running } = options;
  if (!(max_running >= 1 && max_running <= 1024)) throw new WirespanError('invalid_argument', 'max_running');
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
