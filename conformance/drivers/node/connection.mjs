// Scripts of connections: each step is one call of the package's sans-IO Connection.

import { api, wirespan } from './package.mjs';
import {
  bodyOf, contextOf, messageOf, pairsOf, showContext, showMessage, showPayload, showPlan, showSummary, without,
} from './values.mjs';

const { propagation } = api;
const { Connection, HandshakeRequest, SessionRegistry, WirespanError } = wirespan;

const OPTIONS = { hello_wait: 'helloWaitMs', stall_threshold: 'stallThresholdMs', idle_timeout: 'idleTimeoutMs', overflow_wait: 'overflowWaitMs' };
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** Options of the protocol, whose times are nanoseconds, by their names in the package, whose times are milliseconds. */
export const optionsOf = (options = {}) =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => (name in OPTIONS ? [OPTIONS[name], value / 1e6] : [camel(name), value])),
  );

const baggageOf = (baggage) =>
  baggage && propagation.createBaggage(Object.fromEntries(Object.entries(baggage).map(([key, value]) => [key, { value }])));
const showBaggage = (baggage) =>
  baggage && Object.fromEntries(baggage.getAllEntries().map(([key, { value }]) => [key, value]));

export function connectionCase({ steps }) {
  const script = new Script();
  return { steps: steps.map((step) => script.step(step)) };
}

