/* Scripts of connections: each step is one call of the library's sans-IO connection. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

#define MAX_SIDES 16
#define MAX_REGISTRIES 8

typedef struct side {
  const char *name;
  wirespan_connection *connection;
  wirespan_request *request;
  wirespan_role role;
  int number;
} side;

/* A stream by its name: the side and the number there. */
typedef struct named {
  int side;
  uint32_t stream;
} named;

static struct {
  side sides[MAX_SIDES];
  size_t side_count;
  int made;
  struct {
    const char *name;
    wirespan_registry *registry;
  } registries[MAX_REGISTRIES];
  size_t registry_count;
  /* Names of connections by registry and number. */
  struct {
    const wirespan_registry *registry;
    uint64_t id;
    const char *name;
  } registered[64];
  size_t registered_count;
  named *streams;
  size_t stream_count, stream_room;
} script;

static side *side_of(const char *name) {
  size_t i;
  for (i = 0; i < script.side_count; i++) {
    if (strcmp(script.sides[i].name, name) == 0) return &script.sides[i];
  }
  return NULL;
}

/* The name of a stream: s1, s2, … by first appearance. */
static json_t *stream_name(const side *at, uint32_t stream) {
  char name[16];
  size_t i;
  for (i = 0; i < script.stream_count; i++) {
    if (script.streams[i].side == at->number && script.streams[i].stream == stream) break;
  }
  if (i == script.stream_count) {
    if (i == script.stream_room) {
      script.stream_room = script.stream_room * 2 + 16;
      script.streams = realloc(script.streams, script.stream_room * sizeof *script.streams);
      if (script.streams == NULL) abort();
    }
    script.streams[i].side = at->number;
    script.streams[i].stream = stream;
    script.stream_count++;
  }
  snprintf(name, sizeof name, "s%zu", i + 1);
  return json_string(name);
}

static uint32_t stream_of(json_t *step, const char *field) {
  const char *name = field_text(step, field);
  size_t index;
  if (name == NULL || strcmp(name, "plain") == 0) return WIRESPAN_STREAM_PLAIN;
  if (strcmp(name, "connection") == 0) return WIRESPAN_SPAN_CONNECTION;
  if (strcmp(name, "handshake") == 0) return WIRESPAN_SPAN_HANDSHAKE;
  index = (size_t)strtoul(name + 1, NULL, 10);
  return index >= 1 && index <= script.stream_count ? script.streams[index - 1].stream : WIRESPAN_STREAM_PLAIN;
}

static json_t *span_name(const side *at, uint32_t span) {
  if (span == WIRESPAN_SPAN_CONNECTION) return json_string("connection");
  if (span == WIRESPAN_SPAN_HANDSHAKE) return json_string("handshake");
  return stream_name(at, span);
}

static json_t *show_planned(const side *at, const wirespan_plan *plan) {
  json_t *shown = show_plan(plan);
  json_object_set_new(shown, "span", span_name(at, plan->span));
  return shown;
}

/* How connections begin. */

static wirespan_options *options_of(json_t *given) {
  wirespan_options *options = NULL;
  const char *name;
  json_t *value;
  if (!ok(wirespan_options_new(&options))) return NULL;
  json_object_foreach(given, name, value) {
    size_t count;
    const char **names = names_of(value, &count);
    ok(json_is_string(value)    ? wirespan_options_set_text(options, name, text_of(value))
       : json_is_boolean(value) ? wirespan_options_set_flag(options, name, json_is_true(value))
       : json_is_array(value)   ? wirespan_options_set_list(options, name, names, count)
                                : wirespan_options_set_number(options, name, (uint64_t)json_number_value(value)));
  }
  return options;
}

static const uint8_t *entropy_of(json_t *step) {
  const char *hex = field_text(step, "entropy");
  uint8_t *bytes = scratch(16);
  size_t i;
  for (i = 0; hex != NULL && i < 16; i++) {
    unsigned value = 0;
    sscanf(hex + 2 * i, "%2x", &value);
    bytes[i] = (uint8_t)value;
  }
  return bytes;
}

static wirespan_endpoint endpoint_of(json_t *step) {
  wirespan_endpoint endpoint = {field_text(step, "address"), (uint16_t)field_number(step, "port")};
  return endpoint;
}

