/* What the tests of the C library share. Compiled as C11 and as C++17. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wirespan.h>

#define MS UINT64_C(1000000)

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      fprintf(stderr, "%s:%d: %s: does not hold\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                       \
    }                                                                                \
  } while (0)

#define CHECK_STATUS(expected, call) check_status(expected, call, #call, __FILE__, __LINE__)
#define OK(call) CHECK_STATUS(WIRESPAN_STATUS_OK, call)

static inline void check_status(wirespan_status expected, wirespan_status got, const char *call, const char *file,
                                int line) {
  wirespan_error error;
  if (got == expected) return;
  wirespan_last_error(&error);
  fprintf(stderr, "%s:%d: %s: %s, not %s (%s)\n", file, line, call, wirespan_status_name(got),
          wirespan_status_name(expected), error.message);
  exit(1);
}

/* Checks the details of the last error. */
static inline void check_error(const char *field, const char *in_message) {
  wirespan_error error;
  OK(wirespan_last_error(&error));
  if (strcmp(error.field, field) != 0 || strstr(error.message, in_message) == NULL) {
    fprintf(stderr, "the last error is \"%s\" (field \"%s\"), not one of \"%s\" with \"%s\"\n", error.message,
            error.field, field, in_message);
    exit(1);
  }
}

static inline bool is_text(wirespan_str text, const char *expected) {
  return text.length == strlen(expected) && memcmp(text.data, expected, text.length) == 0;
}

static inline wirespan_span_context a_span(uint8_t n) {
  wirespan_span_context span;
  memset(&span, 0, sizeof span);
  memset(span.trace_id, n, sizeof span.trace_id);
  memset(span.span_id, n, sizeof span.span_id);
  span.flags = 1;
  return span;
}

/* One side of a connection without a transport. */
typedef struct side {
  wirespan_connection *connection;
  uint64_t now_ns;
  /* What the last polls brought. */
  int frames, pauses, resumes, ready, read_ends, span_ends;
  uint32_t last_read_end, last_span_end;
  wirespan_status read_status;
  char read_error[64], span_error[64];
  /* Messages to the other side, in order. */
  struct {
    wirespan_form form;
    size_t length;
    unsigned char bytes[2048];
  } out[64];
  int out_count;
} side;

static inline void copy_text(char *to, size_t size, wirespan_str text) {
  size_t length = text.length < size ? text.length : size - 1;
  if (length > 0) memcpy(to, text.data, length);
  to[length] = '\0';
}

static inline void push_out(side *self, wirespan_form form, const unsigned char *bytes, size_t length) {
  CHECK(self->out_count < 64 && length <= sizeof self->out[0].bytes);
  self->out[self->out_count].form = form;
  self->out[self->out_count].length = length;
  if (length > 0) memcpy(self->out[self->out_count].bytes, bytes, length);
  self->out_count++;
}

static inline void poll_events(side *self) {
  wirespan_event event;
  for (;;) {
    OK(wirespan_connection_poll_event(self->connection, &event));
    if (event.event_type == WIRESPAN_EVENT_TYPE_NONE) return;
    if (event.event_type == WIRESPAN_EVENT_TYPE_FRAME) {
      self->frames++;
      push_out(self, event.form, event.data, event.length);
    } else if (event.event_type == WIRESPAN_EVENT_TYPE_PAUSE_READING) {
      self->pauses++;
    } else if (event.event_type == WIRESPAN_EVENT_TYPE_RESUME_READING) {
      self->resumes++;
    } else if (event.event_type == WIRESPAN_EVENT_TYPE_READY) {
      self->ready++;
    } else if (event.event_type == WIRESPAN_EVENT_TYPE_READ_END) {
      self->read_ends++;
      self->last_read_end = event.stream;
      self->read_status = event.read_status;
      copy_text(self->read_error, sizeof self->read_error, event.text);
    } else if (event.event_type == WIRESPAN_EVENT_TYPE_SPAN_END) {
      self->span_ends++;
      self->last_span_end = event.stream;
      copy_text(self->span_error, sizeof self->span_error, event.text);
    }
  }
}

static inline void send_bytes(side *self, uint32_t stream, wirespan_body type, const char *text, bool last) {
  wirespan_message message;
  unsigned char buffer[2048];
  size_t length;
  wirespan_form form;
  memset(&message, 0, sizeof message);
  message.body_type = type;
  message.data = (const uint8_t *)text;
  message.length = strlen(text);
  message.last = last;
  OK(wirespan_connection_send(self->connection, stream, &message, NULL, self->now_ns, buffer, sizeof buffer, &length,
                              &form));
  push_out(self, form, buffer, length);
  poll_events(self);
}

/* Makes two sides that know each other; whoever makes the spans is set by the caller in `prepare`. */
static inline void connect_sides(side *client, side *server, const wirespan_options *client_options,
                                 const wirespan_options *server_options, const wirespan_registry *registry,
                                 void (*prepare)(side *client, side *server, void *user), void *user) {
  static const char *const methods[] = {"order"};
  wirespan_additions additions;
  wirespan_request *request = NULL;
  wirespan_endpoint endpoint = {"localhost", 8765};
  wirespan_header headers[8];
  char values[8][512];
  size_t i, count;
  memset(client, 0, sizeof *client);
  memset(server, 0, sizeof *server);
  client->now_ns = server->now_ns = 1000 * MS;
  OK(wirespan_connection_client(client_options, &endpoint, NULL, &client->connection));
  if (prepare != NULL) prepare(client, NULL, user);
  OK(wirespan_connection_plan_handshake(client->connection, NULL, NULL, NULL, NULL));
  OK(wirespan_connection_request(client->connection, "localhost", false, false, NULL, &additions));
  CHECK(additions.header_count <= 8);
  for (i = 0; i < additions.header_count; i++) {
    copy_text(values[i], sizeof values[i], additions.headers[i].value);
    headers[i].name = additions.headers[i].name;
    headers[i].value = wirespan_str_of(values[i]);
  }
  OK(wirespan_request_new(headers, additions.header_count, NULL, &request));
  OK(wirespan_connection_server(server_options, request, registry, "10.0.0.1", WIRESPAN_VOUCH_NO_OPINION, &endpoint,
                                NULL, &server->connection));
  if (prepare != NULL) prepare(NULL, server, user);
  OK(wirespan_connection_set_methods(server->connection, methods, 1));
  OK(wirespan_connection_plan_handshake(server->connection, NULL, NULL, NULL, NULL));
  OK(wirespan_connection_response(server->connection, request, NULL, &additions));
  count = additions.header_count;
  CHECK(count == 1);
  copy_text(values[0], sizeof values[0], additions.headers[0].value);
  headers[0].name = additions.headers[0].name;
  headers[0].value = wirespan_str_of(values[0]);
  OK(wirespan_connection_open_server(server->connection, server->now_ns));
  OK(wirespan_connection_open_client(client->connection, headers, count, client->now_ns));
  OK(wirespan_request_free(request));
  poll_events(client);
  poll_events(server);
}

static inline void free_sides(side *client, side *server) {
  OK(wirespan_connection_free(client->connection));
  OK(wirespan_connection_free(server->connection));
}

#endif
