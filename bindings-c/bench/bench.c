/* The speed of the C library against what one would write by hand in C, and against the copy of the body.
 * Writes a JSON list of rows to standard output. The two rivals take turns, A B B A, in one process; figures are
 * medians. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wirespan.h>

#define TRACEPARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define ROUNDS 40
/* How long each turn of a rival takes. */
#define TURN_NS 2e6

static const size_t sizes[] = {64, 256, 4096, 65536, 1048576};

/* What the rivals work on. */
static unsigned char *body, *envelope, *out;
static size_t size, envelope_length, room;
static uint64_t sink;
static wirespan_connection *client, *server;
static wirespan_context context;
static wirespan_stream_metrics *metrics;
static uint64_t now_ns = 1;

static void must(wirespan_status status) {
  if (status != WIRESPAN_STATUS_OK) {
    wirespan_error error;
    wirespan_last_error(&error);
    fprintf(stderr, "bench: %s\n", error.message);
    exit(1);
  }
}

static void copy_body(void) {
  memcpy(out, body, size);
  sink += out[size / 2];
}

static void encode(void) {
  wirespan_message message = {WIRESPAN_BODY_JSON, NULL, 0, false, NULL, 0};
  size_t length;
  message.data = body;
  message.length = size;
  must(wirespan_connection_send(client, WIRESPAN_STREAM_PLAIN, &message, &context, 1, out, room, &length, NULL));
  sink += length;
}

static void encode_by_hand(void) {
  char trace_id[33], span_id[17];
  int i, length;
  for (i = 0; i < 16; i++) snprintf(trace_id + 2 * i, 3, "%02x", context.span.trace_id[i]);
  for (i = 0; i < 8; i++) snprintf(span_id + 2 * i, 3, "%02x", context.span.span_id[i]);
  length = snprintf((char *)out, room, "{\"headers\":{\"traceparent\":\"00-%s-%s-%02x\"},\"body\":%.*s}", trace_id,
                    span_id, context.span.flags, (int)size, (const char *)body);
  sink += (uint64_t)length;
}

static void decode(void) {
  wirespan_received received;
  must(wirespan_connection_receive(server, envelope, envelope_length, WIRESPAN_FORM_TEXT, 1, &received));
  if (received.context.span.span_id[0] != 0xb7 || received.payload_length != size) abort();
  sink += received.payload[0];
}

static void decode_by_hand(void) {
  cJSON *json = cJSON_ParseWithLength((const char *)envelope, envelope_length);
  cJSON *headers = cJSON_GetObjectItemCaseSensitive(json, "headers");
  const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(headers, "traceparent"));
  unsigned version, flags;
  char trace_id[33], span_id[17];
  if (value == NULL || sscanf(value, "%2x-%32[0-9a-f]-%16[0-9a-f]-%2x", &version, trace_id, span_id, &flags) != 4)
    abort();
  if (cJSON_GetObjectItemCaseSensitive(json, "body") == NULL) abort();
  sink += (uint64_t)span_id[0] + flags;
  cJSON_Delete(json);
}

static void record_chunk(void) { must(wirespan_stream_metrics_record_chunk(metrics, 64, now_ns += 20000000, NULL)); }

static void record_chunk_by_hand(void) {
  static struct { uint64_t chunks, bytes, first, last, sum, min, max; } by_hand;
  uint64_t interval = (now_ns += 20000000) - by_hand.last;
  if (by_hand.chunks++ == 0) {
    by_hand.first = now_ns;
    by_hand.min = UINT64_MAX;
  } else {
    by_hand.sum += interval;
    if (interval < by_hand.min) by_hand.min = interval;
    if (interval > by_hand.max) by_hand.max = interval;
  }
  by_hand.bytes += 64;
  by_hand.last = now_ns;
  sink += *(volatile uint64_t *)&by_hand.sum;
}

static void carry(void) {
  wirespan_carry *item = NULL;
  wirespan_carried carried;
  must(wirespan_carry_capture(&context, "s-1", NULL, NULL, 1, &item));
  must(wirespan_carry_restore(item, 2, &carried));
  sink += (uint64_t)carried.wait_ns + carried.context.span.span_id[0];
  must(wirespan_carry_free(item));
}

static void carry_by_hand(void) {
  struct item {
    uint64_t left;
    char traceparent[56];
    char session[32];
  } *item = malloc(sizeof *item);
  if (item == NULL) abort();
  item->left = 1;
  memcpy(item->traceparent, TRACEPARENT, 56);
  strcpy(item->session, "s-1");
  sink += *(volatile uint64_t *)&item->left + (uint64_t)item->traceparent[40];
  free(item);
}

