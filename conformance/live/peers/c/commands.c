/* The commands of PEERS.md, and the connections that they name. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

static conn *conns;
static server *servers;

conn *new_client(const char *name) {
  conn *made = take_memory(sizeof *made);
  made->name = name != NULL ? copy_text(name) : NULL;
  made->arrived_spans = json_array();
  made->receiving = json_array();
  made->next = conns;
  conns = made;
  return made;
}

conn *conn_of(wirespan_lws *lws) {
  conn *made = wirespan_lws_data(lws);
  if (made != NULL) return made;
  made = new_client(NULL);
  made->lws = lws;
  wirespan_lws_set_data(lws, made);
  return made;
}

/* The newest connection of a name: names can be used again. */
static conn *find_name(const char *name) {
  conn *found = conns;
  while (found != NULL && (found->name == NULL || strcmp(found->name, name) != 0)) found = found->next;
  return found;
}

conn *find_client(json_t *command) { return find_name(field(command, "on")); }

static server *find_server(json_t *command) {
  server *found = servers;
  while (found != NULL && strcmp(found->name, field(command, "on")) != 0) found = found->next;
  return found;
}

/* What a connection tells. */

static void on_ready(wirespan_lws *lws, void *user) {
  static const char *const PEERS[] = {"unknown", "announced", "always"};
  conn *on = conn_of(lws);
  wirespan_connection *connection = wirespan_lws_connection(lws);
  wirespan_connection_state state;
  (void)user;
  wirespan_connection_read_state(connection, &state);
  wirespan_connection_resumption(connection, on->session_id, sizeof on->session_id, NULL, &on->span);
  if (on->span.trace_state.length < sizeof on->trace_state && on->span.trace_state.length > 0) {
    memcpy(on->trace_state, on->span.trace_state.data, on->span.trace_state.length);
    on->span.trace_state.data = on->trace_state;
  } else {
    on->span.trace_state.length = 0;
  }
  if (on->connecting != NULL) {
    answer(on->connecting, json_pack("{s:s, s:s}", "session", on->session_id, "peer", PEERS[state.peer]));
    on->connecting = NULL;
  }
  if (on->on_ready != NULL) {
    call *waiting = on->on_ready;
    on->on_ready = NULL;
    if (waiting->of != NULL) {
      wirespan_context parent = served_context(waiting->of);
      begin_call(waiting, "echo", &parent);
    } else {
      call_ended(waiting, WIRESPAN_STATUS_CANCELLED);
    }
  }
}

static void give_plain(conn *on, const void *bytes, size_t length, wirespan_form form, json_t *span) {
  json_t *asked = json_array_get(on->receiving, 0), *ok;
  if (asked == NULL) {
    push(&on->arrived, new_body(bytes, length, form));
    json_array_append_new(on->arrived_spans, span != NULL ? span : json_null());
    return;
  }
  json_incref(asked);
  json_array_remove(on->receiving, 0);
  ok = json_pack("{s:o}", "message", show_body(bytes, length, form));
  if (span != NULL && !json_is_null(span)) {
    json_object_set_new(ok, "context", span);
  } else {
    json_decref(span);
  }
  answer(asked, ok);
}

static void on_message(wirespan_lws *lws, const wirespan_received *message, void *user) {
  server *accepted_by = user;
  conn *on = conn_of(lws);
  call *own = find_call(on, message->stream);
  if (message->stream != WIRESPAN_STREAM_PLAIN) {
    if (own != NULL) {
      call_message(own, message);
    } else {
      serve_message(on, message, accepted_by);
    }
  } else if (!message->has_payload) {
    return;
  } else if (accepted_by != NULL) {
    /* Back as it came, inside its own context. */
    char room[WIRESPAN_CONTEXT_BYTES];
    wirespan_header headers[3];
    wirespan_context context;
    size_t length, count;
    body *copy = new_body(message->payload, message->payload_length, message->form);
    wirespan_message back = outgoing(copy, false);
    wirespan_propagator_inject(&message->context, room, sizeof room, &length, headers, &count);
    wirespan_propagator_extract(headers, count, on->context_room, sizeof on->context_room, &length, &context);
    wirespan_lws_send_in(lws, WIRESPAN_STREAM_PLAIN, &back, &context);
    free(copy);
  } else {
    give_plain(on, message->payload, message->payload_length, message->form, show_span_context(&message->context.span));
  }
}

