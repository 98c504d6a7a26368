/* The device of the demo: orders by voice over one WebSocket.
 *
 * It streams a recording in one call `order`, in binary chunks of 40 ms at the pace of speech, prints the reply as it
 * streams in, and answers the call `confirm` that the gateway makes on the same connection. Spans go where
 * OTEL_EXPORTER_OTLP_ENDPOINT says, under the parent in TRACEPARENT if there is one.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <libwebsockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wirespan.h>

#include "wav.h"
#include "wirespan_lws.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* 40 ms of 16 kHz mono 16-bit PCM. */
#define CHUNK_BYTES 1280u
#define CHUNK_US (40 * LWS_US_PER_MS)
/* Longer without a word from the gateway, after the speech has been sent, is a failure. */
#define SILENCE_US (45 * LWS_US_PER_SEC)
/* For connecting, and for closing. */
#define HANDSHAKE_US (15 * LWS_US_PER_SEC)
#define CLOSE_US (3 * LWS_US_PER_SEC)
#define EXPORT_TIMEOUT_MS 5000

typedef struct device {
  struct lws_context *context;
  wirespan_lws *lws;
  wav speech;
  bool is_fast;
  wirespan_context parent; /* from the environment */
  uint32_t order;          /* the call, or 0 */
  uint32_t question;       /* the incoming call `confirm`, or 0 */
  size_t sent;
  lws_usec_t started_us;
  lws_sorted_usec_list_t next_chunk, watchdog;
  bool is_speaking, has_order, has_reply, is_over, is_closed;
  int exit_code;
} device;

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
  (void)number;
  interrupted = 1;
}

/* Prints a line; what a peer chose cannot control the terminal. */
static void print_line(FILE *to, const char *label, const char *text, size_t length) {
  size_t i;
  fprintf(to, "%s: ", label);
  for (i = 0; i < length; i++) {
    unsigned char byte = (unsigned char)text[i];
    fputc(byte < 0x20 || byte == 0x7f ? '?' : byte, to);
  }
  fputc('\n', to);
  fflush(to);
}

static void finish(device *self, int exit_code) {
  if (self->is_over) return;
  self->is_over = true;
  self->is_speaking = false;
  self->exit_code = exit_code;
  lws_sul_schedule(self->context, 0, &self->next_chunk, NULL, LWS_SET_TIMER_USEC_CANCEL);
  if (!self->is_closed) wirespan_lws_close(self->lws);
}

static void fail(device *self, const char *what, const char *detail, size_t length) {
  if (self->is_over) return;
  print_line(stderr, what, detail, length);
  finish(self, EXIT_FAILED);
}

static void watch(device *self, lws_usec_t us);

static void on_silence(lws_sorted_usec_list_t *timer) {
  device *self = lws_container_of(timer, device, watchdog);
  if (self->is_over) {
    /* The peer does not answer the close frame: go without. */
    self->is_closed = true;
    return;
  }
  if (self->order != 0) {
    wirespan_connection_fail(wirespan_lws_connection(self->lws), self->order, "timeout", wirespan_clock_ns());
    wirespan_lws_act(self->lws);
  }
  fail(self, "error", "the gateway does not answer", strlen("the gateway does not answer"));
  watch(self, CLOSE_US);
}

/* Waits for the next sign of life from now on. */
static void watch(device *self, lws_usec_t us) { lws_sul_schedule(self->context, 0, &self->watchdog, on_silence, us); }

static void failed_to_send(device *self) {
  wirespan_error error;
  wirespan_last_error(&error);
  fail(self, "error", error.message, strlen(error.message));
}

static void speak(device *self);

static void on_chunk_due(lws_sorted_usec_list_t *timer) { speak(lws_container_of(timer, device, next_chunk)); }

