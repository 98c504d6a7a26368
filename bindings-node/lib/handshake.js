const { native } = require('./native.js');
const { flatten } = require('./flatten.js');

const freedRequests = new FinalizationRegistry((handle) => native.requestFree(handle));
const freedRegistries = new FinalizationRegistry((handle) => native.registryFree(handle));

/** The part of an opening handshake request that concerns Wirespan, as an accepting side sees it. */
class HandshakeRequest {
  /** Reads all headers of a request, names and values in turn (`rawHeaders`), and the query of its URL. */
  constructor(rawHeaders, query = undefined) {
    this._handle = native.requestNew(flatten(rawHeaders), query);
    freedRequests.register(this, this._handle);
  }

  #info() {
    return JSON.parse(native.requestInfo(this._handle));
  }

  /** The session id that the client proposes. */
  get proposedSession() {
    return this.#info().proposedSession ?? undefined;
  }

  /** The subprotocols that the client offers for the application, without ours. */
  get applicationSubprotocols() {
    return this.#info().applicationSubprotocols;
  }
}

/** The sessions of an accepting side: which are live, and which spans earlier connections had. Bounded. */
class SessionRegistry {
  constructor({ maxSessions = undefined, maxPerRemote = undefined } = {}) {
    this._handle = native.registryNew(maxSessions, maxPerRemote);
    freedRegistries.register(this, this._handle);
    /** Connections of this registry by their number, for the host to tell one that it was superseded. */
    this._connections = new Map();
  }

  /** Number of sessions that are live or remembered. */
  get size() {
    return native.registrySize(this._handle);
  }
}

module.exports = { HandshakeRequest, SessionRegistry };
