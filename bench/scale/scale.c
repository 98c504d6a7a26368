/* Many connections in one process: `scale-c CONNECTIONS` prints memory and CPU time per message. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wirespan.h>

#define STREAMS 10
#define FEW 10
#define SAMPLES 9
#define MESSAGES 200000
#define LENGTH 256
#define ROOM (LENGTH + 256)
#define STEP_NS 20000000u

typedef struct frame {
  size_t length;
  unsigned char bytes[ROOM];
} frame;

/* Servers and the one client whose frames all of them get. */
typedef struct group {
  wirespan_connection *client, **servers;
  size_t count;
  uint32_t keys[STREAMS];
  uint64_t now_ns;
} group;

static wirespan_registry *registry;
static unsigned char body[LENGTH];
static wirespan_context context;

static void must(wirespan_status status) {
  wirespan_error error;
  if (status == WIRESPAN_STATUS_OK) return;
  wirespan_last_error(&error);
  fprintf(stderr, "scale: %s\n", error.message);
  exit(1);
}

static void drain(wirespan_connection *connection) {
  wirespan_event event;
  do must(wirespan_connection_poll_event(connection, &event));
  while (event.event_type != WIRESPAN_EVENT_TYPE_NONE);
}

static uint64_t cpu_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static double resident(void) {
  unsigned long total = 0, pages = 0;
  FILE *statm = fopen("/proc/self/statm", "r");
  if (statm == NULL || fscanf(statm, "%lu %lu", &total, &pages) != 2) exit(1);
  fclose(statm);
  return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static wirespan_connection *accept_one(const wirespan_request *request, wirespan_additions *answer) {
  static const char *const methods[] = {"echo"};
  wirespan_endpoint endpoint = {"127.0.0.1", 8765};
  wirespan_connection *server = NULL;
  must(wirespan_connection_server(NULL, request, registry, "127.0.0.1", WIRESPAN_VOUCH_NO_OPINION, &endpoint, NULL,
                                  &server));
  wirespan_connection_set_methods(server, methods, 1);
  must(wirespan_connection_plan_handshake(server, NULL, NULL, NULL, NULL));
  must(wirespan_connection_response(server, request, NULL, answer));
  must(wirespan_connection_open_server(server, 0));
  drain(server);
  return server;
}

static void make_frame(group *self, size_t at, const wirespan_context *carried, frame *out) {
  wirespan_message message = {WIRESPAN_BODY_BINARY, body, LENGTH, false, NULL, 0};
  must(wirespan_connection_send(self->client, self->keys[at], &message, carried, 0, out->bytes, ROOM, &out->length,
                                NULL));
}

static wirespan_received receive(wirespan_connection *server, const frame *chunk, uint64_t now_ns) {
  wirespan_received received;
  must(wirespan_connection_receive(server, chunk->bytes, chunk->length, WIRESPAN_FORM_BINARY, now_ns, &received));
  must(wirespan_connection_take(server, received.stream, received.payload_length, now_ns));
  drain(server);
  return received;
}

static void fill(group *self, size_t count) {
  wirespan_additions additions;
  wirespan_request *request = NULL;
  size_t i, at;
  memset(self, 0, sizeof *self);
  self->count = count;
  self->servers = calloc(count, sizeof *self->servers);
  if (self->servers == NULL) exit(1);
  must(wirespan_connection_client(NULL, NULL, NULL, &self->client));
  must(wirespan_connection_request(self->client, "localhost", false, false, NULL, &additions));
  must(wirespan_request_new(additions.headers, additions.header_count, NULL, &request));
  for (i = 0; i < count; i++) self->servers[i] = accept_one(request, &additions);
  must(wirespan_connection_response(self->servers[0], request, NULL, &additions));
  must(wirespan_connection_open_client(self->client, additions.headers, additions.header_count, 0));
  must(wirespan_request_free(request));
  for (at = 0; at < STREAMS; at++) {
    frame first;
    must(wirespan_connection_plan_call(self->client, "echo", &context.span, 0, &self->keys[at], NULL));
    make_frame(self, at, &context, &first);
    for (i = 0; i < count; i++) receive(self->servers[i], &first, 0);
  }
}

/* CPU time per message: each server gets a chunk of each stream and answers it. */
static double sample(group *self) {
  size_t each = self->count * STREAMS * 2, passes = (MESSAGES + each - 1) / each, pass, i, at;
  frame *frames = calloc(passes * STREAMS, sizeof *frames);
  unsigned char out[ROOM];
  uint64_t started;
  if (frames == NULL) exit(1);
  for (i = 0; i < passes * STREAMS; i++) make_frame(self, i % STREAMS, NULL, &frames[i]);
  started = cpu_ns();
  for (pass = 0; pass < passes; pass++) {
    self->now_ns += STEP_NS;
    for (i = 0; i < self->count; i++) {
      for (at = 0; at < STREAMS; at++) {
        wirespan_message answer = {WIRESPAN_BODY_BINARY, body, LENGTH, false, NULL, 0};
        wirespan_received received = receive(self->servers[i], &frames[pass * STREAMS + at], self->now_ns);
        size_t length;
        must(wirespan_connection_send(self->servers[i], received.stream, &answer, NULL, self->now_ns, out, ROOM,
                                      &length, NULL));
        drain(self->servers[i]);
      }
    }
  }
  free(frames);
  return (double)(cpu_ns() - started) / (double)(passes * each);
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double median_cpu_ns(group *self) {
  double samples[SAMPLES];
  int i;
  /* The first chunks allocate the histograms. */
  sample(self);
  sample(self);
  for (i = 0; i < SAMPLES; i++) samples[i] = sample(self);
  qsort(samples, SAMPLES, sizeof *samples, compare);
  return samples[SAMPLES / 2];
}

int main(int argc, char **argv) {
  static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  size_t count = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
  double before, idle, few_ns, all_ns;
  group few, all;
  if (count == 0) return fprintf(stderr, "usage: scale-c CONNECTIONS\n"), 2;
  must(wirespan_registry_new(0, 0, &registry));
  must(wirespan_traceparent_parse(parent, sizeof parent - 1, &context.span));
  fill(&few, FEW);
  before = resident();
  fill(&all, count);
  idle = resident() - before;
  few_ns = median_cpu_ns(&few);
  all_ns = median_cpu_ns(&all);
  printf("{\"idle_bytes\": %.1f, \"busy_bytes\": %.1f, \"few_ns\": %.1f, \"all_ns\": %.1f}\n", idle / (double)count,
         (resident() - before) / (double)count, few_ns, all_ns);
  return 0;
}