class Script {
  #sides = new Map();
  #registries = new Map();
  /** Names of connections by registry and number. */
  #registered = new Map();
  /** Names of streams by connection and number, and streams by name. */
  #names = new Map();
  #streams = new Map();
  #made = 0;
  step(step) {
    const on = step.on ?? 'c';
    let result;
    try {
      result = step.do === 'client' || step.do === 'server' ? this[step.do](step, on) : this.act(step, this.#sides.get(on));
    } catch (error) {
      if (!(error instanceof WirespanError)) throw error;
      result = { raises: error.kind };
    }
    const events = [];
    const side = this.#sides.get(on);
    for (let event = side?.connection.pollEvent(); event !== undefined; event = side.connection.pollEvent()) {
      events.push(this.event(side, event));
    }
    return { ...result, ...without({ events }) };
  }

  client({ entropy, options, address, port, resume }, on) {
    const session = resume === undefined ? {} : { session: this.#sides.get(resume).connection.resumption };
    const connection = Connection.client(
      { ...optionsOf(options), ...session },
      { address, port, entropy: Buffer.from(entropy, 'hex') },
    );
    this.#keep(on, connection);
    return {};
  }

  server({ entropy, options, address, port, request = {}, registry, max_sessions, max_per_remote, remote, vouched }, on) {
    const handshake = new HandshakeRequest(pairsOf(request.headers), request.query);
    if (registry !== undefined && !this.#registries.has(registry)) {
      this.#registries.set(registry, new SessionRegistry({ maxSessions: max_sessions, maxPerRemote: max_per_remote }));
    }
    const connection = Connection.server(optionsOf(options), handshake, {
      registry: this.#registries.get(registry), remote, vouch: vouched, address, port, entropy: Buffer.from(entropy, 'hex'),
    });
    const superseded = this.#registered.get(`${registry} ${connection.superseded}`);
    this.#registered.set(`${registry} ${connection.connectionId}`, on);
    this.#keep(on, connection, handshake);
    return without({ proposed: handshake.proposedSession, subprotocols: handshake.applicationSubprotocols, superseded });
  }

  #keep(on, connection, request) {
    this.#made += 1;
    this.#sides.set(on, { connection, request, number: this.#made });
  }

  act(step, side) {
    const { connection } = side;
    const { at } = step;
    const stream = () => (step.stream === 'plain' ? 0 : this.#streams.get(step.stream).number);
    const spans = { spanContext: contextOf(step.context), baggage: baggageOf(step.baggage) };
    const acts = {
      plan_handshake: () => {
        const plans = connection.planHandshake({ http: contextOf(step.http), current: step.current });
        return without({ plans: plans.map((plan) => this.plan(side, plan)) });
      },
      span_started: () => {
        const span = { connection: 0, handshake: 1 }[step.span] ?? this.#streams.get(step.span).number;
        connection.spanStarted(span, spans.spanContext);
      },
      request: () => {
        const { host, has_subprotocol: hasSubprotocol, has_trace_context: hasTraceContext } = step;
        return without(connection.request({ host, hasSubprotocol, hasTraceContext, current: spans.spanContext }));
      },
      response: () => without(connection.response(side.request, step.selected)),
      open: () =>
        connection.role === 'server' ? connection.openServer(at) : connection.openClient(pairsOf(step.headers), at),
      fail_handshake: () => connection.failHandshake(step.error),
      methods: () => connection.setMethods(step.names),
      plain_policy: () => connection.setPlainPolicy(step.policy),
      call: () => this.#begun(side, connection.planCall(step.method, contextOf(step.current), at)),
      transfer: () => this.#begun(side, connection.planTransfer(step.method, contextOf(step.current), at)),
      send: () => {
        const [body, { json }] = bodyOf(step.body);
        const { bytes, form } = connection.send(stream(), body, { ...spans, json, last: step.last, headers: step.headers }, at);
        return { message: showMessage(bytes, form === 'binary') };
      },
      end: () => connection.end(stream(), spans, at),
      leave: () => connection.leave(stream(), at),
      cancel: () => connection.cancel(stream(), at),
      fail: () => connection.fail(stream(), step.error, at),
      take: () => connection.take(stream(), step.bytes, at),
      receive: () => this.receive(side, connection.receive(...messageOf(step.message), at)),
      on_time: () => connection.onTime(at),
      on_close: () => connection.onClose(step.code, step.reason ?? '', at),
      on_superseded: () => connection.onSuperseded(at),
      deadline: () => (Number.isFinite(connection.nextDeadline) ? { deadline: connection.nextDeadline } : {}),
      state: () => ({
        peer: connection.peer.known,
        session: connection.sessionId,
        open: connection.isOpen,
        ready: connection.isReady,
        may_read: connection.mayRead,
        ...without({ streams: connection.openStreams }),
      }),
      counters: () => without({ counters: without(connection.counters) }),
      metrics: () => {
        const metrics = connection.metrics(stream());
        return metrics ? { sent: showSummary(metrics.sent), received: showSummary(metrics.received) } : {};
      },
    };
    return acts[step.do]() ?? {};
  }

  receive(side, received) {
    const { payload, opened, binary } = received;
    const delivered = payload !== undefined;
    return without({
      stream: received.stream === 0 ? delivered && 'plain' : this.#name(side, received.stream),
      payload: delivered ? showPayload(payload, binary) : undefined,
      opened:
        opened &&
        without({
          kind: opened.kind,
          method: opened.method,
          registered: opened.registered,
          plan: this.plan(side, opened.plan),
        }),
      context: showContext(received.spanContext),
      link: showContext(received.link),
      baggage: showBaggage(received.baggage),
      headers: received.headers,
    });
  }

  event(side, event) {
    const span = () => this.#span(side, event.span);
    const shown = {
      frame: () => ({ event: 'frame', message: showMessage(event.bytes, event.form === 'binary') }),
      spanUpdate: () => ({ event: 'span_update', span: span(), attributes: event.attributes }),
      spanEnd: () => ({
        event: 'span_end', span: span(), error: event.status === 'error', attributes: event.attributes,
        events: event.events.map(({ name, at, attributes }) => ({ name, at, ...without({ attributes }) })),
      }),
      readEnd: () => ({
        event: 'read_end', stream: this.#name(side, event.stream), end: event.complete ? 'complete' : 'failed',
        kind: event.kind, error_type: event.errorType,
      }),
      pauseReading: () => ({ event: 'pause_reading' }),
      resumeReading: () => ({ event: 'resume_reading' }),
      ready: () => ({ event: 'ready' }),
      sessionChanged: () => ({ event: 'session_changed', previous: event.previous }),
    };
    return without(shown[event.type]());
  }

  plan(side, plan) {
    return { span: this.#span(side, plan.span), ...showPlan(plan) };
  }

  #begun(side, { stream, plan }) {
    return { stream: this.#name(side, stream), plan: this.plan(side, plan) };
  }

  #span(side, span) {
    return ['connection', 'handshake'][span] ?? this.#name(side, span);
  }

  #name(side, stream) {
    const key = `${side.number} ${stream}`;
    if (!this.#names.has(key)) {
      const name = `s${this.#names.size + 1}`;
      this.#names.set(key, name);
      this.#streams.set(name, { number: stream });
    }
    return this.#names.get(key);
  }
}
