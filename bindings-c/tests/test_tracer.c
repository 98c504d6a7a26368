/* Tests of the built-in tracer against a real receiver, and against collectors that are dead or silent.
 * Arguments: the endpoint of the receiver. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static wirespan_tracer *tracer;

static void use_tracer(side *a, side *b, void *user) {
  side *one = a != NULL ? a : b;
  (void)user;
  OK(wirespan_connection_use_tracer(one->connection, tracer, one->now_ns));
}

static void spans_of_both_roles_are_exported(const char *endpoint) {
  static side client, server;
  wirespan_context parent;
  wirespan_received received;
  wirespan_span *span = NULL;
  wirespan_tracer_stats stats;
  wirespan_attribute attribute;
  uint32_t stream;
  OK(wirespan_tracer_new("c-test", endpoint, &tracer));
  memset(&parent, 0, sizeof parent);
  OK(wirespan_tracer_start_span(tracer, "main", WIRESPAN_SPAN_KIND_INTERNAL, NULL, &span, &parent.span));
  CHECK(wirespan_has_span(&parent.span) && parent.span.flags % 2 == 1 && !parent.span.is_remote);
  memset(&attribute, 0, sizeof attribute);
  attribute.key = wirespan_str_of("test.number");
  attribute.value_type = WIRESPAN_VALUE_TYPE_INTEGER;
  attribute.integer = 7;
  OK(wirespan_span_set_attributes(span, &attribute, 1));
  connect_sides(&client, &server, NULL, NULL, NULL, use_tracer, NULL);
  OK(wirespan_connection_plan_call(client.connection, "order", &parent.span, client.now_ns, &stream, NULL));
  send_bytes(&client, stream, WIRESPAN_BODY_TEXT, "tea", true);
  OK(wirespan_connection_receive(server.connection, client.out[0].bytes, client.out[0].length, client.out[0].form,
                                 server.now_ns, &received));
  stream = received.stream;
  CHECK(memcmp(received.context.span.trace_id, parent.span.trace_id, 16) == 0);
  OK(wirespan_connection_fail(server.connection, stream, "SoldOut", server.now_ns));
  poll_events(&server);
  OK(wirespan_connection_receive(client.connection, server.out[0].bytes, server.out[0].length, server.out[0].form,
                                 client.now_ns, &received));
  poll_events(&client);
  free_sides(&client, &server);
  OK(wirespan_span_finish(span, NULL));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_span_finish(span, NULL));
  OK(wirespan_tracer_flush(tracer, 5000));
  OK(wirespan_tracer_read_stats(tracer, &stats));
  CHECK(stats.ended == 5 && stats.exported == 5 && stats.failed == 0 && stats.pending == 0 && stats.dropped == 0);
  OK(wirespan_tracer_shutdown(tracer, 5000));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_STATE, wirespan_tracer_shutdown(tracer, 5000));
  OK(wirespan_tracer_free(tracer));
}

static void end_spans(int count) {
  int i;
  for (i = 0; i < count; i++) {
    wirespan_span *span = NULL;
    OK(wirespan_tracer_start_span(tracer, "lost", WIRESPAN_SPAN_KIND_INTERNAL, NULL, &span, NULL));
    OK(wirespan_span_finish(span, "lost"));
  }
}

static void a_dead_collector_is_told(void) {
  wirespan_tracer_stats stats;
  /* Port 9 of this machine serves nobody. */
  OK(wirespan_tracer_new("c-test", "http://127.0.0.1:9", &tracer));
  end_spans(3);
  CHECK_STATUS(WIRESPAN_STATUS_IO, wirespan_tracer_flush(tracer, 5000));
  OK(wirespan_tracer_read_stats(tracer, &stats));
  CHECK(stats.ended == 3 && stats.failed == 3);
  wirespan_tracer_shutdown(tracer, 1000);
  OK(wirespan_tracer_free(tracer));
}

static void a_silent_collector_blocks_nobody(void) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  char endpoint[64];
  wirespan_tracer_stats stats;
  uint64_t start_ns;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  /* It accepts by its backlog and never answers. */
  CHECK(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 4) == 0);
  CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
  snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", ntohs(address.sin_port));
  OK(wirespan_tracer_new("c-test", endpoint, &tracer));
  start_ns = wirespan_clock_ns();
  end_spans(6000);
  CHECK_STATUS(WIRESPAN_STATUS_TIMEOUT, wirespan_tracer_flush(tracer, 200));
  /* Valgrind makes everything slow, but a time-out of the exporter would be 10 s. */
  CHECK(wirespan_clock_ns() - start_ns < 9000 * MS);
  OK(wirespan_tracer_read_stats(tracer, &stats));
  /* 2048 wait, and the rest is gone at once. */
  CHECK(stats.ended == 6000 && stats.exported == 0 && stats.pending == 2048 && stats.dropped == 6000 - 2048);
  close(listener);
  wirespan_tracer_shutdown(tracer, 500);
  OK(wirespan_tracer_free(tracer));
}

static void wrong_endpoints_are_refused(void) {
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_tracer_new("x", "localhost:4318", &tracer));
  check_error("endpoint", "http://localhost:4318");
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_tracer_new("x", "", &tracer));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_tracer_flush(NULL, 1));
  /* This library is built without TLS, and says so, wherever the endpoint comes from. */
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_tracer_new("x", "https://localhost:4318", &tracer));
  check_error("endpoint", "feature tls");
  setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:4318", 1);
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_tracer_new("x", NULL, &tracer));
  check_error("OTEL_EXPORTER_OTLP_ENDPOINT", "feature tls");
  unsetenv("OTEL_EXPORTER_OTLP_ENDPOINT");
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  spans_of_both_roles_are_exported(argv[1]);
  a_dead_collector_is_told();
  a_silent_collector_blocks_nobody();
  wrong_endpoints_are_refused();
  CHECK(wirespan_live_objects() == 0);
  printf("4 passed, 0 failed\n");
  return 0;
}
