/* Tests of the C library: both roles talk to each other in memory, wrong arguments, wrong handles, wrong bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

static side client, server;

static wirespan_received deliver(side *from, int index, side *to) {
  wirespan_received received;
  OK(wirespan_connection_receive(to->connection, from->out[index].bytes, from->out[index].length, from->out[index].form,
                                 to->now_ns, &received));
  return received;
}

static bool is_payload(const wirespan_received *received, const char *expected) {
  return received->has_payload && received->payload_length == strlen(expected) &&
         memcmp(received->payload, expected, received->payload_length) == 0;
}

/* Spans by callbacks: what was started and how it ended. */
static struct {
  int started, ended, asked;
  char names[8][32];
  wirespan_span_kind kinds[8];
  wirespan_parent parents[8];
  wirespan_span_context contexts[8], parent_contexts[8], links[8];
  size_t link_counts[8];
  char outcomes[8][16];
  bool is_error[8];
  int64_t received_chunks[8];
} made;

static void *start_span(void *user_data, const wirespan_plan *plan, wirespan_span_context *context) {
  int n = made.started++;
  CHECK(user_data == &made && n < 8);
  copy_text(made.names[n], sizeof made.names[n], plan->name);
  made.kinds[n] = plan->kind;
  made.parents[n] = plan->parent;
  made.parent_contexts[n] = plan->parent_context.span;
  made.link_counts[n] = plan->link_count;
  if (plan->link_count > 0) made.links[n] = plan->links[0];
  *context = a_span((uint8_t)(n + 1));
  made.contexts[n] = *context;
  return &made.contexts[n];
}

static bool is_recording(void *user_data, void *span) {
  CHECK(user_data == &made && span != NULL);
  made.asked++;
  return true;
}

static void end_span(void *user_data, void *span, const wirespan_span_end *end) {
  size_t i, n = (size_t)((wirespan_span_context *)span - made.contexts);
  CHECK(user_data == &made && n < 8);
  made.ended++;
  made.is_error[n] = end->is_error;
  for (i = 0; i < end->attribute_count; i++) {
    const wirespan_attribute *attribute = &end->attributes[i];
    if (is_text(attribute->key, "websocket.stream.outcome")) {
      copy_text(made.outcomes[n], sizeof made.outcomes[n], attribute->text);
    }
    if (is_text(attribute->key, "websocket.stream.received.chunks")) made.received_chunks[n] = attribute->integer;
  }
}

/* `user` are the callbacks, or NULL for those above. */
static void use_callbacks(side *a, side *b, void *user) {
  wirespan_span_callbacks callbacks;
  memset(&callbacks, 0, sizeof callbacks);
  callbacks.user_data = &made;
  callbacks.start = start_span;
  callbacks.is_recording = is_recording;
  callbacks.end = end_span;
  if (user != NULL) callbacks = *(const wirespan_span_callbacks *)user;
  OK(wirespan_connection_use_callbacks((a != NULL ? a : b)->connection, &callbacks));
}

