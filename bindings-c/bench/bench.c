/* The speed of the C library against what one would write by hand in C, and against the copy of the body.
 * Writes a JSON list of rows to standard output. The two rivals take turns, A B B A, in one process; figures are
 * medians and quartiles of the time that the thread computes. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wirespan.h>
#include <yyjson.h>

#define TRACEPARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define ROUNDS 40
/* How long each turn of a rival takes. */
#define TURN_NS 2e6

static const size_t sizes[] = {64, 256, 4096, 65536, 1048576};

/* What the rivals work on. */
static unsigned char *body, *envelope, *out;
static size_t size, envelope_length, room;
static uint64_t sink;
static wirespan_connection *client, *server, *always;
/* Chunks of one call, numbered as they come; after the last one the receiver begins anew. */
#define CHUNKS 512
static struct {
  unsigned char *bytes;
  size_t length;
} chunks[CHUNKS];
static uint32_t stream, received_stream, next_chunk;
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

static size_t send_to(uint32_t to, uint32_t type) {
  wirespan_message message = {type, NULL, 0, false, NULL, 0};
  size_t length;
  message.data = body;
  message.length = size;
  must(wirespan_connection_send(client, to, &message, &context, 1, out, room, &length, NULL));
  return length;
}

static void encode_plain(void) { sink += send_to(WIRESPAN_STREAM_PLAIN, WIRESPAN_BODY_JSON); }
static void encode_later(void) { sink += send_to(stream, WIRESPAN_BODY_JSON); }
static void encode_checked(void) { sink += send_to(stream, WIRESPAN_BODY_TEXT); }
static void encode_binary(void) { sink += send_to(stream, WIRESPAN_BODY_BINARY); }

static void write_hex(char *text, const uint8_t *bytes, size_t count) {
  static const char digits[] = "0123456789abcdef";
  size_t i;
  for (i = 0; i < count; i++) {
    text[2 * i] = digits[bytes[i] >> 4];
    text[2 * i + 1] = digits[bytes[i] & 15];
  }
  text[2 * count] = 0;
}

static void encode_by_hand(void) {
  char trace_id[33], span_id[17];
  int length;
  write_hex(trace_id, context.span.trace_id, 16);
  write_hex(span_id, context.span.span_id, 8);
  length = snprintf((char *)out, room, "{\"headers\":{\"traceparent\":\"00-%s-%s-%02x\"},\"body\":%.*s}", trace_id,
                    span_id, context.span.flags, (int)size, (const char *)body);
  sink += (uint64_t)length;
}

static void decode_from(wirespan_connection *connection) {
  wirespan_received received;
  must(wirespan_connection_receive(connection, envelope, envelope_length, WIRESPAN_FORM_TEXT, 1, &received));
  if (received.context.span.span_id[0] != 0xb7 || received.payload_length != size) abort();
  sink += received.payload[0];
}

static void decode_plain(void) { decode_from(server); }
static void decode_always(void) { decode_from(always); }

static void connect_server(void);

/* A server with a call that has not been read from. */
static void begin_to_receive(void) {
  wirespan_received received;
  must(wirespan_connection_free(server));
  connect_server();
  must(wirespan_connection_receive(server, chunks[0].bytes, chunks[0].length, WIRESPAN_FORM_TEXT, 1, &received));
  received_stream = received.stream;
  must(wirespan_connection_take(server, received_stream, received.payload_length, 1));
  next_chunk = 1;
}

static void decode_later(void) {
  wirespan_received received;
  if (next_chunk == CHUNKS) begin_to_receive();
  must(wirespan_connection_receive(server, chunks[next_chunk].bytes, chunks[next_chunk].length, WIRESPAN_FORM_TEXT, 1,
                                   &received));
  if (received.stream != received_stream || received.payload_length != size) abort();
  must(wirespan_connection_take(server, received_stream, received.payload_length, 1));
  sink += received.payload[0];
  next_chunk++;
}