static void on_read_end(wirespan_lws *lws, uint32_t stream, wirespan_status status, wirespan_str type, void *user) {
  conn *on = conn_of(lws);
  call *own = find_call(on, stream);
  served *serving = find_served(on, stream);
  (void)type;
  (void)user;
  if (own != NULL) call_ended(own, status);
  if (serving != NULL) served_ended(serving, status);
}

static void on_closed(wirespan_lws *lws, const char *why, void *user) {
  conn *on = conn_of(lws);
  (void)user;
  on->is_closed = true;
  forget_served(on);
  if (on->connecting != NULL) answer_error(on->connecting, why);
  if (on->closing != NULL) answer(on->closing, json_object());
  on->connecting = on->closing = NULL;
  if (on->on_ready != NULL) {
    call *waiting = on->on_ready;
    on->on_ready = NULL;
    call_ended(waiting, WIRESPAN_STATUS_IO);
  }
  /* One that a server accepted frees itself; a client's own may still be asked for its state. */
  if (user != NULL) on->lws = NULL;
}

static void handlers_of(wirespan_lws_handlers *handlers, server *accepted_by) {
  static const char *const SERVED[] = {"echo", "count", "burst", "ask", "relay", "queue", "fail", "slow", "log"};
  static const char *const CONFIRM[] = {"confirm"};
  memset(handlers, 0, sizeof *handlers);
  handlers->user = accepted_by;
  handlers->ready = on_ready;
  handlers->message = on_message;
  handlers->read_end = on_read_end;
  handlers->closed = on_closed;
  handlers->methods = accepted_by != NULL ? SERVED : CONFIRM;
  handlers->method_count = accepted_by != NULL ? sizeof SERVED / sizeof *SERVED : 1;
}

/* Commands. */

wirespan_status start_client(conn *made, const char *url, wirespan_options *options,
                             const wirespan_span_context *parent) {
  char *copy = copy_text(url);
  const char *protocol, *host, *path;
  wirespan_lws_target target;
  wirespan_endpoint endpoint;
  wirespan_lws_handlers handlers;
  wirespan_connection *connection = NULL;
  wirespan_status status = WIRESPAN_STATUS_INVALID_ARGUMENT;
  char with_slash[256];
  int port = 0;
  if (lws_parse_uri(copy, &protocol, &host, &port, &path) == 0) {
    /* It leaves the first slash out, but for the empty path. */
    snprintf(with_slash, sizeof with_slash, "%s%s", *path == '/' ? "" : "/", path);
    target.host = endpoint.address = host;
    target.port = port;
    target.path = with_slash;
    target.ssl_flags = 0;
    target.vhost = NULL;
    endpoint.port = (uint16_t)port;
    status = wirespan_connection_client(options, &endpoint, NULL, &connection);
  }
  if (status == WIRESPAN_STATUS_OK) {
    wirespan_connection_use_tracer(connection, tracer, wirespan_clock_ns());
    wirespan_connection_plan_handshake(connection, NULL, parent, NULL, NULL);
    handlers_of(&handlers, NULL);
    made->lws = wirespan_lws_connect(context, "traced", &target, connection, &handlers);
    if (made->lws != NULL) wirespan_lws_set_data(made->lws, made);
  }
  free(copy);
  return status;
}