static void a_call_goes_both_ways_and_makes_its_spans(void) {
  wirespan_received received;
  uint32_t stream;
  wirespan_span_context context;
  memset(&made, 0, sizeof made);
  connect_sides(&client, &server, NULL, NULL, NULL, use_callbacks, NULL);
  CHECK(made.started == 2 && made.ended == 2);
  CHECK(strcmp(made.names[0], "websocket.handshake") == 0 && made.kinds[0] == WIRESPAN_SPAN_KIND_CLIENT);
  /* The server's handshake is the child of the client's. */
  CHECK(made.parents[1] == WIRESPAN_PARENT_REMOTE && made.parent_contexts[1].span_id[0] == 1);
  CHECK(made.parent_contexts[1].is_remote);

  OK(wirespan_connection_plan_call(client.connection, "order", NULL, client.now_ns, &stream, NULL));
  CHECK(strcmp(made.names[2], "order") == 0 && made.parents[2] == WIRESPAN_PARENT_ROOT);
  CHECK(made.link_counts[2] == 1 && made.links[2].span_id[0] == 1);
  OK(wirespan_connection_span_context(client.connection, stream, &context));
  CHECK(context.span_id[0] == 3);
  send_bytes(&client, stream, WIRESPAN_BODY_TEXT, "two pizzas", false);
  send_bytes(&client, stream, WIRESPAN_BODY_BINARY, "speech", true);
  CHECK(client.out_count == 2);
  /* The context goes with the first message only. */
  CHECK(strstr((const char *)client.out[0].bytes, "\"traceparent\":\"00-03030303") != NULL);
  CHECK(client.out[1].form == WIRESPAN_FORM_BINARY && client.out[1].bytes[3] == 0);

  received = deliver(&client, 0, &server);
  CHECK(received.is_opening && received.is_registered && received.kind == WIRESPAN_KIND_CALL);
  CHECK(is_text(received.method, "order") && is_payload(&received, "two pizzas"));
  CHECK(wirespan_has_span(&received.context.span) && received.context.span.span_id[0] == 3);
  CHECK(made.parents[3] == WIRESPAN_PARENT_REMOTE && made.parent_contexts[3].span_id[0] == 3);
  CHECK(made.kinds[3] == WIRESPAN_SPAN_KIND_SERVER);
  stream = received.stream;
  received = deliver(&client, 1, &server);
  poll_events(&server);
  CHECK(received.stream == stream && is_payload(&received, "speech") && !received.is_opening);
  CHECK(received.payload == client.out[1].bytes + received.payload_offset);
  CHECK(server.read_ends == 1 && server.read_status == WIRESPAN_STATUS_OK);

  send_bytes(&server, stream, WIRESPAN_BODY_JSON, "{\"ok\":1e400}", false);
  OK(wirespan_connection_leave(server.connection, stream, server.now_ns));
  poll_events(&server);
  CHECK(server.out_count == 2 && made.ended == 3 && strcmp(made.outcomes[3], "complete") == 0);
  CHECK(made.received_chunks[3] == 2 && !made.is_error[3]);
  received = deliver(&server, 0, &client);
  CHECK(is_payload(&received, "{\"ok\":1e400}"));
  deliver(&server, 1, &client);
  poll_events(&client);
  CHECK(client.read_ends == 1 && client.read_status == WIRESPAN_STATUS_OK && made.ended == 4);
  CHECK(made.received_chunks[2] == 1 && made.asked == 4);
  free_sides(&client, &server);
  CHECK(made.started == 4 && made.ended == 4);
}

/* A tracer that knows level 1 alone, as many do: the flag that the trace id is random is lost in its spans. */
static void *start_child(void *user_data, const wirespan_plan *plan, wirespan_span_context *context) {
  void *span = start_span(user_data, plan, context);
  if (wirespan_has_span(&plan->parent_context.span)) {
    memcpy(context->trace_id, plan->parent_context.span.trace_id, sizeof context->trace_id);
  }
  return span;
}

static void the_random_flag_of_a_trace_is_kept(void) {
  wirespan_span_callbacks forgetful = {&made, start_child, NULL, NULL, end_span};
  wirespan_span_context current = a_span(9), child;
  uint32_t stream;
  memset(&made, 0, sizeof made);
  connect_sides(&client, &server, NULL, NULL, NULL, use_callbacks, &forgetful);
  current.flags = 3;
  OK(wirespan_connection_plan_call(client.connection, "order", &current, client.now_ns, &stream, NULL));
  OK(wirespan_connection_span_context(client.connection, stream, &child));
  CHECK(child.trace_id[0] == 9 && child.flags == 3);
  current.flags = 1;
  OK(wirespan_connection_plan_call(client.connection, "order", &current, client.now_ns, &stream, NULL));
  OK(wirespan_connection_span_context(client.connection, stream, &child));
  CHECK(child.flags == 1);
  free_sides(&client, &server);
}

