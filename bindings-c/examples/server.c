/* A traced libwebsockets server: serves the method `echo`, which sends every chunk back as it came.
 * server PORT, where port 0 is any that is free; it says which, and ends with SIGTERM or Ctrl-C. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirespan_lws.h"

static volatile sig_atomic_t is_told_to_stop;

static void on_signal(int signal) {
  (void)signal;
  is_told_to_stop = 1;
}

/* Runs for every message. The SERVER span of a call has started with its first one, a child of the caller's span. */
static void on_message(wirespan_lws *lws, const wirespan_received *message, void *user) {
  wirespan_message answer = {WIRESPAN_BODY_BINARY, NULL, 0, false, NULL, 0};
  (void)user;
  if (!message->has_payload || message->stream == WIRESPAN_STREAM_PLAIN) return;
  /* What was received is valid during this call only, and so long as nothing else is done with the connection. */
  answer.data = message->payload;
  answer.length = message->payload_length;
  if (message->form == WIRESPAN_FORM_TEXT) answer.body_type = WIRESPAN_BODY_TEXT;
  wirespan_lws_send(lws, message->stream, &answer);
}

/* The peer is done: so is this side, and the span ends. */
static void on_read_end(wirespan_lws *lws, uint32_t stream, wirespan_status status, wirespan_str type, void *user) {
  (void)user;
  (void)type;
  if (status == WIRESPAN_STATUS_OK) wirespan_lws_leave(lws, stream);
}

int main(int argc, char **argv) {
  static const char *const methods[] = {"echo"};
  struct lws_protocols protocols[] = {{"echo", wirespan_lws_server_callback, 0, 65536, 0, NULL, 0},
                                      {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  struct lws_context *context;
  struct sigaction action;
  wirespan_lws_service service;
  wirespan_lws_server *server;
  wirespan_tracer *tracer = NULL;
  bool is_closing = false;
  if (argc != 2) return fprintf(stderr, "usage: server PORT\n"), 2;

  /* Spans go to OTEL_EXPORTER_OTLP_ENDPOINT. */
  if (wirespan_tracer_new("server", NULL, &tracer) != WIRESPAN_STATUS_OK) return 1;
  memset(&service, 0, sizeof service);
  service.tracer = tracer;
  service.handlers.methods = methods;
  service.handlers.method_count = 1;
  service.handlers.message = on_message;
  service.handlers.read_end = on_read_end;
  server = wirespan_lws_server_new(&service);
  protocols[0].user = server;

  memset(&info, 0, sizeof info);
  info.port = atoi(argv[1]);
  info.protocols = protocols;
  info.vhost_name = "echo";
  lws_set_log_level(LLL_ERR, NULL);
  context = server != NULL ? lws_create_context(&info) : NULL;
  if (context == NULL) return fprintf(stderr, "cannot listen on port %s\n", argv[1]), 1;
  printf("listening on %d\n", lws_get_vhost_listen_port(lws_get_vhost_by_name(context, "echo")));
  fflush(stdout);

  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  while (lws_service(context, 0) >= 0) {
    if (!is_told_to_stop) continue;
    if (!is_closing) wirespan_lws_server_close(server);
    is_closing = true;
    if (wirespan_lws_server_connections(server) == 0) break;
  }
  lws_context_destroy(context);
  wirespan_lws_server_free(server);
  wirespan_tracer_shutdown(tracer, 2000);
  wirespan_tracer_free(tracer);
  return 0;
}