static void connect_raw(conn *made, json_t *command) {
  struct lws_client_connect_info info;
  char *copy = copy_text(field(command, "url"));
  const char *protocol, *host, *path;
  int port = 0;
  made->headers = json_incref(json_object_get(command, "headers"));
  memset(&info, 0, sizeof info);
  if (lws_parse_uri(copy, &protocol, &host, &port, &path) == 0) {
    info.context = context;
    info.address = info.host = info.origin = host;
    info.port = port;
    info.path = "/";
    info.local_protocol_name = "raw";
    info.opaque_user_data = made;
    lws_client_connect_via_info(&info);
  }
  free(copy);
}

static void do_connect(json_t *command) {
  conn *made = new_client(field(command, "as"));
  const char *resume = field(command, "resume");
  char room[WIRESPAN_CONTEXT_BYTES];
  wirespan_context parent = read_parent(command, room);
  wirespan_options *options;
  wirespan_status status;
  made->connecting = command;
  if (json_is_true(json_object_get(command, "raw"))) {
    connect_raw(made, command);
    return;
  }
  options = read_options(command);
  if (resume[0] != '\0' && find_name(resume) != NULL) {
    conn *earlier = find_name(resume);
    wirespan_options_resume(options, earlier->session_id, &earlier->span);
  }
  status = start_client(made, field(command, "url"), options, &parent.span);
  wirespan_options_free(options);
  if (status != WIRESPAN_STATUS_OK && made->connecting != NULL) {
    answer_status(made->connecting, status);
    made->connecting = NULL;
  }
}

static void do_serve(json_t *command) {
  struct lws_context_creation_info info;
  server *made = take_memory(sizeof *made);
  made->name = copy_text(field(command, "as"));
  made->log = json_array();
  made->waiting = json_array();
  made->next = servers;
  servers = made;
  made->protocols[0].name = "served";
  made->protocols[0].rx_buffer_size = 65536;
  made->protocols[0].callback = raw_callback;
  if (!json_is_true(json_object_get(command, "raw"))) {
    wirespan_options *options = read_options(command);
    wirespan_lws_service service;
    memset(&service, 0, sizeof service);
    handlers_of(&service.handlers, made);
    service.options = options;
    service.tracer = tracer;
    made->traced = wirespan_lws_server_new(&service);
    made->options = options;
    made->protocols[0].callback = wirespan_lws_server_callback;
    made->protocols[0].user = made->traced;
  }
  memset(&info, 0, sizeof info);
  info.port = 0;
  info.iface = "127.0.0.1";
  info.vhost_name = made->name;
  info.protocols = made->protocols;
  made->vhost = lws_create_vhost(context, &info);
  if (made->vhost == NULL) {
    answer_error(command, "cannot listen");
  } else {
    answer(command, json_pack("{s:i}", "port", lws_get_vhost_listen_port(made->vhost)));
  }
}

static call *call_of(json_t *command, conn *on) {
  call *made = take_memory(sizeof *made);
  made->on = on;
  made->command = command;
  made->replies = json_array();
  made->interleaves = json_is_true(json_object_get(command, "interleave"));
  return made;
}

static void do_call(json_t *command, conn *on) {
  char room[WIRESPAN_CONTEXT_BYTES];
  wirespan_context parent = read_parent(command, room);
  call *made = call_of(command, on);
  json_t *message;
  size_t index;
  json_array_foreach(json_object_get(command, "messages"), index, message) push(&made->to_send, read_body(message));
  begin_call(made, json_string_value(json_object_get(command, "method")), &parent);
}