static void spans_that_are_open_end_when_the_connection_is_freed(void) {
  uint32_t stream;
  memset(&made, 0, sizeof made);
  connect_sides(&client, &server, NULL, NULL, NULL, use_callbacks, NULL);
  OK(wirespan_connection_plan_call(client.connection, NULL, NULL, client.now_ns, &stream, NULL));
  CHECK(made.started == 3 && made.ended == 2);
  free_sides(&client, &server);
  CHECK(made.ended == 3 && made.is_error[2]);
}

static void without_callbacks_the_application_acts_on_plans(void) {
  const wirespan_plan *plan;
  const wirespan_span_end *end;
  wirespan_event event;
  wirespan_span_context current = a_span(9);
  uint32_t stream;
  size_t i;
  bool has_session = false;
  connect_sides(&client, &server, NULL, NULL, NULL, NULL, NULL);
  OK(wirespan_connection_plan_call(client.connection, "order", &current, client.now_ns, &stream, &plan));
  CHECK(plan->span == stream && is_text(plan->name, "order") && plan->parent == WIRESPAN_PARENT_CURRENT);
  CHECK(plan->parent_context.span.span_id[0] == 9 && !plan->parent_context.span.is_remote);
  for (i = 0; i < plan->attribute_count; i++) {
    if (is_text(plan->attributes[i].key, "websocket.session.id")) {
      has_session = plan->attributes[i].value_type == WIRESPAN_VALUE_TYPE_TEXT && plan->attributes[i].text.length == 32;
    }
  }
  CHECK(has_session);
  OK(wirespan_connection_fail(client.connection, stream, "Broken", client.now_ns));
  do {
    OK(wirespan_connection_poll_event(client.connection, &event));
    CHECK(event.event_type != WIRESPAN_EVENT_TYPE_NONE);
  } while (event.event_type != WIRESPAN_EVENT_TYPE_SPAN_END);
  OK(wirespan_connection_span_end(client.connection, &end));
  CHECK(end->span == stream && end->is_error && is_text(end->error_type, "Broken"));
  poll_events(&client);
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_STATE, wirespan_connection_span_end(client.connection, &end));
  free_sides(&client, &server);
}

static void a_small_buffer_changes_nothing(void) {
  unsigned char buffer[512];
  size_t length = 0, needed;
  wirespan_form form;
  wirespan_message message;
  wirespan_header own;
  uint32_t stream;
  connect_sides(&client, &server, NULL, NULL, NULL, NULL, NULL);
  OK(wirespan_connection_plan_call(client.connection, "order", NULL, client.now_ns, &stream, NULL));
  own.name = wirespan_str_of("x-table");
  own.value = wirespan_str_of("12");
  memset(&message, 0, sizeof message);
  message.body_type = WIRESPAN_BODY_TEXT;
  message.data = (const uint8_t *)"tea \"hot\"";
  message.length = 9;
  message.headers = &own;
  message.header_count = 1;
  CHECK_STATUS(WIRESPAN_STATUS_BUFFER_TOO_SMALL, wirespan_connection_send(client.connection, stream, &message, NULL,
                                                                          client.now_ns, NULL, 0, &needed, NULL));
  CHECK_STATUS(WIRESPAN_STATUS_BUFFER_TOO_SMALL,
               wirespan_connection_send(client.connection, stream, &message, NULL, client.now_ns, buffer, needed - 1,
                                        &length, NULL));
  CHECK(length == needed);
  OK(wirespan_connection_send(client.connection, stream, &message, NULL, client.now_ns, buffer, needed, &length,
                              &form));
  CHECK(length == needed && form == WIRESPAN_FORM_TEXT);
  push_out(&client, form, buffer, length);
  {
    /* It is the first message, with seq 0, as if the small buffers had not been. */
    wirespan_received received = deliver(&client, 0, &server);
    CHECK(received.is_opening && is_payload(&received, "tea \"hot\"") && received.payload_offset == SIZE_MAX);
    CHECK(received.header_count == 1 && is_text(received.headers[0].name, "x-table"));
  }
  own.name = wirespan_str_of("Stream");
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT,
               wirespan_connection_send(client.connection, stream, &message, NULL, client.now_ns, buffer, sizeof buffer,
                                        &length, NULL));
  check_error("header Stream", "reserved name");
  free_sides(&client, &server);
}

