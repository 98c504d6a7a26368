/* The C peer of the end-to-end benchmark: `peer-c server MODE` or `peer-c client MODE PORT`; see bench/README.md. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "peer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirespan_lws.h"

wirespan_context current;
static run asked;
static mode how;
static wirespan_lws *traced;
static bool is_ready;
static uint32_t stream; /* of a client that has a call open */
static volatile sig_atomic_t is_told_to_stop;

static void give_up(const char *why) {
  fprintf(stderr, "c: %s\n", why);
  exit(1);
}

static void must(wirespan_status status) {
  wirespan_error error;
  if (status == WIRESPAN_STATUS_OK) return;
  wirespan_last_error(&error);
  give_up(error.message);
}

static wirespan_message message_of(const uint8_t *data, size_t length, bool is_text, bool is_last) {
  /* Text is a JSON document here, which the application knows. */
  wirespan_message message = {is_text ? WIRESPAN_BODY_JSON : WIRESPAN_BODY_BINARY, data, length, is_last, NULL, 0};
  return message;
}

bool run_goes_on(run *self) {
  self->round_trips++;
  if (wirespan_clock_ns() < self->until_ns) return true;
  if (--self->on_way == 0) self->is_done = true;
  return false;
}

/* -- the server with Wirespan */

static void echo(wirespan_lws *lws, const wirespan_received *received, void *user) {
  bool is_text = received->form == WIRESPAN_FORM_TEXT;
  /* A call asks once and is answered once. */
  wirespan_message message = message_of(received->payload, received->payload_length, is_text, how == MODE_CALL);
  (void)user;
  if (!received->has_payload) return;
  if (received->stream == WIRESPAN_STREAM_PLAIN) {
    must(wirespan_lws_send_in(lws, WIRESPAN_STREAM_PLAIN, &message, &received->context));
  } else {
    must(wirespan_lws_send(lws, received->stream, &message));
  }
}

static void leave(wirespan_lws *lws, uint32_t ended, wirespan_status status, wirespan_str type, void *user) {
  (void)user;
  (void)type;
  if (status == WIRESPAN_STATUS_OK) wirespan_lws_leave(lws, ended);
}

/* -- the client with Wirespan */

static void send_body(wirespan_lws *lws, bool is_last) {
  wirespan_message message = message_of(asked.body, asked.length, asked.is_text, is_last);
  must(wirespan_lws_send_in(lws, stream, &message, stream == WIRESPAN_STREAM_PLAIN ? &current : NULL));
}

static void start_call(wirespan_lws *lws) {
  must(wirespan_lws_call(lws, "echo", &current.span, &stream));
  send_body(lws, true);
}

static void start_run(void) {
  asked.on_way = asked.window;
  if (how == MODE_CALL) {
    asked.on_way = 1;
    start_call(traced);
    return;
  }
  if (how == MODE_STREAM) must(wirespan_lws_call(traced, "echo", &current.span, &stream));
  for (size_t i = 0; i < asked.window; i++) send_body(traced, false);
}

static void on_ready(wirespan_lws *lws, void *user) {
  (void)lws;
  (void)user;
  is_ready = true;
}

static void on_answer(wirespan_lws *lws, const wirespan_received *received, void *user) {
  (void)user;
  if (!received->has_payload || how == MODE_CALL) return;
  if (run_goes_on(&asked)) {
    send_body(lws, false);
  } else if (how == MODE_STREAM && asked.is_done) {
    asked.is_done = false; /* until the server's direction is complete */
    wirespan_lws_end(lws, stream);
  }
}

static void on_read_end(wirespan_lws *lws, uint32_t ended, wirespan_status status, wirespan_str type, void *user) {
  (void)user;
  (void)type;
  must(status);
  wirespan_lws_leave(lws, ended);
  if (how == MODE_STREAM) {
    asked.is_done = true;
  } else if (run_goes_on(&asked)) {
    start_call(lws);
  }
}

static void on_closed(wirespan_lws *lws, const char *why, void *user) {
  (void)lws;
  (void)user;
  if (is_told_to_stop) return;
  give_up(why);
}

/* -- the programs */

static void on_signal(int number) {
  (void)number;
  is_told_to_stop = 1;
}

static struct lws_context *new_context(struct lws_protocols *protocols, int port) {
  struct lws_context_creation_info info;
  struct lws_context *context;
  memset(&info, 0, sizeof info);
  info.port = port;
  info.iface = "127.0.0.1";
  info.protocols = protocols;
  info.vhost_name = "bench";
  lws_set_log_level(LLL_ERR, NULL);
  context = lws_create_context(&info);
  if (context == NULL) give_up("libwebsockets cannot make a context (is the port free?)");
  return context;
}