/* `calls`: the command is answered with its last call. */
static void do_calls(json_t *command, conn *on) {
  json_int_t count = json_integer_value(json_object_get(command, "count")), n;
  json_object_set_new(command, "all", json_array());
  json_object_set_new(command, "open", json_integer(count));
  for (n = 0; n < count; n++) json_array_append_new(json_object_get(command, "all"), json_null());
  for (n = 0; n < count; n++) {
    char room[WIRESPAN_CONTEXT_BYTES];
    wirespan_context parent = read_parent(command, room);
    call *made = call_of(n + 1 < count ? json_incref(command) : command, on);
    json_t *message;
    size_t index;
    made->interleaves = true;
    made->batch_index = (size_t)n;
    json_array_foreach(json_object_get(command, "messages"), index, message) {
      /* "hello" in JSON quotes becomes "3:hello". */
      char text[256];
      int length = snprintf(text, sizeof text, "\"%d:%s", (int)n, field(message, "text") + 1);
      push(&made->to_send, new_body(text, (size_t)length, WIRESPAN_FORM_TEXT));
    }
    begin_call(made, json_string_value(json_object_get(command, "method")), &parent);
  }
}

static void do_transfer(json_t *command, conn *on) {
  char room[WIRESPAN_CONTEXT_BYTES];
  wirespan_context parent = read_parent(command, room);
  const char *method = json_string_value(json_object_get(command, "method"));
  uint32_t stream;
  json_t *message;
  size_t index;
  wirespan_status status = wirespan_lws_transfer(on->lws, method, &parent.span, &stream);
  json_array_foreach(json_object_get(command, "messages"), index, message) {
    body *one = read_body(message);
    wirespan_message sent = outgoing(one, false);
    if (status == WIRESPAN_STATUS_OK) status = wirespan_lws_send(on->lws, stream, &sent);
    free(one);
  }
  if (status == WIRESPAN_STATUS_OK) status = wirespan_lws_end(on->lws, stream);
  answer_status(command, status);
}

static void do_send(json_t *command, conn *on) {
  char room[WIRESPAN_CONTEXT_BYTES];
  wirespan_context parent = read_parent(command, room);
  body *one = read_body(json_object_get(command, "message"));
  wirespan_message message = outgoing(one, false);
  if (on->lws == NULL) {
    raw_send(on, one);
    answer(command, json_object());
    return;
  }
  answer_status(command, wirespan_lws_send_in(on->lws, WIRESPAN_STREAM_PLAIN, &message, &parent));
  free(one);
}

static void do_recv(json_t *command, conn *on) {
  body *one = pop(&on->arrived);
  json_array_append_new(on->receiving, command);
  if (one == NULL) return;
  if (json_array_size(on->arrived_spans) > 0) {
    json_t *span = json_incref(json_array_get(on->arrived_spans, 0));
    json_array_remove(on->arrived_spans, 0);
    give_plain(on, one->bytes, one->length, one->form, span);
  } else {
    give_plain(on, one->bytes, one->length, one->form, NULL);
  }
  free(one);
}

static void do_state(json_t *command, conn *on) {
  static const char *const PEERS[] = {"unknown", "announced", "always"};
  wirespan_connection *connection = wirespan_lws_connection(on->lws);
  wirespan_connection_state state;
  json_t *counters = json_object();
  char session[129];
  wirespan_str name;
  uint32_t value;
  size_t i;
  wirespan_connection_read_state(connection, &state);
  wirespan_connection_session_id(connection, session, sizeof session, NULL);
  for (i = 0; wirespan_connection_read_counter(connection, i, &name, &value) == WIRESPAN_STATUS_OK && name.length > 0;
       i++) {
    if (value > 0) json_object_setn_new(counters, name.data, name.length, json_integer(value));
  }
  answer(command, json_pack("{s:s, s:s, s:o}", "session", session, "peer", PEERS[state.peer], "counters", counters));
}

static void do_close(json_t *command, conn *on) {
  json_t *code = json_object_get(command, "code");
  if (code == NULL) json_object_set_new(command, "code", json_integer(1000));
  if (on->is_closed) {
    answer(command, json_object());
    return;
  }
  on->closing = command;
  if (on->lws != NULL) {
    wirespan_lws_close_with(on->lws, (uint16_t)json_integer_value(json_object_get(command, "code")), NULL);
  } else if (on->raw != NULL) {
    lws_callback_on_writable(on->raw);
  }
}