static void ends_are_told(void) {
  uint32_t stream;
  wirespan_received received;
  uint64_t deadline;
  connect_sides(&client, &server, NULL, NULL, NULL, NULL, NULL);
  OK(wirespan_connection_plan_call(client.connection, "order", NULL, client.now_ns, &stream, NULL));
  send_bytes(&client, stream, WIRESPAN_BODY_TEXT, "1", false);
  received = deliver(&client, 0, &server);
  OK(wirespan_connection_cancel(server.connection, received.stream, server.now_ns));
  poll_events(&server);
  deliver(&server, 0, &client);
  poll_events(&client);
  CHECK(client.read_ends == 1 && client.read_status == WIRESPAN_STATUS_CANCELLED && client.span_error[0] == '\0');
  client.out_count = server.out_count = 0;

  OK(wirespan_connection_plan_call(client.connection, "order", NULL, client.now_ns, &stream, NULL));
  send_bytes(&client, stream, WIRESPAN_BODY_TEXT, "2", false);
  received = deliver(&client, 0, &server);
  OK(wirespan_connection_fail(server.connection, received.stream, "SoldOut", server.now_ns));
  poll_events(&server);
  deliver(&server, 0, &client);
  poll_events(&client);
  CHECK(client.read_status == WIRESPAN_STATUS_REMOTE && strcmp(client.read_error, "SoldOut") == 0);

  OK(wirespan_connection_plan_call(client.connection, "order", NULL, client.now_ns, &stream, NULL));
  OK(wirespan_connection_next_deadline(client.connection, &deadline));
  CHECK(deadline > client.now_ns && deadline != UINT64_MAX);
  OK(wirespan_connection_on_time(client.connection, deadline));
  poll_events(&client);
  CHECK(client.read_status == WIRESPAN_STATUS_TIMEOUT && client.last_read_end == stream);

  OK(wirespan_connection_plan_call(client.connection, "order", NULL, client.now_ns, &stream, NULL));
  OK(wirespan_connection_on_close(client.connection, 0, NULL, 0, client.now_ns));
  poll_events(&client);
  CHECK(client.read_status == WIRESPAN_STATUS_CLOSED && client.last_span_end == stream);
  CHECK_STATUS(WIRESPAN_STATUS_CLOSED,
               wirespan_connection_plan_call(client.connection, NULL, NULL, client.now_ns, &stream, NULL));
  free_sides(&client, &server);
}

static void a_reader_that_stalls_pauses_reading(void) {
  wirespan_options *options = NULL;
  uint32_t stream;
  int i;
  OK(wirespan_options_new(&options));
  OK(wirespan_options_set_number(options, "max_unread", 2));
  connect_sides(&client, &server, NULL, options, NULL, NULL, NULL);
  OK(wirespan_options_free(options));
  OK(wirespan_connection_plan_call(client.connection, "order", NULL, client.now_ns, &stream, NULL));
  for (i = 0; i < 2; i++) {
    send_bytes(&client, stream, WIRESPAN_BODY_TEXT, "1", false);
    stream = deliver(&client, i, &server).stream;
  }
  poll_events(&server);
  CHECK(server.pauses == 1 && server.resumes == 0);
  OK(wirespan_connection_take(server.connection, stream, 1, server.now_ns));
  poll_events(&server);
  CHECK(server.resumes == 1);
  free_sides(&client, &server);
}

