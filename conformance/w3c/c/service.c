/* The C service under W3C's trace-context suite; conformance/w3c/README.md says what it does.
 *
 * libmicrohttpd serves and libcurl calls: both are small, well kept, in every distribution, and show repeated header
 * fields one by one.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wirespan.h>

#define MAX_BODY_BYTES ((size_t)1024 * 1024)
#define MAX_FIELDS 256
#define CALL_TIMEOUT_S 10L
/* Of each connection: tracestate and baggage at their limits have more than 16 KiB, and there is more to hold. */
#define CONNECTION_BYTES ((size_t)128 * 1024)

/* What the service is, for every request. */
typedef struct service {
  wirespan_form through; /* the envelope on the way, or 0 */
  wirespan_tracer *tracer;
} service;

/* A request whose body is on its way. */
typedef struct incoming {
  char *body;
  size_t length;
  bool is_too_long;
} incoming;

/* A context and the memory of its texts. */
typedef struct held_context {
  wirespan_context context;
  char texts[WIRESPAN_CONTEXT_BYTES];
} held_context;

typedef struct fields {
  wirespan_header all[MAX_FIELDS];
  size_t count;
} fields;

static bool ok(wirespan_status status) {
  wirespan_error error;
  if (status == WIRESPAN_STATUS_OK) return true;
  wirespan_last_error(&error);
  fprintf(stderr, "%s\n", error.message);
  return false;
}

static enum MHD_Result add_field(void *given, enum MHD_ValueKind kind, const char *name, const char *value) {
  fields *list = given;
  (void)kind;
  if (list->count == MAX_FIELDS) return MHD_NO;
  list->all[list->count].name = wirespan_str_of(name);
  list->all[list->count].value = wirespan_str_of(value);
  list->count++;
  return MHD_YES;
}

static bool extract(const fields *list, held_context *held) {
  size_t used;
  return ok(
      wirespan_propagator_extract(list->all, list->count, held->texts, sizeof held->texts, &used, &held->context));
}

/* Keeps a context whose texts stand in memory of somebody else. */
static bool keep(const wirespan_context *shown, held_context *held) {
  size_t used;
  fields list;
  char texts[WIRESPAN_CONTEXT_BYTES];
  if (!ok(wirespan_propagator_inject(shown, texts, sizeof texts, &used, list.all, &list.count))) return false;
  return extract(&list, held);
}

/* Sends a context and a body through the envelope. What comes out of it replaces the context; the body is in new
 * memory. */
static char *forward(wirespan_form form, held_context *held, const char *body, size_t length) {
  const wirespan_body type = form == WIRESPAN_FORM_TEXT ? WIRESPAN_BODY_TEXT : WIRESPAN_BODY_BINARY;
  const size_t room = WIRESPAN_MAX_OVERHEAD + 6 * length + 2; /* a text that is no JSON may need six bytes for one */
  wirespan_head head = {0};
  wirespan_envelope envelope;
  wirespan_context arrived;
  size_t written;
  char *out = NULL;
  uint8_t *message = malloc(room);
  if (message == NULL) return NULL;
  head.span = held->context.span;
  head.baggage = held->context.baggage;
  if (ok(wirespan_envelope_write(&head, type, (const uint8_t *)body, length, message, room, &written, NULL)) &&
      ok(wirespan_envelope_read(message, written, form, WIRESPAN_PEER_ANNOUNCED, &envelope)) &&
      envelope.opened == WIRESPAN_OPENED_ENVELOPE) {
    arrived.span = envelope.head.span;
    arrived.baggage = envelope.head.baggage;
    out = malloc(envelope.body_length + 1);
    if (out != NULL && keep(&arrived, held)) {
      memcpy(out, envelope.body, envelope.body_length);
      out[envelope.body_length] = '\0';
    } else {
      free(out);
      out = NULL;
    }
  }
  free(message);
  return out;
}

static size_t discard(char *data, size_t size, size_t count, void *given) {
  (void)data;
  (void)given;
  return size * count;
}

/* Adds the headers of a context to a list; NULL if there is no memory. The list that was given is then freed. */
static struct curl_slist *add_headers(struct curl_slist *list, const wirespan_context *context) {
  wirespan_header headers[3];
  size_t count, used, i;
  char texts[WIRESPAN_CONTEXT_BYTES], line[WIRESPAN_CONTEXT_BYTES];
  if (!ok(wirespan_propagator_inject(context, texts, sizeof texts, &used, headers, &count))) count = 0;
  for (i = 0; i < count && list != NULL; i++) {
    struct curl_slist *longer;
    snprintf(line, sizeof line, "%.*s: %.*s", (int)headers[i].name.length, headers[i].name.data,
             (int)headers[i].value.length, headers[i].value.data);
    longer = curl_slist_append(list, line);
    if (longer == NULL) curl_slist_free_all(list);
    list = longer;
  }
  return list;
}

static bool post(const char *url, const char *body, const wirespan_context *context) {
  CURLcode result = CURLE_OUT_OF_MEMORY;
  CURL *curl = curl_easy_init();
  struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
  if (headers != NULL) headers = add_headers(headers, context);
  if (curl != NULL && headers != NULL) {
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, CALL_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    result = curl_easy_perform(curl);
  }
  if (result != CURLE_OK) fprintf(stderr, "%s: %s\n", url, curl_easy_strerror(result));
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  return result == CURLE_OK;
}