static int serve(const wirespan_tracer *tracer) {
  static const char *const methods[] = {"echo"};
  static struct lws_protocols protocols[] = {{"echo", NULL, 0, 65536, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
  wirespan_lws_server *server = NULL;
  struct lws_context *context;
  struct sigaction action;
  protocols[0].callback = raw_callback;
  if (how >= MODE_PLAIN) {
    wirespan_lws_service service;
    memset(&service, 0, sizeof service);
    service.tracer = tracer;
    service.handlers.methods = methods;
    service.handlers.method_count = 1;
    service.handlers.message = echo;
    service.handlers.read_end = leave;
    server = wirespan_lws_server_new(&service);
    protocols[0].callback = wirespan_lws_server_callback;
    protocols[0].user = server;
  }
  context = new_context(protocols, 0);
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, NULL);
  printf("port %d\n", lws_get_vhost_listen_port(lws_get_vhost_by_name(context, "bench")));
  fflush(stdout);
  while (!is_told_to_stop && lws_service(context, 0) >= 0) {
  }
  lws_context_destroy(context);
  wirespan_lws_server_free(server);
  return 0;
}

static void connect_raw(struct lws_context *context, int port) {
  struct lws_client_connect_info info;
  memset(&info, 0, sizeof info);
  info.context = context;
  info.address = info.host = "127.0.0.1";
  info.port = port;
  info.path = "/";
  info.protocol = "echo";
  info.local_protocol_name = "echo";
  if (lws_client_connect_via_info(&info) == NULL) give_up("libwebsockets cannot connect to the server");
  while (raw_client == NULL && lws_service(context, 0) >= 0) {
  }
}

static void connect_traced(struct lws_context *context, const wirespan_tracer *tracer, int port) {
  static wirespan_lws_handlers handlers;
  wirespan_lws_target target = {"127.0.0.1", 0, "/", 0, NULL};
  wirespan_connection *connection = NULL;
  must(wirespan_connection_client(NULL, NULL, NULL, &connection));
  wirespan_connection_use_tracer(connection, tracer, wirespan_clock_ns());
  wirespan_connection_plan_handshake(connection, NULL, NULL, NULL, NULL);
  handlers.ready = on_ready;
  handlers.message = on_answer;
  handlers.read_end = on_read_end;
  handlers.closed = on_closed;
  target.port = port;
  traced = wirespan_lws_connect(context, "echo", &target, connection, &handlers);
  while (traced != NULL && !is_ready && lws_service(context, 0) >= 0) {
  }
}

/* Reads a run; false at the end of input. */
static bool read_run(void) {
  static const char words[] = "The quick brown fox jumps over the lazy dog. ";
  char line[128], form[16];
  unsigned long size, window;
  double seconds;
  size_t i;
  if (fgets(line, sizeof line, stdin) == NULL) return false;
  if (sscanf(line, "%lu %15s %lf %lu", &size, form, &seconds, &window) != 4 || size < 16) exit(2);
  free(asked.body);
  memset(&asked, 0, sizeof asked);
  asked.body = malloc(size + 1);
  if (asked.body == NULL) exit(1);
  asked.length = size;
  asked.is_text = strcmp(form, "text") == 0;
  asked.window = window;
  for (i = 0; i < size; i++)
    asked.body[i] = (unsigned char)(asked.is_text ? (size_t)words[i % (sizeof words - 1)] : i * 7);
  if (asked.is_text) {
    memcpy(asked.body, "{\"text\":\"", 9);
    memcpy(asked.body + size - 2, "\"}", 2);
  }
  asked.until_ns = wirespan_clock_ns() + (uint64_t)(seconds * 1e9);
  return true;
}

static int run_client(const wirespan_tracer *tracer, int port) {
  static struct lws_protocols protocols[] = {{"echo", NULL, 0, 65536, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
  static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  struct lws_context *context;
  protocols[0].callback = how >= MODE_PLAIN ? wirespan_lws_callback : raw_callback;
  context = new_context(protocols, CONTEXT_PORT_NO_LISTEN);
  must(wirespan_traceparent_parse(parent, sizeof parent - 1, &current.span));
  if (how >= MODE_PLAIN) {
    connect_traced(context, tracer, port);
  } else {
    connect_raw(context, port);
  }
  printf("ready\n");
  fflush(stdout);
  while (read_run()) {
    uint64_t started = wirespan_clock_ns();
    if (how >= MODE_PLAIN) {
      start_run();
    } else {
      raw_start(&asked);
    }
    while (!asked.is_done && lws_service(context, 0) >= 0) {
    }
    printf("done %llu %llu\n", (unsigned long long)asked.round_trips,
           (unsigned long long)(wirespan_clock_ns() - started));
    fflush(stdout);
  }
  is_told_to_stop = 1;
  lws_context_destroy(context);
  wirespan_lws_free(traced);
  return 0;
}

int main(int argc, char **argv) {
  static const char *const names[] = {"untraced", "idiom", "plain", "stream", "call"};
  wirespan_tracer *tracer = NULL;
  size_t at = 0;
  int result;
  while (argc >= 3 && at < 5 && strcmp(argv[2], names[at]) != 0) at++;
  if (at == 5 || argc < 3 || argc != (strcmp(argv[1], "client") == 0 ? 4 : 3)) {
    return fprintf(stderr, "usage: peer-c server MODE | client MODE PORT\n"), 2;
  }
  how = raw_mode = (mode)at;
  /* Spans go to OTEL_EXPORTER_OTLP_ENDPOINT. It is there in every mode, as in the other languages: a second thread
   * makes every system call of a process dearer. */
  must(wirespan_tracer_new("bench", NULL, &tracer));
  result = argc == 4 ? run_client(tracer, atoi(argv[3])) : serve(tracer);
  wirespan_tracer_shutdown(tracer, 2000);
  wirespan_tracer_free(tracer);
  return result;
}
