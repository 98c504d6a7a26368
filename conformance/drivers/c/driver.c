/* The driver of the C library: a line of JSON in, a line of JSON out. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
  failure how;
  wirespan_status status;
  char text[256];
} failed;

bool ok(wirespan_status status) {
  if (status == WIRESPAN_STATUS_OK) return true;
  failed.how = FAILURE_RAISED;
  failed.status = status;
  return false;
}

bool ok_or_refused(wirespan_status status) {
  wirespan_error error;
  if (ok(status)) return true;
  wirespan_last_error(&error);
  if (error.reason != NULL && error.reason[0] != '\0') {
    failed.how = FAILURE_REFUSED;
    snprintf(failed.text, sizeof failed.text, "%s", error.reason);
  }
  return false;
}

void wrong_input(const char *what) {
  failed.how = FAILURE_INPUT;
  snprintf(failed.text, sizeof failed.text, "the driver cannot read %s", what);
}

failure how_it_failed(void) { return failed.how; }

void forget_failure(void) { failed.how = FAILURE_NONE; }

/* What the operation that failed answers. */
static json_t *failure_output(void) {
  if (failed.how == FAILURE_REFUSED) return json_pack("{s:s}", "refused", failed.text);
  return json_pack("{s:s}", "raises", wirespan_status_name(failed.status));
}

typedef struct block {
  struct block *next;
  max_align_t bytes[];
} block;

static block *blocks;

void *scratch(size_t size) {
  block *made = malloc(sizeof *made + size + 1);
  if (made == NULL) abort();
  memset(made->bytes, 0, size + 1);
  made->next = blocks;
  blocks = made;
  return made->bytes;
}

char *scratch_text(const char *text, size_t length) {
  char *copy = scratch(length + 1);
  if (length > 0) memcpy(copy, text, length);
  return copy;
}

void free_scratch(void) {
  while (blocks != NULL) {
    block *gone = blocks;
    blocks = gone->next;
    free(gone);
  }
}

static const struct {
  const char *name;
  operation *run;
} OPERATIONS[] = {
    {"traceparent.parse", traceparent_parse},
    {"tracestate.parse", tracestate_parse},
    {"baggage.parse", baggage_parse},
    {"baggage.write", baggage_write},
    {"propagate", propagate},
    {"envelope.unwrap", envelope_unwrap},
    {"envelope.wrap", envelope_wrap},
    {"envelope.convert", envelope_convert},
    {"carry.to_headers", carry_to_headers},
    {"carry.from_headers", carry_from_headers},
    {"carry.plan_send", carry_plan_send},
    {"carry.plan_process", carry_plan_process},
    {"metrics", metrics},
    {"connection", connection_case},
};

static json_t *hello(void) {
  return json_pack("{s:s, s:s, s:s, s:[s], s:[s, s, s, s, s, s, s, s, s, s]}", "implementation", "wirespan", "version",
                   wirespan_version(), "language", "c", "spec", "1", "features", "traceparent", "tracestate", "baggage",
                   "propagate", "text", "binary", "convert", "connection", "carry", "metrics");
}

static json_t *run(json_t *request) {
  const char *name = field_text(request, "op");
  size_t i;
  for (i = 0; i < sizeof OPERATIONS / sizeof *OPERATIONS; i++) {
    json_t *output;
    if (name == NULL || strcmp(name, OPERATIONS[i].name) != 0) continue;
    forget_failure();
    output = OPERATIONS[i].run(json_object_get(request, "input"));
    if (output == NULL && failed.how == FAILURE_INPUT) return json_pack("{s:s}", "error", failed.text);
    return json_pack("{s:o}", "output", output != NULL ? output : failure_output());
  }
  return json_pack("{s:s}", "unsupported", name != NULL ? name : "");
}

int main(void) {
  char *line = NULL;
  size_t room = 0;
  bool is_over = false;
  while (!is_over && getline(&line, &room, stdin) > 0) {
    json_error_t error;
    json_t *request = json_loads(line, JSON_ALLOW_NUL, &error), *answer;
    const char *act = request != NULL ? field_text(request, "do") : NULL;
    if (act == NULL) {
      fprintf(stderr, "driver: %s\n", request != NULL ? "a request without do" : error.text);
      json_decref(request);
      continue;
    }
    answer = strcmp(act, "hello") == 0 ? hello() : strcmp(act, "run") == 0 ? run(request) : json_object();
    json_object_set(answer, "seq", json_object_get(request, "seq"));
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    is_over = strcmp(act, "stop") == 0;
    json_decref(answer);
    json_decref(request);
    free_scratch();
  }
  free(line);
  return 0;
}