static double clock_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double time_of(void (*run)(void), long times) {
  double start = clock_ns();
  long i;
  for (i = 0; i < times; i++) run();
  return (clock_ns() - start) / (double)times;
}

static long times_for(void (*run)(void)) {
  long times = 1;
  while (time_of(run, times) * (double)times < TURN_NS) times *= 2;
  return times;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double median(double *values, size_t count) {
  qsort(values, count, sizeof *values, compare);
  return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

static void row(const char *operation, const char *idiom, void (*product)(void), void (*rival)(void),
                void (*floor)(void)) {
  static bool is_first = true;
  double of_product[2 * ROUNDS], of_rival[2 * ROUNDS], of_floor[ROUNDS], ns, rival_ns;
  long product_times = times_for(product), rival_times = times_for(rival),
       floor_times = floor != NULL ? times_for(floor) : 0;
  int i;
  for (i = 0; i < ROUNDS; i++) {
    of_product[2 * i] = time_of(product, product_times);
    of_rival[2 * i] = time_of(rival, rival_times);
    of_rival[2 * i + 1] = time_of(rival, rival_times);
    of_product[2 * i + 1] = time_of(product, product_times);
    if (floor != NULL) of_floor[i] = time_of(floor, floor_times);
  }
  ns = median(of_product, 2 * ROUNDS);
  rival_ns = median(of_rival, 2 * ROUNDS);
  printf("%s {\"language\": \"c\", \"operation\": \"%s\", \"size\": ", is_first ? "[\n" : ",\n", operation);
  is_first = false;
  if (floor != NULL) {
    printf("%zu", size);
  } else {
    printf("null");
  }
  printf(", \"product_ns\": %.2f, \"idiom\": \"%s\", \"idiom_ns\": %.2f, \"ratio\": %.4f, ", ns, idiom, rival_ns,
         ns / rival_ns);
  if (floor != NULL) {
    double floor_ns = median(of_floor, ROUNDS);
    printf("\"floor_ns\": %.2f, \"floor_ratio\": %.4f}", floor_ns, ns / floor_ns);
  } else {
    printf("\"floor_ns\": null, \"floor_ratio\": null}");
  }
}

static void connect_sides(void) {
  wirespan_additions additions;
  wirespan_request *request = NULL;
  must(wirespan_connection_client(NULL, NULL, NULL, &client));
  must(wirespan_connection_request(client, "localhost", false, false, NULL, &additions));
  must(wirespan_request_new(additions.headers, additions.header_count, NULL, &request));
  must(wirespan_connection_server(NULL, request, NULL, NULL, WIRESPAN_VOUCH_NO_OPINION, NULL, NULL, &server));
  must(wirespan_connection_response(server, request, NULL, &additions));
  must(wirespan_connection_open_client(client, additions.headers, additions.header_count, 1));
  must(wirespan_connection_open_server(server, 1));
  must(wirespan_request_free(request));
}

int main(void) {
  size_t i, largest = sizes[sizeof sizes / sizeof sizes[0] - 1];
  body = malloc(largest);
  envelope = malloc(largest + 1024);
  out = malloc(largest + 1024);
  if (body == NULL || envelope == NULL || out == NULL) return 1;
  room = largest + 1024;
  connect_sides();
  memset(&context, 0, sizeof context);
  must(wirespan_traceparent_parse(TRACEPARENT, strlen(TRACEPARENT), &context.span));
  must(wirespan_stream_metrics_new(0, false, &metrics));
  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    size = sizes[i];
    /* A JSON string: the kindest body for a parser. */
    memset(body, 'a', size);
    body[0] = body[size - 1] = '"';
    encode();
    envelope_length = size + strlen("{\"headers\":{\"traceparent\":\"" TRACEPARENT "\"},\"body\":}");
    memcpy(envelope, out, envelope_length);
    row("encode", "snprintf", encode, encode_by_hand, copy_body);
    row("decode", "cJSON and sscanf", decode, decode_by_hand, copy_body);
  }
  row("record_chunk", "count, sum, min, max in a struct", record_chunk, record_chunk_by_hand, NULL);
  row("carry", "malloc, copy, free", carry, carry_by_hand, NULL);
  printf("\n]\n");
  must(wirespan_stream_metrics_free(metrics));
  must(wirespan_connection_free(client));
  must(wirespan_connection_free(server));
  free(body);
  free(envelope);
  free(out);
  return sink == 0;
}