/* Sends the next chunk; the last one is followed by the end of this side's direction. */
static void speak(device *self) {
  wirespan_message message;
  size_t left = self->speech.length - self->sent;
  if (!self->is_speaking) return;
  memset(&message, 0, sizeof message);
  message.body_type = WIRESPAN_BODY_BINARY;
  message.data = self->speech.samples + self->sent;
  message.length = left < CHUNK_BYTES ? left : CHUNK_BYTES;
  message.last = message.length == left;
  if (wirespan_lws_send(self->lws, self->order, &message) != WIRESPAN_STATUS_OK) {
    failed_to_send(self);
    return;
  }
  self->sent += message.length;
  if (message.last) {
    self->is_speaking = false;
    watch(self, SILENCE_US);
  } else if (!self->is_fast) {
    /* By the clock of the start, so that delays do not add up. */
    lws_usec_t due = self->started_us + (lws_usec_t)(self->sent / CHUNK_BYTES) * CHUNK_US, now = lws_now_usecs();
    watch(self, SILENCE_US);
    lws_sul_schedule(self->context, 0, &self->next_chunk, on_chunk_due, due > now ? due - now : 1);
  }
}

static void on_drained(wirespan_lws *lws, void *user) {
  device *self = user;
  (void)lws;
  if (self->is_fast) {
    if (self->is_speaking) watch(self, SILENCE_US);
    speak(self);
  }
}

static void on_ready(wirespan_lws *lws, void *user) {
  device *self = user;
  wirespan_connection_state state;
  const wirespan_span_context *parent = wirespan_has_span(&self->parent.span) ? &self->parent.span : NULL;
  if (wirespan_connection_read_state(wirespan_lws_connection(lws), &state) != WIRESPAN_STATUS_OK ||
      state.peer == WIRESPAN_PEER_UNKNOWN) {
    const char *what = "the gateway does not speak Wirespan, so nothing can be ordered there";
    fail(self, "error", what, strlen(what));
    return;
  }
  if (wirespan_lws_call(lws, "order", parent, &self->order) != WIRESPAN_STATUS_OK) {
    failed_to_send(self);
    return;
  }
  self->started_us = lws_now_usecs();
  self->is_speaking = true;
  speak(self);
}

/* A part of the reply: one of the members of a JSON object. */
static void on_reply(device *self, const wirespan_received *message) {
  static const struct {
    const char *member, *label;
  } parts[] = {{"partial", "partial"}, {"order", "order"}, {"word", "reply"}, {"declined", "declined"}};
  size_t i;
  bool known = false;
  cJSON *json = cJSON_ParseWithLength((const char *)message->payload, message->payload_length);
  for (i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, parts[i].member));
    if (text == NULL) continue;
    known = true;
    print_line(stdout, parts[i].label, text, strlen(text));
    if (strcmp(parts[i].member, "order") == 0) self->has_order = true;
    if (strcmp(parts[i].member, "word") == 0) self->has_reply = true;
  }
  cJSON_Delete(json);
  if (!known) print_line(stderr, "ignored", (const char *)message->payload, message->payload_length);
}

/* The gateway asks back: print the question, say yes, done. */
static void on_question(device *self, const wirespan_received *message) {
  wirespan_message answer;
  uint32_t question = message->stream;
  if (!message->has_payload) return;
  print_line(stdout, "confirm", (const char *)message->payload, message->payload_length);
  memset(&answer, 0, sizeof answer);
  answer.body_type = WIRESPAN_BODY_TEXT;
  answer.data = (const uint8_t *)"yes";
  answer.length = 3;
  answer.last = true;
  self->question = 0;
  if (wirespan_lws_send(self->lws, question, &answer) != WIRESPAN_STATUS_OK) {
    failed_to_send(self);
    return;
  }
  wirespan_lws_leave(self->lws, question);
}

static void on_message(wirespan_lws *lws, const wirespan_received *message, void *user) {
  device *self = user;
  if (self->is_over) return;
  watch(self, SILENCE_US);
  if (message->is_opening) {
    if (message->kind != WIRESPAN_KIND_CALL) {
      wirespan_lws_cancel(lws, message->stream);
      return;
    }
    self->question = message->stream;
  }
  if (message->stream == WIRESPAN_STREAM_PLAIN) return;
  if (message->stream == self->question) {
    on_question(self, message);
  } else if (message->stream == self->order && message->has_payload) {
    on_reply(self, message);
  }
}