/* Makes one call inside its CLIENT span. */
static bool call(const service *the, const wirespan_context *parent, const cJSON *one) {
  const char *url = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "url"));
  char *body = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(one, "arguments"));
  wirespan_context context = *parent;
  wirespan_span *span;
  bool done = false;
  if (body != NULL &&
      ok(wirespan_tracer_start_span(the->tracer, "POST", WIRESPAN_SPAN_KIND_CLIENT, parent, &span, &context.span))) {
    done = post(url, body, &context);
    wirespan_span_finish(span, done ? NULL : "_OTHER");
  }
  cJSON_free(body);
  return done;
}

static bool is_list_of_calls(const cJSON *list) {
  const cJSON *one;
  if (!cJSON_IsArray(list)) return false;
  cJSON_ArrayForEach(one, list) {
    if (!cJSON_IsString(cJSON_GetObjectItemCaseSensitive(one, "url"))) return false;
    if (!cJSON_HasObjectItem(one, "arguments")) return false;
  }
  return true;
}

/* Calls what the body lists, inside the SERVER span. Returns a status of HTTP. */
static unsigned int run(const service *the, held_context *held, const char *body) {
  unsigned int status = MHD_HTTP_OK;
  wirespan_context context = held->context;
  wirespan_span *span;
  const cJSON *one;
  cJSON *list = cJSON_Parse(body);
  if (!is_list_of_calls(list)) {
    status = MHD_HTTP_BAD_REQUEST;
  } else if (!ok(wirespan_tracer_start_span(the->tracer, "POST", WIRESPAN_SPAN_KIND_SERVER, &held->context, &span,
                                            &context.span))) {
    status = MHD_HTTP_INTERNAL_SERVER_ERROR;
  } else {
    cJSON_ArrayForEach(one, list) {
      if (!call(the, &context, one)) status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    wirespan_span_finish(span, status == MHD_HTTP_OK ? NULL : "_OTHER");
  }
  cJSON_Delete(list);
  return status;
}

static unsigned int serve_request(const service *the, struct MHD_Connection *connection, const incoming *request) {
  fields list = {.count = 0};
  held_context held;
  unsigned int status = MHD_HTTP_INTERNAL_SERVER_ERROR;
  char *forwarded;
  MHD_get_connection_values(connection, MHD_HEADER_KIND, add_field, &list);
  if (!extract(&list, &held)) return status;
  if (the->through == 0) return run(the, &held, request->body);
  forwarded = forward(the->through, &held, request->body, request->length);
  if (forwarded != NULL) status = run(the, &held, forwarded);
  free(forwarded);
  return status;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int status) {
  const char *text = status == MHD_HTTP_OK ? "{}" : "";
  enum MHD_Result result;
  struct MHD_Response *response =
      MHD_create_response_from_buffer(strlen(text), (void *)(size_t)text, MHD_RESPMEM_PERSISTENT);
  if (response == NULL) return MHD_NO;
  if (status == MHD_HTTP_OK) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
  result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result;
}

static void add_to_body(incoming *request, const char *data, size_t length) {
  char *longer = NULL;
  if (request->length + length <= MAX_BODY_BYTES) longer = realloc(request->body, request->length + length + 1);
  if (longer == NULL) {
    request->is_too_long = true;
    return;
  }
  memcpy(longer + request->length, data, length);
  request->body = longer;
  request->length += length;
  longer[request->length] = '\0';
}

/* Called with the head of a request, then with each part of its body, then without one. */
static enum MHD_Result handle(void *given, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *length, void **state) {
  incoming *request = *state;
  (void)url;
  (void)version;
  if (request == NULL) {
    *state = request = calloc(1, sizeof *request);
    return request != NULL ? MHD_YES : MHD_NO;
  }
  if (*length > 0) {
    add_to_body(request, data, *length);
    *length = 0;
    return MHD_YES;
  }
  if (strcmp(method, MHD_HTTP_METHOD_POST) != 0) return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED);
  if (request->is_too_long) return answer(connection, MHD_HTTP_CONTENT_TOO_LARGE);
  if (request->body == NULL) return answer(connection, MHD_HTTP_BAD_REQUEST);
  return answer(connection, serve_request(given, connection, request));
}

static void completed(void *given, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code) {
  incoming *request = *state;
  (void)given;
  (void)connection;
  (void)code;
  if (request != NULL) free(request->body);
  free(request);
  *state = NULL;
}

/* The form of the envelope on the way: 0 for none, -1 for arguments that are wrong. */
static int through_of(int count, char **arguments) {
  if (count == 1) return 0;
  if (count != 3 || strcmp(arguments[1], "--through") != 0) return -1;
  if (strcmp(arguments[2], "direct") == 0) return 0;
  if (strcmp(arguments[2], "text") == 0) return WIRESPAN_FORM_TEXT;
  return strcmp(arguments[2], "binary") == 0 ? WIRESPAN_FORM_BINARY : -1;
}

int main(int count, char **arguments) {
  const struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int through = through_of(count, arguments);
  service the = {0};
  struct MHD_Daemon *daemon;
  if (through < 0) {
    fprintf(stderr, "usage: %s [--through direct|text|binary]\n", arguments[0]);
    return 2;
  }
  the.through = (wirespan_form)through;
  curl_global_init(CURL_GLOBAL_DEFAULT);
  if (!ok(wirespan_tracer_new("w3c", NULL, &the.tracer))) return 1;
  /* A thread for each connection: calls block. */
  daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle,
                            &the, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES,
                            MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_END);
  if (daemon == NULL) return 1;
  printf("listening on %u\n", (unsigned)MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
  fflush(stdout);

  /* Serves until the standard input ends, so that no service outlives who started it. */
  while (getchar() != EOF) continue;
  MHD_stop_daemon(daemon);
  wirespan_tracer_free(the.tracer);
  curl_global_cleanup();
  return 0;
}