static side *keep(const char *name, wirespan_connection *connection, wirespan_request *request, wirespan_role role) {
  side *at = side_of(name);
  if (at == NULL) {
    if (script.side_count == MAX_SIDES) return NULL;
    at = &script.sides[script.side_count++];
    memset(at, 0, sizeof *at);
  }
  wirespan_connection_free(at->connection);
  wirespan_request_free(at->request);
  at->name = name;
  at->connection = connection;
  at->request = request;
  at->role = role;
  at->number = ++script.made;
  return at;
}

static void make_client(json_t *step, const char *on) {
  wirespan_options *options = options_of(json_object_get(step, "options"));
  wirespan_endpoint endpoint = endpoint_of(step);
  wirespan_connection *connection = NULL;
  const char *resume = field_text(step, "resume");
  if (resume != NULL && side_of(resume) != NULL) {
    char session[129];
    wirespan_span_context span;
    ok(wirespan_connection_resumption(side_of(resume)->connection, session, sizeof session, NULL, &span));
    ok(wirespan_options_resume(options, session, &span));
  }
  if (how_it_failed() == FAILURE_NONE &&
      ok(wirespan_connection_client(options, &endpoint, entropy_of(step), &connection))) {
    keep(on, connection, NULL, WIRESPAN_ROLE_CLIENT);
  }
  wirespan_options_free(options);
}

static wirespan_registry *registry_of(json_t *step) {
  const char *name = field_text(step, "registry");
  size_t i;
  if (name == NULL) return NULL;
  for (i = 0; i < script.registry_count; i++) {
    if (strcmp(script.registries[i].name, name) == 0) return script.registries[i].registry;
  }
  if (i == MAX_REGISTRIES) return NULL;
  script.registries[i].name = name;
  ok(wirespan_registry_new((size_t)field_number(step, "max_sessions"), (size_t)field_number(step, "max_per_remote"),
                           &script.registries[i].registry));
  return script.registries[script.registry_count++].registry;
}

static void note_registered(const wirespan_registry *registry, const side *at, json_t *result) {
  wirespan_connection_state state;
  size_t i;
  if (!ok(wirespan_connection_read_state(at->connection, &state))) return;
  for (i = 0; i < script.registered_count; i++) {
    if (script.registered[i].registry == registry && script.registered[i].id == state.superseded) {
      add(result, "superseded", json_string(script.registered[i].name));
    }
  }
  if (script.registered_count == sizeof script.registered / sizeof *script.registered) return;
  script.registered[i].registry = registry;
  script.registered[i].id = state.connection_id;
  script.registered[i].name = at->name;
  script.registered_count++;
}

static void make_server(json_t *step, const char *on, json_t *result) {
  wirespan_options *options = options_of(json_object_get(step, "options"));
  wirespan_endpoint endpoint = endpoint_of(step);
  wirespan_registry *registry = registry_of(step);
  wirespan_connection *connection = NULL;
  wirespan_request *request = NULL;
  json_t *given = json_object_get(step, "request"), *vouched = json_object_get(step, "vouched");
  json_t *subprotocols = json_array();
  uint32_t vouch = vouched == NULL         ? WIRESPAN_VOUCH_NO_OPINION
                   : json_is_true(vouched) ? WIRESPAN_VOUCH_YES
                                           : WIRESPAN_VOUCH_NO;
  wirespan_str name;
  char session[129];
  size_t count, i;
  wirespan_header *headers = headers_of(json_object_get(given, "headers"), &count);
  if (how_it_failed() == FAILURE_NONE &&
      ok(wirespan_request_new(headers, count, field_text(given, "query"), &request)) &&
      ok(wirespan_connection_server(options, request, registry, field_text(step, "remote"), vouch, &endpoint,
                                    entropy_of(step), &connection))) {
    side *at = keep(on, connection, request, WIRESPAN_ROLE_SERVER);
    ok(wirespan_request_proposed_session(request, session, sizeof session, NULL));
    add(result, "proposed", json_string(session));
    for (i = 0; ok(wirespan_request_subprotocol(request, i, &name)) && name.length > 0; i++) {
      json_array_append_new(subprotocols, show_text(name));
    }
    add(result, "subprotocols", json_incref(subprotocols));
    if (at != NULL) note_registered(registry, at, result);
  }
  json_decref(subprotocols);
  wirespan_options_free(options);
}