static void do_logged(json_t *command, server *at) {
  if (json_array_size(at->log) >= (size_t)json_integer_value(json_object_get(command, "count"))) {
    answer(command, json_pack("{s:O}", "messages", at->log));
  } else {
    json_array_append_new(at->waiting, command);
  }
}

void look_at_logs(void) {
  server *at;
  for (at = servers; at != NULL; at = at->next) {
    size_t i = json_array_size(at->waiting);
    while (i-- > 0) {
      json_t *command = json_incref(json_array_get(at->waiting, i));
      if (json_array_size(at->log) >= (size_t)json_integer_value(json_object_get(command, "count"))) {
        json_array_remove(at->waiting, i);
        answer(command, json_pack("{s:O}", "messages", at->log));
      } else {
        json_decref(command);
      }
    }
  }
}

static void do_stop_serving(json_t *command, server *at) {
  at->name[0] = '\0'; /* found no more */
  if (at->traced != NULL) wirespan_lws_server_close(at->traced);
  answer(command, json_object());
}

static void on_connection(json_t *command, const char *what) {
  conn *on = find_client(command);
  bool is_recv = strcmp(what, "recv") == 0,
       is_raw_too = is_recv || strcmp(what, "send") == 0 || strcmp(what, "close") == 0;
  if (on == NULL || (on->lws == NULL && !is_raw_too)) {
    answer_error(command, "there is no such connection");
  } else if (is_recv) {
    do_recv(command, on);
  } else if (strcmp(what, "call") == 0) {
    do_call(command, on);
  } else if (strcmp(what, "calls") == 0) {
    do_calls(command, on);
  } else if (strcmp(what, "transfer") == 0) {
    do_transfer(command, on);
  } else if (strcmp(what, "send") == 0) {
    do_send(command, on);
  } else if (strcmp(what, "state") == 0) {
    do_state(command, on);
  } else if (strcmp(what, "close") == 0) {
    do_close(command, on);
  } else {
    answer_error(command, "there is no such command");
  }
}

void run_command(json_t *command) {
  const char *what = field(command, "do");
  server *at = find_server(command);
  if (strcmp(what, "hello") == 0) {
    /* The permessage-deflate of libwebsockets 4.1.6 lost messages and said "invalid block type" between two of its own
     * ends. */
    answer(command, json_pack("{s:s, s:s, s:b, s:[s, s]}", "language", "c", "library",
                              "libwebsockets " LWS_LIBRARY_VERSION, "deflate", 0, "roles", "client", "server"));
  } else if (strcmp(what, "flush") == 0) {
    answer_status(command, wirespan_tracer_flush(tracer, 10000));
  } else if (strcmp(what, "serve") == 0) {
    do_serve(command);
  } else if (strcmp(what, "connect") == 0) {
    do_connect(command);
  } else if (strcmp(what, "logged") == 0 && at != NULL) {
    do_logged(command, at);
  } else if (strcmp(what, "stop_serving") == 0 && at != NULL) {
    do_stop_serving(command, at);
  } else {
    on_connection(command, what);
  }
}

void free_everything(void) {
  while (conns != NULL) {
    conn *gone = conns;
    body *left;
    conns = gone->next;
    if (gone->lws != NULL) wirespan_lws_free(gone->lws);
    while ((left = pop(&gone->out)) != NULL || (left = pop(&gone->arrived)) != NULL) free(left);
    json_decref(gone->arrived_spans);
    json_decref(gone->receiving);
    json_decref(gone->headers);
    free(gone->part);
    free(gone->name);
    free(gone);
  }
  while (servers != NULL) {
    server *gone = servers;
    servers = gone->next;
    wirespan_lws_server_free(gone->traced);
    wirespan_options_free(gone->options);
    json_decref(gone->log);
    json_decref(gone->waiting);
    free(gone->name);
    free(gone);
  }
}
