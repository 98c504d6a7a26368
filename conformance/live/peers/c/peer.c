/* The C peer of the live matrix: peer SERVICE. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

struct lws_context *context;
wirespan_tracer *tracer;

/* Lines that were read and wait for the thread of the connections. */
static struct {
  pthread_mutex_t lock;
  json_t *lines;
  bool is_over;
} input = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *read_lines(void *unused) {
  char *line = NULL;
  size_t room = 0;
  bool is_over = false;
  (void)unused;
  while (!is_over) {
    json_error_t error;
    json_t *command = getline(&line, &room, stdin) > 0 ? json_loads(line, JSON_ALLOW_NUL, &error) : NULL;
    is_over = command == NULL || strcmp(field(command, "do"), "stop") == 0;
    pthread_mutex_lock(&input.lock);
    if (is_over) {
      input.is_over = true;
      json_decref(command);
    } else {
      json_array_append_new(input.lines, command);
    }
    pthread_mutex_unlock(&input.lock);
    lws_cancel_service(context);
  }
  free(line);
  return NULL;
}

static json_t *next_command(bool *is_over) {
  json_t *command;
  pthread_mutex_lock(&input.lock);
  command = json_incref(json_array_get(input.lines, 0));
  if (command != NULL) json_array_remove(input.lines, 0);
  *is_over = input.is_over;
  pthread_mutex_unlock(&input.lock);
  return command;
}

static void write_answer(json_t *command, const char *name, json_t *value) {
  json_t *line = json_pack("{s:O, s:o}", "seq", json_object_get(command, "seq"), name, value);
  json_dumpf(line, stdout, JSON_COMPACT);
  putchar('\n');
  fflush(stdout);
  json_decref(line);
  json_decref(command);
}

void answer(json_t *command, json_t *ok) { write_answer(command, "ok", ok); }

void answer_error(json_t *command, const char *error) { write_answer(command, "error", json_string(error)); }

void answer_status(json_t *command, wirespan_status status) {
  wirespan_error error;
  if (status == WIRESPAN_STATUS_OK) {
    answer(command, json_object());
  } else {
    wirespan_last_error(&error);
    answer_error(command, error.message);
  }
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"traced", wirespan_lws_callback, 0, 65536, 0, NULL, 0},
                                                   {"raw", raw_callback, 0, 65536, 0, NULL, 0},
                                                   {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  pthread_t reader;
  bool is_over = false;
  memset(&info, 0, sizeof info);
  info.port = CONTEXT_PORT_NO_LISTEN;
  info.protocols = protocols;
  lws_set_log_level(LLL_ERR, NULL);
  context = lws_create_context(&info);
  input.lines = json_array();
  if (context == NULL || wirespan_tracer_new(argc > 1 ? argv[1] : "c", NULL, &tracer) != WIRESPAN_STATUS_OK) return 1;
  start_worker();
  pthread_create(&reader, NULL, read_lines, NULL);
  while (!is_over && lws_service(context, 0) >= 0) {
    json_t *command;
    while ((command = next_command(&is_over)) != NULL) run_command(command);
    take_finished_jobs();
    look_at_logs();
  }
  stop_worker();
  pthread_join(reader, NULL);
  lws_context_destroy(context);
  free_everything();
  json_decref(input.lines);
  wirespan_tracer_shutdown(tracer, 5000);
  wirespan_tracer_free(tracer);
  return 0;
}