static void plan_handshake(json_t *step, side *at, json_t *result) {
  /* Whether a span is current is all that the step says; any will do. */
  wirespan_span_context *current = NULL;
  const wirespan_plan *const *plans;
  size_t count, i;
  json_t *shown = json_array();
  if (field_flag(step, "current")) {
    current = scratch(sizeof *current);
    memset(current->trace_id, 1, sizeof current->trace_id);
    memset(current->span_id, 1, sizeof current->span_id);
  }
  if (ok(wirespan_connection_plan_handshake(at->connection, context_of(json_object_get(step, "http")), current, &plans,
                                            &count))) {
    for (i = 0; i < count; i++) json_array_append_new(shown, show_planned(at, plans[i]));
  }
  add(result, "plans", shown);
}

static void show_additions(const wirespan_additions *additions, json_t *result) {
  add(result, "headers", show_headers(additions->headers, additions->header_count));
  add(result, "subprotocol", show_text(additions->subprotocol));
  add(result, "query", show_text(additions->query));
}

/* What the application does. */

static void send_message(json_t *step, side *at, json_t *result) {
  wirespan_message message;
  wirespan_context context = whole_context_of(step);
  wirespan_str body;
  wirespan_form form;
  size_t size, length;
  uint8_t *buffer;
  memset(&message, 0, sizeof message);
  body = body_of(json_object_get(step, "body"), &message.body_type);
  message.data = (const uint8_t *)body.data;
  message.length = body.length;
  message.last = field_flag(step, "last");
  message.headers = headers_of(json_object_get(step, "headers"), &message.header_count);
  size = WIRESPAN_MAX_OVERHEAD + 6 * body.length + 2;
  buffer = scratch(size);
  if (ok(wirespan_connection_send(at->connection, stream_of(step, "stream"), &message, &context,
                                  field_number(step, "at"), buffer, size, &length, &form))) {
    add(result, "message", show_message(buffer, length, form));
  }
}

static void begin(json_t *step, side *at, bool is_call, json_t *result) {
  const char *method = field_text(step, "method");
  wirespan_span_context *current = context_of(json_object_get(step, "current"));
  const wirespan_plan *plan;
  uint32_t stream;
  wirespan_status status =
      is_call ? wirespan_connection_plan_call(at->connection, method, current, field_number(step, "at"), &stream, &plan)
              : wirespan_connection_plan_transfer(at->connection, method, current, field_number(step, "at"), &stream,
                                                  &plan);
  if (!ok(status)) return;
  add(result, "stream", stream_name(at, stream));
  add(result, "plan", show_planned(at, plan));
}

/* What comes from outside, and what can be asked. */

static void receive(json_t *step, side *at, json_t *result) {
  wirespan_form form;
  wirespan_str message = message_of(json_object_get(step, "message"), &form);
  wirespan_received received;
  if (!ok(wirespan_connection_receive(at->connection, (const uint8_t *)message.data, message.length, form,
                                      field_number(step, "at"), &received))) {
    return;
  }
  if (received.stream != WIRESPAN_STREAM_PLAIN) {
    add(result, "stream", stream_name(at, received.stream));
  } else if (received.has_payload) {
    add(result, "stream", json_string("plain"));
  }
  if (received.has_payload) add(result, "payload", show_message(received.payload, received.payload_length, form));
  if (received.is_opening) {
    json_t *opened = json_object();
    add(opened, "kind", json_string(received.kind == WIRESPAN_KIND_CALL ? "call" : "transfer"));
    add(opened, "method", show_text(received.method));
    add(opened, "registered", json_boolean(received.is_registered));
    add(opened, "plan", show_planned(at, received.plan));
    add(result, "opened", opened);
  }
  add(result, "context", show_context(&received.context.span));
  add(result, "link", show_context(&received.link));
  add(result, "baggage", show_baggage(received.context.baggage));
  add(result, "headers", show_headers(received.headers, received.header_count));
}

static void show_state(side *at, json_t *result) {
  static const char *const PEERS[] = {"unknown", "announced", "always"};
  wirespan_connection_state state;
  char session[129];
  if (!ok(wirespan_connection_read_state(at->connection, &state)) ||
      !ok(wirespan_connection_session_id(at->connection, session, sizeof session, NULL))) {
    return;
  }
  add(result, "peer", json_string(PEERS[state.peer]));
  add(result, "session", json_string(session));
  json_object_set_new(result, "open", json_boolean(state.is_open));
  json_object_set_new(result, "ready", json_boolean(state.is_ready));
  json_object_set_new(result, "may_read", json_boolean(state.may_read));
  add(result, "streams", json_integer((json_int_t)state.open_streams));
}