static void on_read_end(wirespan_lws *lws, uint32_t stream, wirespan_status status, wirespan_str error_type,
                        void *user) {
  device *self = user;
  char what[256];
  if (stream == self->question) {
    /* Ended without a question. */
    self->question = 0;
    if (status == WIRESPAN_STATUS_OK) wirespan_lws_leave(lws, stream);
    return;
  }
  if (stream != self->order) return;
  if (status == WIRESPAN_STATUS_OK && self->has_order && self->has_reply) {
    wirespan_lws_leave(lws, stream);
    finish(self, EXIT_DONE);
    return;
  }
  if (status == WIRESPAN_STATUS_OK) {
    wirespan_lws_leave(lws, stream);
    snprintf(what, sizeof what, "the reply ended without %s", self->has_order ? "a word of the kitchen" : "an order");
  } else if (status == WIRESPAN_STATUS_CLOSED) {
    /* `closed` follows and says why. */
    return;
  } else {
    snprintf(what, sizeof what, "the order failed: %s%s%.*s", wirespan_status_name(status),
             error_type.length > 0 ? ", " : "", (int)error_type.length, error_type.data);
  }
  fail(self, "error", what, strlen(what));
}

static void on_closed(wirespan_lws *lws, const char *why, void *user) {
  device *self = user;
  char what[320];
  (void)lws;
  self->is_closed = true;
  if (self->is_over) return;
  snprintf(what, sizeof what, "%s%s", self->order != 0 ? "the gateway went away in the middle of the order: " : "",
           why);
  fail(self, "error", what, strlen(what));
}

static int usage(const char *problem, const char *detail) {
  if (problem != NULL) fprintf(stderr, "device: %s%s\n", problem, detail);
  fprintf(stderr, "usage: device --url ws://HOST:PORT[/PATH] --wav FILE [--fast]\n");
  return EXIT_USAGE;
}

/* Serves the connection until it is closed. */
static void run(device *self) {
  bool told = false;
  while (!self->is_closed) {
    if (lws_service(self->context, 0) < 0) break;
    if (interrupted && !told) {
      told = true;
      if (self->order != 0 && !self->is_over) {
        wirespan_connection_cancel(wirespan_lws_connection(self->lws), self->order, wirespan_clock_ns());
        self->order = 0;
        wirespan_lws_act(self->lws);
      }
      fprintf(stderr, "interrupted\n");
      finish(self, EXIT_INTERRUPTED);
    }
    if (self->is_over && !told) {
      told = true;
      watch(self, CLOSE_US);
    }
  }
}

/* Makes the connection and its handshake span. */
static wirespan_connection *make_connection(device *self, const wirespan_tracer *tracer,
                                            const wirespan_endpoint *endpoint) {
  static const char *const methods[] = {"confirm"};
  wirespan_connection *connection = NULL;
  const wirespan_span_context *parent = wirespan_has_span(&self->parent.span) ? &self->parent.span : NULL;
  if (wirespan_connection_client(NULL, endpoint, NULL, &connection) != WIRESPAN_STATUS_OK) return NULL;
  if (tracer != NULL) wirespan_connection_use_tracer(connection, tracer, wirespan_clock_ns());
  wirespan_connection_set_methods(connection, methods, 1);
  wirespan_connection_plan_handshake(connection, NULL, parent, NULL, NULL);
  return connection;
}

