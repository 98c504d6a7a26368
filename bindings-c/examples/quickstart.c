/* Both ends of a traced call in one program, without a network: what a transport has to carry is in `frame`. */
#include <stdio.h>
#include <string.h>
#include <wirespan.h>

static void must(wirespan_status status) {
  wirespan_error error;
  if (status == WIRESPAN_STATUS_OK) return;
  wirespan_last_error(&error);
  fprintf(stderr, "%s\n", error.message);
}

int main(void) {
  static const char *const methods[] = {"order"};
  wirespan_tracer *tracer = NULL;
  wirespan_connection *client = NULL, *server = NULL;
  wirespan_request *request = NULL;
  wirespan_additions asked, answered;
  wirespan_received received;
  wirespan_message message = {WIRESPAN_BODY_TEXT, (const uint8_t *)"two pizzas", 10, true, NULL, 0};
  unsigned char frame[1024];
  size_t length;
  uint32_t call;
  uint64_t now = wirespan_clock_ns();

  /* Spans go to OTEL_EXPORTER_OTLP_ENDPOINT. Each side starts its handshake span. */
  must(wirespan_tracer_new("quickstart", NULL, &tracer));
  must(wirespan_connection_client(NULL, NULL, NULL, &client));
  must(wirespan_connection_use_tracer(client, tracer, now));
  must(wirespan_connection_plan_handshake(client, NULL, NULL, NULL, NULL));

  /* The headers go into the opening request, those of the answer into the response. */
  must(wirespan_connection_request(client, "localhost", false, false, NULL, &asked));
  must(wirespan_request_new(asked.headers, asked.header_count, NULL, &request));
  must(wirespan_connection_server(NULL, request, NULL, NULL, WIRESPAN_VOUCH_NO_OPINION, NULL, NULL, &server));
  must(wirespan_connection_use_tracer(server, tracer, now));
  /* Only methods that are served can name a span. */
  must(wirespan_connection_set_methods(server, methods, 1));
  must(wirespan_connection_plan_handshake(server, NULL, NULL, NULL, NULL));
  must(wirespan_connection_response(server, request, NULL, &answered));
  must(wirespan_connection_open_client(client, answered.headers, answered.header_count, now));
  must(wirespan_connection_open_server(server, now));

  /* A call is a CLIENT span here and its child, a SERVER span, there. */
  must(wirespan_connection_plan_call(client, "order", NULL, now, &call, NULL));
  must(wirespan_connection_send(client, call, &message, NULL, now, frame, sizeof frame, &length, NULL));
  printf("on the wire: %.*s\n", (int)length, (const char *)frame);
  must(wirespan_connection_receive(server, frame, length, WIRESPAN_FORM_TEXT, now, &received));
  printf("received: %.*s\n", (int)received.payload_length, (const char *)received.payload);

  /* Freeing ends what is open; shutting down exports it. */
  wirespan_request_free(request);
  wirespan_connection_free(server);
  wirespan_connection_free(client);
  printf("export: %s\n", wirespan_status_name(wirespan_tracer_shutdown(tracer, 2000)));
  return wirespan_tracer_free(tracer) == WIRESPAN_STATUS_OK ? 0 : 1;
}