static void show_counters(side *at, json_t *result) {
  json_t *shown = json_object();
  wirespan_str name;
  uint32_t value;
  size_t i;
  for (i = 0; ok(wirespan_connection_read_counter(at->connection, i, &name, &value)) && name.length > 0; i++) {
    add(shown, scratch_text(name.data, name.length), json_integer(value));
  }
  add(result, "counters", shown);
}

static void show_metrics(json_t *step, side *at, json_t *result) {
  wirespan_summary sent, received;
  if (wirespan_connection_metrics(at->connection, stream_of(step, "stream"), &sent, &received) != WIRESPAN_STATUS_OK)
    return;
  add(result, "sent", show_summary(&sent));
  add(result, "received", show_summary(&received));
}

static void show_deadline(side *at, json_t *result) {
  uint64_t deadline;
  if (ok(wirespan_connection_next_deadline(at->connection, &deadline)) && deadline != UINT64_MAX) {
    add(result, "deadline", json_integer((json_int_t)deadline));
  }
}

/* Events. */

static void show_span_end(side *at, json_t *shown) {
  const wirespan_span_end *end;
  json_t *events = json_array();
  size_t i;
  if (!ok(wirespan_connection_span_end(at->connection, &end))) return;
  add(shown, "span", span_name(at, end->span));
  add(shown, "error", json_boolean(end->is_error));
  add(shown, "attributes", show_attributes(end->attributes, end->attribute_count));
  for (i = 0; i < end->event_count; i++) {
    const wirespan_span_event *event = &end->events[i];
    json_t *one = json_object();
    add(one, "name", show_text(event->name));
    json_object_set_new(one, "at", json_integer((json_int_t)event->at_ns));
    add(one, "attributes", show_attributes(event->attributes, event->attribute_count));
    json_array_append_new(events, one);
  }
  add(shown, "events", events);
}

static json_t *show_event(side *at, const wirespan_event *event) {
  static const char *const NAMES[] = {
      NULL,    "frame",          "span_update", "span_end", "read_end", "pause_reading", "resume_reading",
      "ready", "session_changed"};
  json_t *shown = json_object();
  bool is_complete = event->read_status == WIRESPAN_STATUS_OK;
  add(shown, "event", json_string(NAMES[event->event_type]));
  switch (event->event_type) {
    case WIRESPAN_EVENT_TYPE_FRAME:
      add(shown, "message", show_message(event->data, event->length, event->form));
      break;
    case WIRESPAN_EVENT_TYPE_SPAN_UPDATE:
      add(shown, "span", span_name(at, event->stream));
      add(shown, "attributes", show_attributes(event->attributes, event->attribute_count));
      break;
    case WIRESPAN_EVENT_TYPE_SPAN_END:
      show_span_end(at, shown);
      break;
    case WIRESPAN_EVENT_TYPE_READ_END:
      add(shown, "stream", stream_name(at, event->stream));
      add(shown, "end", json_string(is_complete ? "complete" : "failed"));
      if (!is_complete) add(shown, "kind", json_string(wirespan_status_name(event->read_status)));
      add(shown, "error_type", show_text(event->text));
      break;
    case WIRESPAN_EVENT_TYPE_SESSION_CHANGED:
      add(shown, "previous", show_text(event->text));
      break;
    default:
      break;
  }
  return shown;
}

/* Steps. */