static void a_session_is_continued(void) {
  wirespan_registry *registry = NULL;
  wirespan_options *options = NULL;
  wirespan_span_context span;
  char first[129], second[129];
  size_t length;
  memset(&made, 0, sizeof made);
  OK(wirespan_registry_new(10, 0, &registry));
  connect_sides(&client, &server, NULL, NULL, registry, use_callbacks, NULL);
  CHECK_STATUS(WIRESPAN_STATUS_BUFFER_TOO_SMALL, wirespan_connection_session_id(client.connection, first, 32, &length));
  CHECK(length == 32);
  OK(wirespan_connection_resumption(client.connection, first, sizeof first, &length, &span));
  CHECK(length == 32 && strlen(first) == 32 && span.span_id[0] == 1);
  OK(wirespan_connection_on_close(server.connection, 1006, "", 0, server.now_ns));
  OK(wirespan_options_new(&options));
  OK(wirespan_options_resume(options, first, &span));
  free_sides(&client, &server);
  connect_sides(&client, &server, options, NULL, registry, use_callbacks, NULL);
  OK(wirespan_connection_session_id(server.connection, second, sizeof second, &length));
  CHECK(strcmp(first, second) == 0);
  /* Both sides link what stood for the old connection. */
  CHECK(made.link_counts[2] == 1 && made.links[2].span_id[0] == 1);
  CHECK(made.link_counts[3] == 1 && made.links[3].span_id[0] == 2);
  free_sides(&client, &server);
  OK(wirespan_registry_length(registry, &length));
  CHECK(length == 1);
  OK(wirespan_registry_free(registry));
  OK(wirespan_options_free(options));
}

static void wrong_arguments_are_refused(void) {
  wirespan_options *options = NULL;
  wirespan_connection *connection = NULL;
  wirespan_received received;
  wirespan_message message;
  size_t length;
  unsigned char buffer[8];
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_options_new(NULL));
  OK(wirespan_options_new(&options));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_options_set_text(options, "mode", "sometimes"));
  check_error("mode", "\"auto\", \"always\", \"never\"");
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_options_set_flag(options, "modus", true));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_options_set_text(options, NULL, "auto"));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_options_set_text(options, "mode", "\xff"));
  check_error("value", "UTF-8");
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_options_set_list(options, "hosts", NULL, 3));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_options_resume(options, "a b", NULL));
  OK(wirespan_options_free(options));

  connect_sides(&client, &server, NULL, NULL, NULL, NULL, NULL);
  connection = client.connection;
  memset(&message, 0, sizeof message);
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT,
               wirespan_connection_send(connection, 0, &message, NULL, 0, buffer, 8, &length, NULL));
  check_error("body_type", "constants");
  message.body_type = WIRESPAN_BODY_TEXT;
  message.data = (const uint8_t *)"\xff\xfe";
  message.length = 2;
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT,
               wirespan_connection_send(connection, 0, &message, NULL, 0, buffer, 8, &length, NULL));
  message.data = NULL;
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT,
               wirespan_connection_send(connection, 0, &message, NULL, 0, buffer, 8, &length, NULL));
  message.data = buffer;
  message.length = SIZE_MAX;
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT,
               wirespan_connection_send(connection, 0, &message, NULL, 0, buffer, 8, &length, NULL));
  check_error("data", "no memory can have");
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT,
               wirespan_connection_send(connection, 0, NULL, NULL, 0, buffer, 8, &length, NULL));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT,
               wirespan_connection_send(connection, 0, &message, NULL, 0, buffer, 8, NULL, NULL));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT,
               wirespan_connection_receive(connection, NULL, 1, WIRESPAN_FORM_TEXT, 0, &received));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_connection_receive(connection, buffer, 1, 7, 0, &received));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_STATE, wirespan_connection_open_client(connection, NULL, 0, 0));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_STATE, wirespan_connection_end(connection, 4711, NULL, 0));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_connection_use_callbacks(connection, NULL));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_connection_set_plain_policy(connection, 9));
  free_sides(&client, &server);
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_last_error(NULL));
  CHECK(strcmp(wirespan_status_name(256), "buffer_too_small") == 0 && strcmp(wirespan_status_name(15), "unknown") == 0);
}