static void decode_by_hand(void) {
  yyjson_doc *document = yyjson_read((const char *)envelope, envelope_length, 0);
  yyjson_val *root = yyjson_doc_get_root(document);
  const char *value = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(root, "headers"), "traceparent"));
  unsigned version, flags;
  char trace_id[33], span_id[17];
  if (value == NULL || sscanf(value, "%2x-%32[0-9a-f]-%16[0-9a-f]-%2x", &version, trace_id, span_id, &flags) != 4)
    abort();
  if (yyjson_obj_get(root, "body") == NULL) abort();
  sink += (uint64_t)span_id[0] + flags;
  yyjson_doc_free(document);
}

/* The same, for those who look for the header's name and for nothing else. */
static void decode_by_strstr(void) {
  const char *value = strstr((const char *)envelope, "\"traceparent\":\"");
  char trace_id[33], span_id[17];
  if (value == NULL) abort();
  value += strlen("\"traceparent\":\"");
  memcpy(trace_id, value + 3, 32);
  memcpy(span_id, value + 36, 16);
  sink += (uint64_t)span_id[0] + (uint64_t)trace_id[0];
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
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
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

static void sort(double *values, size_t count) { qsort(values, count, sizeof *values, compare); }

/* What a row is about, and the largest ratio that is good enough, or 0. */
typedef struct what {
  const char *operation, *form, *peer, *idiom;
  double target;
} what;

static void text_field(const char *name, const char *value) {
  if (value == NULL) {
    printf(", \"%s\": null", name);
  } else {
    printf(", \"%s\": \"%s\"", name, value);
  }
}

static void row(what what, void (*product)(void), void (*rival)(void), void (*floor)(void)) {
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
  sort(of_product, 2 * ROUNDS);
  sort(of_rival, 2 * ROUNDS);
  ns = of_product[ROUNDS];
  rival_ns = of_rival[ROUNDS];
  printf("%s {\"language\": \"c\"", is_first ? "[\n" : ",\n");
  is_first = false;
  text_field("operation", what.operation);
  text_field("form", what.form);
  text_field("peer", what.peer);
  text_field("idiom", what.idiom);
  if (what.form != NULL) {
    printf(", \"size\": %zu", size);
  } else {
    printf(", \"size\": null");
  }
  printf(", \"product_ns\": %.2f, \"product_quartiles\": [%.2f, %.2f]", ns, of_product[ROUNDS / 2],
         of_product[ROUNDS + ROUNDS / 2]);
  printf(", \"idiom_ns\": %.2f, \"idiom_quartiles\": [%.2f, %.2f], \"ratio\": %.4f", rival_ns, of_rival[ROUNDS / 2],
         of_rival[ROUNDS + ROUNDS / 2], ns / rival_ns);
  if (floor != NULL) {
    sort(of_floor, ROUNDS);
    printf(", \"floor_ns\": %.2f, \"floor_ratio\": %.4f", of_floor[ROUNDS / 2], ns / of_floor[ROUNDS / 2]);
  } else {
    printf(", \"floor_ns\": null, \"floor_ratio\": null");
  }
  if (what.target > 0) {
    printf(", \"target\": %.2f, \"met\": %s}", what.target, ns / rival_ns <= what.target ? "true" : "false");
  } else {
    printf(", \"target\": null, \"met\": null}");
  }
}

static void connect_client(void) {
  static const char answer[] = "1";
  wirespan_header header = {wirespan_str_of("wirespan"), wirespan_str_of(answer)};
  wirespan_additions additions;
  must(wirespan_connection_client(NULL, NULL, NULL, &client));
  must(wirespan_connection_request(client, "localhost", false, false, NULL, &additions));
  must(wirespan_connection_open_client(client, &header, 1, 1));
  must(wirespan_connection_plan_call(client, "order", NULL, 1, &stream, NULL));
}

static wirespan_connection *accept_with(const wirespan_options *options) {
  wirespan_header header = {wirespan_str_of("wirespan"), wirespan_str_of("1")};
  wirespan_request *request = NULL;
  wirespan_connection *made = NULL;
  must(wirespan_request_new(&header, options == NULL ? 1 : 0, NULL, &request));
  must(wirespan_connection_server(options, request, NULL, NULL, WIRESPAN_VOUCH_NO_OPINION, NULL, NULL, &made));
  must(wirespan_connection_open_server(made, 1));
  must(wirespan_request_free(request));
  return made;
}

static void connect_server(void) { server = accept_with(NULL); }

static void prepare(void) {
  size_t i;
  wirespan_options *options = NULL;
  connect_client();
  for (i = 0; i < CHUNKS; i++) {
    chunks[i].length = send_to(stream, WIRESPAN_BODY_JSON);
    chunks[i].bytes = malloc(chunks[i].length);
    if (chunks[i].bytes == NULL) exit(1);
    memcpy(chunks[i].bytes, out, chunks[i].length);
  }
  connect_server();
  begin_to_receive();
  must(wirespan_options_new(&options));
  must(wirespan_options_set_text(options, "mode", "always"));
  always = accept_with(options);
  must(wirespan_options_free(options));
  envelope_length = send_to(WIRESPAN_STREAM_PLAIN, WIRESPAN_BODY_JSON);
  memcpy(envelope, out, envelope_length);
  envelope[envelope_length] = 0;
}

static void put_away(void) {
  size_t i;
  for (i = 0; i < CHUNKS; i++) free(chunks[i].bytes);
  must(wirespan_connection_free(client));
  must(wirespan_connection_free(server));
  must(wirespan_connection_free(always));
}

int main(void) {
  bool at_256;
  size_t i, largest = sizes[sizeof sizes / sizeof sizes[0] - 1];
  body = malloc(largest);
  envelope = malloc(largest + 1024);
  out = malloc(largest + 1024);
  if (body == NULL || envelope == NULL || out == NULL) return 1;
  room = largest + 1024;
  memset(&context, 0, sizeof context);
  must(wirespan_traceparent_parse(TRACEPARENT, strlen(TRACEPARENT), &context.span));
  must(wirespan_stream_metrics_new(0, false, &metrics));
  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    size = sizes[i];
    /* A JSON string: the kindest body for a parser. */
    memset(body, 'a', size);
    body[0] = body[size - 1] = '"';
    prepare();
    at_256 = size == 256;
    row((what){"encode.plain", "text", "announced", "snprintf", at_256 ? 0.35 : 0}, encode_plain, encode_by_hand,
        copy_body);
    row((what){"encode.later", "text", "announced", "snprintf", at_256 ? 0.35 : 0}, encode_later, encode_by_hand,
        copy_body);
    row((what){"encode.later", "checked text", "announced", "snprintf", 0}, encode_checked, encode_by_hand, copy_body);
    row((what){"encode.later", "binary", "announced", "snprintf", 0}, encode_binary, encode_by_hand, copy_body);
    row((what){"decode.context", "text", "announced", "yyjson and sscanf", at_256 ? 0.20 : 0}, decode_plain,
        decode_by_hand, NULL);
    row((what){"decode.context", "text", "announced", "strstr", 0}, decode_plain, decode_by_strstr, NULL);
    row((what){"decode.later", "text", "announced", "yyjson and sscanf", at_256 ? 0.20 : 0}, decode_later,
        decode_by_hand, NULL);
    row((what){"decode.context", "text", "always", "yyjson and sscanf", size == 65536 ? 2.0 : 0}, decode_always,
        decode_by_hand, NULL);
    put_away();
  }
  row((what){"record_chunk", NULL, NULL, "count, sum, min, max in a struct", 0}, record_chunk, record_chunk_by_hand,
      NULL);
  row((what){"carry", NULL, NULL, "malloc, copy, free", 0}, carry, carry_by_hand, NULL);
  printf("\n]\n");
  must(wirespan_stream_metrics_free(metrics));
  free(body);
  free(envelope);
  free(out);
  return sink == 0;
}
