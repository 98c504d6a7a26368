const TEXT = Object.freeze({ binary: false });
const BINARY = Object.freeze({ binary: true });

/** A `WebSocket` of the library `ws` as the transport of a traced connection. */
class WsTransport {
  #socket;

  constructor(socket) {
    this.#socket = socket;
  }

  get isOpen() {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  get bufferedAmount() {
    return this.#socket.bufferedAmount;
  }

  send(bytes, binary, callback) {
    this.#socket.send(bytes, binary ? BINARY : TEXT, callback);
  }

  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  close(code, reason) {
    this.#socket.close(code, reason);
  }
}

/** Gives what a socket receives to a traced connection, until it closes. */
function wire(socket, driver) {
  let cause;
  socket.binaryType = 'nodebuffer';
  socket.on('message', (data, binary) => driver.receive(data, binary));
  socket.on('error', (error) => {
    cause = error;
  });
  socket.on('close', (code, reason) => driver.onClose(code, reason.toString(), cause));
}

module.exports = { WsTransport, wire };
