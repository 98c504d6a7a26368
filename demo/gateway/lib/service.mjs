import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import { connect } from 'wirespan/ws';
import { Failure } from './failure.mjs';

/** How long a service may take to accept a connection. */
const CONNECT_TIMEOUT_MS = 5_000;
/** How long a service may say nothing in a call. */
const IDLE_TIMEOUT_MS = 30_000;

/**
 * A service behind the gateway: one connection that the calls of all devices share. It is made when it is first needed, and
 * made again, in the same session, after it was lost.
 */
export class Service {
  #name;
  #url;
  #connecting;
  #connection;

  constructor(name, url) {
    this.#name = name;
    this.#url = url;
  }

  /**
   * Makes a call as a block, cancelled when `signal` is aborted. The errors that the service answers keep their type; where it
   * cannot be reached or goes away, the type is `RecogniserUnavailable`, say.
   */
  async call(method, signal, fn) {
    const connection = await this.#open();
    try {
      return await connection.call(method, { signal }, fn);
    } catch (error) {
      if (error.code === 'remote') {
        throw new Failure(error.errorType, `the ${this.#name} answered ${JSON.stringify(error.errorType)}`, error);
      }
      if (error.code === 'closed') throw this.#unavailable('went away in the middle of a call', error);
      if (error.code === 'timeout') throw this.#unavailable('did not answer in time', error);
      throw error;
    }
  }

  async close() {
    const connection = await this.#connecting?.catch(() => undefined);
    await connection?.close();
  }

  /** The open connection. Orders that come while it is being made wait for the same one. */
  #open() {
    if (this.#connecting === undefined || this.#connection?.isOpen === false) {
      this.#connecting = this.#connect();
      this.#connecting.catch(() => {
        this.#connecting = undefined;
      });
    }
    return this.#connecting;
  }

  async #connect() {
    const options = { idleTimeoutMs: IDLE_TIMEOUT_MS, ws: { handshakeTimeout: CONNECT_TIMEOUT_MS } };
    if (this.#connection !== undefined) options.session = this.#connection.resumption;
    // The connection outlives the order that needs it first, so its handshake is no part of that order's trace.
    try {
      this.#connection = await context.with(ROOT_CONTEXT, connect, undefined, this.#url, options);
      return this.#connection;
    } catch (error) {
      throw this.#unavailable(`cannot be reached at ${this.#url}`, error);
    }
  }

  #unavailable(what, cause) {
    const type = `${this.#name[0].toUpperCase()}${this.#name.slice(1)}Unavailable`;
    return new Failure(type, `the ${this.#name} ${what} (${cause.message})`, cause);
  }
}
