// Scripts of connections: each step is one call of the package's Connection.

import { bodyOf, bytesOf, contextOf, fromMessage, toMessage, without } from './values.mjs';

export function connectionCase({ steps }, wirespan) {
  const connections = new Map();
  const registries = new Map();
  const streams = new Map();
  const names = new Map();

  const nameOf = (stream) => {
    if (stream === undefined || typeof stream === 'string') return stream;
    if (!names.has(stream)) {
      names.set(stream, `s${names.size + 1}`);
      streams.set(names.get(stream), stream);
    }
    return names.get(stream);
  };
  const streamOf = (name) => streams.get(name) ?? name;
  const context = (given) => given && contextOf(given);
  const baggage = (given) => given && Object.entries(given);
  const planOf = (plan, span) => ({ span, ...without(plan) });
  const registry = (step) => {
    if (!step.registry) return undefined;
    if (!registries.has(step.registry)) {
      registries.set(step.registry, new wirespan.Registry(step.max_sessions, step.max_per_remote));
    }
    return registries.get(step.registry);
  };
  const nameOfConnection = (wanted) => [...connections].find(([, connection]) => connection === wanted)?.[0];

  const make = {
    client: ({ entropy, options, address, port, resume }) =>
      wirespan.Connection.client({ entropy, options, address, port, resume: connections.get(resume) }),
    server: (step) => {
      const { entropy, options, address, port, remote, vouched, request } = step;
      const headers = (request?.headers ?? []).map(([name, value]) => [name, typeof value === 'string' ? value : bytesOf(value)]);
      return wirespan.Connection.server({
        entropy, options, address, port, remote, vouched, registry: registry(step), request: { headers, query: request?.query },
      });
    },
  };

  const acts = {
    plan_handshake: (c, { http, current }) => ({
      plans: c.planHandshake(context(http), current).map((plan) => planOf(plan, plan.name.replace('websocket.', ''))),
    }),
    span_started: (c, step) => c.spanStarted(streamOf(step.span), context(step.context)),
    request: (c, step) =>
      c.request({
        host: step.host, hasSubprotocol: step.has_subprotocol, hasTraceContext: step.has_trace_context, context: context(step.context),
      }),
    response: (c, { selected }) => c.response(selected),
    open: (c, { at, headers }) => c.open(at, headers),
    fail_handshake: (c, { error }) => c.failHandshake(error),
    methods: (c, step) => c.serve(step.names),
    plain_policy: (c, { policy }) => c.setPlainPolicy(policy),
    call: (c, step) => begun(c.call(step.method, step.at, context(step.current))),
    transfer: (c, step) => begun(c.transfer(step.method, step.at, context(step.current))),
    send: (c, step) => {
      const options = { context: context(step.context), baggage: baggage(step.baggage), headers: step.headers, last: step.last };
      return { message: toMessage(c.send(streamOf(step.stream), bodyOf(step.body), step.at, options)) };
    },
    end: (c, step) => c.end(streamOf(step.stream), step.at, { context: context(step.context), baggage: baggage(step.baggage) }),
    leave: (c, step) => c.leave(streamOf(step.stream), step.at),
    cancel: (c, step) => c.cancel(streamOf(step.stream), step.at),
    fail: (c, step) => c.fail(streamOf(step.stream), step.error, step.at),
    take: (c, step) => c.take(streamOf(step.stream), step.bytes, step.at),
    receive: (c, step) => {
      const got = c.receive(fromMessage(step.message, wirespan), step.at);
      const stream = nameOf(got.stream);
      return {
        stream,
        payload: got.payload === undefined ? undefined : toMessage(got.payload),
        opened: got.opened && without({ ...got.opened, plan: planOf(got.opened.plan, stream) }),
        context: got.context,
        link: got.link,
        baggage: got.baggage && Object.fromEntries(got.baggage),
        headers: got.headers,
      };
    },
    on_time: (c, { at }) => c.onTime(at),
    on_close: (c, { code, reason, at }) => c.onClose(at, code, reason),
    on_superseded: (c, { at }) => c.onSuperseded(at),
    deadline: (c) => ({ deadline: c.deadline() }),
    counters: (c) => ({ counters: { ...c.counters } }),
    metrics: (_, step) => wirespan.metricsOf(streamOf(step.stream)),
  };
  const begun = ({ stream, plan }) => ({ stream: nameOf(stream), plan: planOf(plan, nameOf(stream)) });

  const state = (c) => ({
    peer: c.peer, session: c.session, open: c.state === 'open', ready: c.ready, may_read: c.mayRead, ...without({ streams: c.streams.length }),
  });
  const eventOf = (event) => ({
    event: event.event,
    ...without({
      ...event,
      stream: nameOf(event.stream),
      span: nameOf(event.span),
      message: event.message === undefined ? undefined : toMessage(event.message),
    }),
  });

  const run = (step) => {
    const on = step.on ?? 'c';
    if (make[step.do]) {
      const connection = make[step.do](step);
      connections.set(on, connection);
      const { proposed, subprotocols, superseded } = connection;
      return without({ proposed, subprotocols, superseded: nameOfConnection(superseded) });
    }
    const connection = connections.get(on);
    return step.do === 'state' ? state(connection) : without(acts[step.do](connection, step) ?? {});
  };
  const output = steps.map((step) => {
    let result;
    try {
      result = run(step);
    } catch (error) {
      if (!(error instanceof wirespan.WirespanError)) throw error;
      result = { raises: error.kind };
    }
    const events = connections.get(step.on ?? 'c')?.takeEvents().map(eventOf) ?? [];
    return { ...result, ...without({ events }) };
  });
  return { steps: output };
}