static int serve(device *self, const wirespan_tracer *tracer, const char *host, int port, const char *path) {
  static const struct lws_protocols protocols[] = {{"device", wirespan_lws_callback, 0, 65536, 0, NULL, 0},
                                                   {NULL, NULL, 0, 0, 0, NULL, 0}};
  static const char *const methods[] = {"confirm"};
  struct lws_context_creation_info info;
  wirespan_lws_handlers handlers;
  wirespan_lws_target target = {host, port, path, 0, NULL};
  wirespan_endpoint endpoint = {host, (uint16_t)port};
  wirespan_connection *connection;
  memset(&info, 0, sizeof info);
  info.port = CONTEXT_PORT_NO_LISTEN;
  info.protocols = protocols;
  info.timeout_secs = 10;
  info.options = LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
  self->context = lws_create_context(&info);
  connection = self->context != NULL ? make_connection(self, tracer, &endpoint) : NULL;
  memset(&handlers, 0, sizeof handlers);
  handlers.user = self;
  handlers.ready = on_ready;
  handlers.message = on_message;
  handlers.read_end = on_read_end;
  handlers.drained = on_drained;
  handlers.closed = on_closed;
  handlers.methods = methods;
  handlers.method_count = 1;
  if (connection != NULL) {
    watch(self, HANDSHAKE_US);
    self->lws = wirespan_lws_connect(self->context, "device", &target, connection, &handlers);
  }
  if (self->lws == NULL) {
    fprintf(stderr, "device: there is not enough memory\n");
    wirespan_connection_free(connection);
    if (self->context != NULL) lws_context_destroy(self->context);
    return EXIT_FAILED;
  }
  run(self);
  lws_sul_schedule(self->context, 0, &self->watchdog, NULL, LWS_SET_TIMER_USEC_CANCEL);
  lws_context_destroy(self->context);
  wirespan_lws_free(self->lws);
  return self->exit_code;
}

int main(int argc, char **argv) {
  static device self; /* the timers of libwebsockets point into it */
  static char parent_text[WIRESPAN_CONTEXT_BYTES];
  const char *url = NULL, *file = NULL, *protocol = NULL, *host = NULL, *path = NULL;
  char problem[512], address[1024], whole_path[1024];
  int port = 0, i, exit_code;
  size_t length;
  wirespan_tracer *tracer = NULL;
  wirespan_error error;
  for (i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--fast") == 0) {
      self.is_fast = true;
    } else if (strcmp(argv[i], "--url") == 0 && i + 1 < argc) {
      url = argv[++i];
    } else if (strcmp(argv[i], "--wav") == 0 && i + 1 < argc) {
      file = argv[++i];
    } else {
      return usage("cannot use the argument ", argv[i]);
    }
  }
  if (url == NULL || file == NULL) return usage(NULL, "");
  if (strncmp(url, "ws://", 5) != 0 || strlen(url) >= sizeof address) return usage("no ws:// URL: ", url);
  strcpy(address, url);
  if (lws_parse_uri(address, &protocol, &host, &port, &path) != 0 || host[0] == '\0' || port <= 0 || port > 65535) {
    return usage("no ws:// URL: ", url);
  }
  snprintf(whole_path, sizeof whole_path, "/%s", path);
  if (!wav_read(file, &self.speech, problem, sizeof problem)) {
    fprintf(stderr, "device: %s\n", problem);
    return EXIT_USAGE;
  }
  signal(SIGINT, on_signal);
  signal(SIGTERM, on_signal);
  signal(SIGPIPE, SIG_IGN);
  lws_set_log_level(0, NULL);
  wirespan_propagator_from_environment(parent_text, sizeof parent_text, &length, &self.parent);
  if (wirespan_tracer_new(getenv("OTEL_SERVICE_NAME") != NULL ? NULL : "device", NULL, &tracer) != WIRESPAN_STATUS_OK) {
    wirespan_last_error(&error);
    fprintf(stderr, "device: no spans are exported: %s\n", error.message);
  }
  exit_code = serve(&self, tracer, host, port, whole_path);
  if (tracer != NULL) {
    if (wirespan_tracer_shutdown(tracer, EXPORT_TIMEOUT_MS) != WIRESPAN_STATUS_OK) {
      wirespan_last_error(&error);
      fprintf(stderr, "device: spans were lost: %s\n", error.message);
    }
    wirespan_tracer_free(tracer);
  }
  wav_free(&self.speech);
  return exit_code;
}
