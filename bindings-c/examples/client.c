/* A traced libwebsockets client: calls METHOD with TEXT and prints the reply as it streams in.
 * client HOST PORT METHOD TEXT */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirespan_lws.h"

typedef struct state {
  const char *method, *text;
  uint32_t call;
  bool is_done;
  int exit_code;
} state;

static void on_ready(wirespan_lws *lws, void *user) {
  state *self = user;
  wirespan_message message = {WIRESPAN_BODY_TEXT, NULL, 0, true, NULL, 0};
  message.data = (const uint8_t *)self->text;
  message.length = strlen(self->text);
  if (wirespan_lws_call(lws, self->method, NULL, &self->call) != WIRESPAN_STATUS_OK ||
      wirespan_lws_send(lws, self->call, &message) != WIRESPAN_STATUS_OK) {
    wirespan_lws_close(lws);
  }
}

static void on_message(wirespan_lws *lws, const wirespan_received *message, void *user) {
  (void)lws;
  (void)user;
  if (message->has_payload) printf("%.*s\n", (int)message->payload_length, (const char *)message->payload);
}

static void on_read_end(wirespan_lws *lws, uint32_t stream, wirespan_status status, wirespan_str type, void *user) {
  state *self = user;
  if (stream != self->call) return;
  self->exit_code = status == WIRESPAN_STATUS_OK ? 0 : 1;
  if (status != WIRESPAN_STATUS_OK) {
    fprintf(stderr, "%s %.*s\n", wirespan_status_name(status), (int)type.length, type.data);
  }
  wirespan_lws_leave(lws, stream);
  wirespan_lws_close(lws);
}

static void on_closed(wirespan_lws *lws, const char *why, void *user) {
  state *self = user;
  (void)lws;
  if (self->exit_code != 0) fprintf(stderr, "%s\n", why);
  self->is_done = true;
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"client", wirespan_lws_callback, 0, 65536, 0, NULL, 0},
                                                   {NULL, NULL, 0, 0, 0, NULL, 0}};
  state self = {NULL, NULL, 0, false, 1};
  wirespan_lws_handlers handlers;
  struct lws_context_creation_info info;
  struct lws_context *context;
  wirespan_tracer *tracer = NULL;
  wirespan_connection *connection = NULL;
  wirespan_lws_target target;
  wirespan_endpoint endpoint;
  wirespan_lws *lws;
  if (argc != 5) return fprintf(stderr, "usage: client HOST PORT METHOD TEXT\n"), 2;
  target.host = endpoint.address = argv[1];
  target.port = atoi(argv[2]);
  target.path = "/";
  target.ssl_flags = 0;
  target.vhost = NULL;
  endpoint.port = (uint16_t)target.port;
  self.method = argv[3];
  self.text = argv[4];

  memset(&handlers, 0, sizeof handlers);
  handlers.user = &self;
  handlers.ready = on_ready;
  handlers.message = on_message;
  handlers.read_end = on_read_end;
  handlers.closed = on_closed;
  memset(&info, 0, sizeof info);
  info.port = CONTEXT_PORT_NO_LISTEN;
  info.protocols = protocols;
  lws_set_log_level(LLL_ERR, NULL);
  context = lws_create_context(&info);
  /* Spans go to OTEL_EXPORTER_OTLP_ENDPOINT. */
  if (context == NULL || wirespan_tracer_new("client", NULL, &tracer) != WIRESPAN_STATUS_OK ||
      wirespan_connection_client(NULL, &endpoint, NULL, &connection) != WIRESPAN_STATUS_OK) {
    return 1;
  }
  wirespan_connection_use_tracer(connection, tracer, wirespan_clock_ns());
  wirespan_connection_plan_handshake(connection, NULL, NULL, NULL, NULL);
  lws = wirespan_lws_connect(context, "client", &target, connection, &handlers);
  while (lws != NULL && !self.is_done && lws_service(context, 0) >= 0) {
  }
  lws_context_destroy(context);
  wirespan_lws_free(lws);
  wirespan_tracer_shutdown(tracer, 2000);
  wirespan_tracer_free(tracer);
  return self.exit_code;
}
