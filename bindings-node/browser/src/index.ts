export { type ErrorKind, WirespanError } from './errors.js';
export type { Message } from './inbox.js';
export type { Summary } from './metrics.js';
export type { Options } from './options.js';
export type { Api } from './spans.js';
export {
  type Call,
  type ConnectOptions,
  connect,
  type Handler,
  type Sendable,
  type SendParameters,
  type TracedConnection,
} from './websocket.js';