static void wrong_handles_are_refused(void) {
  wirespan_connection *connection = NULL;
  wirespan_options *options = NULL;
  int local = 0;
  OK(wirespan_connection_client(NULL, NULL, NULL, &connection));
  OK(wirespan_options_new(&options));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_connection_free(NULL));
  check_error("connection", "must not be NULL");
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_connection_free((wirespan_connection *)(void *)options));
  check_error("connection", "no handle of this type");
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_connection_on_time((wirespan_connection *)(void *)&local, 0));
  OK(wirespan_connection_free(connection));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_connection_free(connection));
  check_error("connection", "was freed before");
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_connection_on_time(connection, 0));
  OK(wirespan_options_free(options));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_connection_client(options, NULL, NULL, &connection));
}

/* Bytes nobody would send: nothing is an error, nothing is lost, memory stays within the message. */
static void garbage_is_delivered_as_it_is(void) {
  static const char *const texts[] = {"",
                                      "{\"headers\":{",
                                      "{\"headers\":{},\"body\":",
                                      "{\"headers\":{\"stream\":\"0\"},\"body\":1}",
                                      "{\"headers\":{\"kind\":\"call\",\"stream\":\"1\"},\"body\":\"\\ud800\"}",
                                      "[[[[[[[["};
  unsigned char bytes[64];
  uint32_t seed = 42;
  size_t i, round, length;
  wirespan_received received;
  connect_sides(&client, &server, NULL, NULL, NULL, NULL, NULL);
  for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    char *exact = (char *)malloc(strlen(texts[i]) + 1);
    memcpy(exact, texts[i], strlen(texts[i]) + 1);
    OK(wirespan_connection_receive(server.connection, (const uint8_t *)exact, strlen(exact), WIRESPAN_FORM_TEXT,
                                   server.now_ns, &received));
    poll_events(&server);
    free(exact);
  }
  for (round = 0; round < 5000; round++) {
    unsigned char *exact;
    for (i = 0; i < sizeof bytes; i++) {
      seed = seed * 1664525u + 1013904223u;
      bytes[i] = (unsigned char)(seed >> 24);
    }
    if (round % 2 == 0) memcpy(bytes, "\xff\x57\x01", 3);
    length = bytes[10] % sizeof bytes;
    exact = (unsigned char *)malloc(length + 1);
    memcpy(exact, bytes, length);
    OK(wirespan_connection_receive(server.connection, exact, length,
                                   round % 4 < 2 ? WIRESPAN_FORM_BINARY : WIRESPAN_FORM_TEXT, server.now_ns,
                                   &received));
    if (received.has_payload && received.payload_offset != SIZE_MAX) {
      CHECK(received.payload_offset + received.payload_length <= length);
      CHECK(received.payload == exact + received.payload_offset);
    }
    poll_events(&server);
    server.out_count = 0;
    free(exact);
  }
  free_sides(&client, &server);
}

int main(void) {
  CHECK(wirespan_live_objects() == 0);
  a_call_goes_both_ways_and_makes_its_spans();
  the_random_flag_of_a_trace_is_kept();
  spans_that_are_open_end_when_the_connection_is_freed();
  without_callbacks_the_application_acts_on_plans();
  a_small_buffer_changes_nothing();
  ends_are_told();
  a_reader_that_stalls_pauses_reading();
  a_session_is_continued();
  wrong_arguments_are_refused();
  wrong_handles_are_refused();
  garbage_is_delivered_as_it_is();
  CHECK(wirespan_live_objects() == 0);
  printf("11 passed, 0 failed\n");
  return 0;
}