static void act(json_t *step, side *at, json_t *result) {
  const char *what = field_text(step, "do");
  wirespan_connection *c = at->connection;
  uint64_t now = field_number(step, "at");
  wirespan_additions additions;
  wirespan_context context;
  size_t count;
  const wirespan_span_context *span;
#define IS(name) (strcmp(what, name) == 0)
  if (IS("plan_handshake")) {
    plan_handshake(step, at, result);
  } else if (IS("span_started")) {
    span = context_of(json_object_get(step, "context"));
    ok(wirespan_connection_span_started(c, stream_of(step, "span"), span));
  } else if (IS("request")) {
    span = context_of(json_object_get(step, "context"));
    if (ok(wirespan_connection_request(c, field_text(step, "host"), field_flag(step, "has_subprotocol"),
                                       field_flag(step, "has_trace_context"), span, &additions))) {
      show_additions(&additions, result);
    }
  } else if (IS("response")) {
    if (ok(wirespan_connection_response(c, at->request, field_text(step, "selected"), &additions))) {
      show_additions(&additions, result);
    }
  } else if (IS("open")) {
    wirespan_header *headers = headers_of(json_object_get(step, "headers"), &count);
    ok(at->role == WIRESPAN_ROLE_SERVER ? wirespan_connection_open_server(c, now)
                                        : wirespan_connection_open_client(c, headers, count, now));
  } else if (IS("fail_handshake")) {
    ok(wirespan_connection_fail_handshake(c, field_text(step, "error")));
  } else if (IS("methods")) {
    const char **names = names_of(json_object_get(step, "names"), &count);
    ok(wirespan_connection_set_methods(c, names, count));
  } else if (IS("plain_policy")) {
    const char *policy = field_text(step, "policy");
    ok(wirespan_connection_set_plain_policy(c, strcmp(policy, "queue") == 0     ? WIRESPAN_PLAIN_POLICY_QUEUE
                                               : strcmp(policy, "discard") == 0 ? WIRESPAN_PLAIN_POLICY_DISCARD
                                                                                : WIRESPAN_PLAIN_POLICY_DELIVER));
  } else if (IS("call") || IS("transfer")) {
    begin(step, at, IS("call"), result);
  } else if (IS("send")) {
    send_message(step, at, result);
  } else if (IS("end")) {
    context = whole_context_of(step);
    ok(wirespan_connection_end(c, stream_of(step, "stream"), &context, now));
  } else if (IS("leave")) {
    ok(wirespan_connection_leave(c, stream_of(step, "stream"), now));
  } else if (IS("cancel")) {
    ok(wirespan_connection_cancel(c, stream_of(step, "stream"), now));
  } else if (IS("fail")) {
    ok(wirespan_connection_fail(c, stream_of(step, "stream"), field_text(step, "error"), now));
  } else if (IS("take")) {
    ok(wirespan_connection_take(c, stream_of(step, "stream"), (size_t)field_number(step, "bytes"), now));
  } else if (IS("receive")) {
    receive(step, at, result);
  } else if (IS("on_time")) {
    ok(wirespan_connection_on_time(c, now));
  } else if (IS("on_close")) {
    wirespan_str reason = str_of(json_object_get(step, "reason"));
    ok(wirespan_connection_on_close(c, (uint16_t)field_number(step, "code"), reason.data, reason.length, now));
  } else if (IS("on_superseded")) {
    ok(wirespan_connection_on_superseded(c, now));
  } else if (IS("deadline")) {
    show_deadline(at, result);
  } else if (IS("state")) {
    show_state(at, result);
  } else if (IS("counters")) {
    show_counters(at, result);
  } else if (IS("metrics")) {
    show_metrics(step, at, result);
  } else {
    wrong_input("a step");
  }
#undef IS
}

static json_t *run_step(json_t *step) {
  const char *what = field_text(step, "do"), *on = field_text(step, "on");
  json_t *result = json_object(), *events = json_array();
  wirespan_event event;
  side *at;
  if (on == NULL) on = "c";
  forget_failure();
  if (what != NULL && strcmp(what, "client") == 0) {
    make_client(step, on);
  } else if (what != NULL && strcmp(what, "server") == 0) {
    make_server(step, on, result);
  } else if (what == NULL || side_of(on) == NULL) {
    wrong_input("a step");
  } else {
    act(step, side_of(on), result);
  }
  if (how_it_failed() == FAILURE_RAISED) {
    wirespan_error error;
    wirespan_last_error(&error);
    json_object_clear(result);
    add(result, "raises", json_string(wirespan_status_name(error.status)));
    forget_failure();
  }
  at = side_of(on);
  while (at != NULL && wirespan_connection_poll_event(at->connection, &event) == WIRESPAN_STATUS_OK &&
         event.event_type != WIRESPAN_EVENT_TYPE_NONE) {
    json_array_append_new(events, show_event(at, &event));
  }
  add(result, "events", events);
  return result;
}

json_t *connection_case(json_t *input) {
  json_t *step, *steps = json_array();
  size_t index, i;
  bool is_readable = true;
  memset(&script, 0, sizeof script);
  json_array_foreach(json_object_get(input, "steps"), index, step) {
    json_array_append_new(steps, run_step(step));
    is_readable = is_readable && how_it_failed() != FAILURE_INPUT;
  }
  for (i = 0; i < script.side_count; i++) {
    wirespan_connection_free(script.sides[i].connection);
    wirespan_request_free(script.sides[i].request);
  }
  for (i = 0; i < script.registry_count; i++) wirespan_registry_free(script.registries[i].registry);
  free(script.streams);
  if (is_readable) return json_pack("{s:o}", "steps", steps);
  json_decref(steps);
  wrong_input("a step");
  return NULL;
}
