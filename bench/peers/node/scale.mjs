// Many connections in one process: `scale.mjs CONNECTIONS` prints memory and CPU time per message.

import { Connection, HandshakeRequest, SessionRegistry } from 'wirespan';

const [STREAMS, FEW, SAMPLES, MESSAGES] = [10, 10, 5, 200_000];
const BODY = Buffer.alloc(256, 'x');
const STEP_NS = 20_000_000;
const REGISTRY = new SessionRegistry();
const SPAN = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 };

function drain(connection) {
  while (connection.hasEvents) connection.pollEvent();
}

function accept(request, n) {
  const entropy = Buffer.alloc(16);
  entropy.writeUInt32BE(n);
  const options = { registry: REGISTRY, remote: '127.0.0.1', address: '127.0.0.1', port: 8765, entropy };
  const server = Connection.server({}, request, options);
  server.setMethods(['echo']);
  server.planHandshake();
  server.response(request);
  server.openServer(0);
  drain(server);
  return server;
}

/** Servers and the one client whose frames all of them get. */
class Group {
  constructor(connections) {
    this.client = Connection.client({}, { entropy: Buffer.alloc(16) });
    const request = new HandshakeRequest(this.client.request({ host: 'localhost' }).headers);
    this.servers = Array.from({ length: connections }, (_, n) => accept(request, n));
    this.client.openClient(this.servers[0].response(request).headers, 0);
    this.keys = Array.from({ length: STREAMS }, () => this.client.planCall('echo', SPAN, 0).stream);
    this.now = 0;
    for (const key of this.keys) {
      const { bytes } = this.client.send(key, BODY, { spanContext: SPAN }, 0);
      for (const server of this.servers) {
        const { stream } = server.receive(bytes, true, 0);
        server.take(stream, BODY.length, 0);
        drain(server);
      }
    }
  }

  /** CPU time per message: each server gets a chunk of each stream and answers it. */
  cpuNs() {
    const passes = Math.ceil(MESSAGES / (this.servers.length * STREAMS * 2));
    const frames = Array.from({ length: passes }, () =>
      this.keys.map((key) => Buffer.from(this.client.send(key, BODY, undefined, 0).bytes)),
    );
    const { user, system } = process.cpuUsage();
    for (const chunks of frames) {
      this.now += STEP_NS;
      for (const server of this.servers) {
        for (const frame of chunks) {
          const { stream, payload } = server.receive(frame, true, this.now);
          server.take(stream, payload.length, this.now);
          drain(server);
          server.send(stream, payload, undefined, this.now);
          drain(server);
        }
      }
    }
    const after = process.cpuUsage();
    return ((after.user + after.system - user - system) * 1000) / (passes * this.servers.length * STREAMS * 2);
  }

  medianCpuNs() {
    // The first chunks allocate the histograms, and let the compiler see what it has to do.
    for (let n = 0; n < 3; n++) this.cpuNs();
    return Array.from({ length: SAMPLES }, () => this.cpuNs()).sort((a, b) => a - b)[SAMPLES >> 1];
  }
}

const connections = Number(process.argv[2]);
const few = new Group(FEW);
globalThis.gc?.();
const before = process.memoryUsage.rss();
const every = new Group(connections);
globalThis.gc?.();
const idle = process.memoryUsage.rss() - before;
const [fewNs, allNs] = [few.medianCpuNs(), every.medianCpuNs()];
globalThis.gc?.();
const busy = process.memoryUsage.rss() - before;
const each = { idle_bytes: idle / connections, busy_bytes: busy / connections };
console.log(JSON.stringify({ ...each, few_ns: fewNs, all_ns: allNs }));
