/* What a server serves, and a client (PEERS.md, "What a server serves"). */
/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

struct served {
  served *next;
  conn *on;
  uint32_t stream;
  char method[16];
  size_t chunks;
  server *at;
  conn *onward;                 /* of a relay */
  lws_sorted_usec_list_t timer; /* of `slow` */
};

/* An item of the queue; it goes to the worker and comes back. */
typedef struct job {
  struct job *next;
  wirespan_carry *carry;
  wirespan_span *work;
  conn *on;
  uint32_t stream;
  body *chunk;
} job;

static struct {
  pthread_mutex_t lock;
  pthread_cond_t arrived;
  pthread_t worker;
  job *waiting, *finished;
  bool is_over;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .arrived = PTHREAD_COND_INITIALIZER};

served *find_served(conn *on, uint32_t stream) {
  served *found = on->serving;
  while (found != NULL && found->stream != stream) found = found->next;
  return found;
}

static void forget(served *self) {
  served **at = &self->on->serving;
  call *each;
  lws_sul_schedule(context, 0, &self->timer, NULL, LWS_SET_TIMER_USEC_CANCEL);
  while (*at != NULL && *at != self) at = &(*at)->next;
  if (*at != NULL) *at = self->next;
  /* A call that this handler waits for has nobody to tell any more. */
  for (each = self->on->calls; each != NULL; each = each->next) {
    if (each->of == self) each->of = NULL;
  }
  if (self->onward != NULL) {
    for (each = self->onward->calls; each != NULL; each = each->next) {
      if (each->of == self) each->of = NULL;
    }
    if (self->onward->on_ready != NULL) self->onward->on_ready->of = NULL;
  }
  free(self);
}

void forget_served(conn *on) {
  while (on->serving != NULL) forget(on->serving);
}

/* The handler returns. */
static void leave(served *self) {
  wirespan_lws *lws = self->on->lws;
  uint32_t stream = self->stream;
  forget(self);
  wirespan_lws_leave(lws, stream);
}

static void give_back(served *self, const void *bytes, size_t length, wirespan_form form) {
  body *copy = new_body(bytes, length, form);
  wirespan_message message = outgoing(copy, false);
  wirespan_lws_send(self->on->lws, self->stream, &message);
  free(copy);
}

wirespan_context served_context(served *self) {
  wirespan_context parent;
  memset(&parent, 0, sizeof parent);
  wirespan_connection_span_context(wirespan_lws_connection(self->on->lws), self->stream, &parent.span);
  return parent;
}

/* The answers of a handler's own call go back on the call that it serves. */

static void pass_back(call *self, const wirespan_received *message) {
  if (self->of != NULL) give_back(self->of, message->payload, message->payload_length, message->form);
}

static void passed_back(call *self, wirespan_status status) {
  served *of = self->of;
  if (of == NULL) return;
  if (of->onward != NULL) wirespan_lws_close(of->onward->lws);
  if (status == WIRESPAN_STATUS_OK) {
    leave(of);
  } else {
    wirespan_lws *lws = of->on->lws;
    uint32_t stream = of->stream;
    forget(of);
    wirespan_lws_fail(lws, stream, wirespan_status_name(status));
  }
}

static call *call_for(served *self, conn *on, body *chunk) {
  call *made = take_memory(sizeof *made);
  made->on = on;
  made->of = self;
  made->reply = pass_back;
  made->done = passed_back;
  push(&made->to_send, chunk);
  return made;
}

static void ask(served *self, const wirespan_received *message) {
  wirespan_context parent = served_context(self);
  body *question = new_body(message->payload, message->payload_length, message->form);
  begin_call(call_for(self, self->on, question), "confirm", &parent);
}

static void relay(served *self, const wirespan_received *message) {
  json_t *order = json_loadb((const char *)message->payload, message->payload_length, 0, NULL);
  json_t *text = json_object_get(order, "text");
  wirespan_context parent = served_context(self);
  conn *onward = new_client(NULL);
  onward->on_ready =
      call_for(self, onward, new_body(json_string_value(text), json_string_length(text), WIRESPAN_FORM_TEXT));
  self->onward = onward;
  if (start_client(onward, field(order, "url"), NULL, &parent.span) != WIRESPAN_STATUS_OK) {
    wirespan_lws_fail(self->on->lws, self->stream, "io");
  }
  json_decref(order);
}

static void on_timeout(lws_sorted_usec_list_t *timer) { leave(lws_container_of(timer, served, timer)); }

/* The worker's thread. */

static void *work(void *unused) {
  (void)unused;
  pthread_mutex_lock(&queue.lock);
  for (;;) {
    job *next = queue.waiting;
    wirespan_carried carried;
    if (next == NULL) {
      if (queue.is_over) break;
      pthread_cond_wait(&queue.arrived, &queue.lock);
      continue;
    }
    queue.waiting = next->next;
    pthread_mutex_unlock(&queue.lock);
    if (wirespan_carry_restore(next->carry, wirespan_clock_ns(), &carried) == WIRESPAN_STATUS_OK) {
      wirespan_tracer_start_span(tracer, "work", WIRESPAN_SPAN_KIND_INTERNAL, &carried.context, &next->work, NULL);
    }
    wirespan_carry_free(next->carry);
    pthread_mutex_lock(&queue.lock);
    next->next = queue.finished;
    queue.finished = next;
    lws_cancel_service(context);
  }
  pthread_mutex_unlock(&queue.lock);
  return NULL;
}

void start_worker(void) { pthread_create(&queue.worker, NULL, work, NULL); }

void stop_worker(void) {
  pthread_mutex_lock(&queue.lock);
  queue.is_over = true;
  pthread_cond_signal(&queue.arrived);
  pthread_mutex_unlock(&queue.lock);
  pthread_join(queue.worker, NULL);
}

static void enqueue(served *self, const wirespan_received *message) {
  wirespan_context parent = served_context(self);
  job *made = take_memory(sizeof *made), **at = &queue.waiting;
  made->on = self->on;
  made->stream = self->stream;
  made->chunk = new_body(message->payload, message->payload_length, message->form);
  wirespan_carry_capture(&parent, NULL, NULL, NULL, wirespan_clock_ns(), &made->carry);
  pthread_mutex_lock(&queue.lock);
  while (*at != NULL) at = &(*at)->next;
  *at = made;
  pthread_cond_signal(&queue.arrived);
  pthread_mutex_unlock(&queue.lock);
}

void take_finished_jobs(void) {
  for (;;) {
    job *done;
    served *of;
    pthread_mutex_lock(&queue.lock);
    done = queue.finished;
    if (done != NULL) queue.finished = done->next;
    pthread_mutex_unlock(&queue.lock);
    if (done == NULL) return;
    of = find_served(done->on, done->stream);
    if (of != NULL) give_back(of, done->chunk->bytes, done->chunk->length, done->chunk->form);
    wirespan_span_finish(done->work, NULL);
    if (of != NULL) leave(of);
    free(done->chunk);
    free(done);
  }
}

/* Messages of calls that the peer made. */

static bool is(const served *self, const char *method) { return strcmp(self->method, method) == 0; }

static served *open_served(conn *on, const wirespan_received *message, server *accepted_by) {
  served *made = take_memory(sizeof *made);
  size_t length = message->method.length < sizeof made->method ? message->method.length : sizeof made->method - 1;
  made->on = on;
  made->stream = message->stream;
  made->at = accepted_by;
  memcpy(made->method, message->method.data, length);
  made->next = on->serving;
  on->serving = made;
  return made;
}

void serve_message(conn *on, const wirespan_received *message, server *accepted_by) {
  served *self = message->is_opening ? open_served(on, message, accepted_by) : find_served(on, message->stream);
  if (self == NULL || !message->has_payload) return;
  self->chunks++;
  if (is(self, "echo")) {
    give_back(self, message->payload, message->payload_length, message->form);
  } else if (is(self, "log") && self->at != NULL) {
    json_array_append_new(self->at->log, show_body(message->payload, message->payload_length, message->form));
  } else if (self->chunks > 1 || is(self, "count")) {
    return; /* The others want the first chunk alone, and this one their number. */
  } else if (is(self, "burst")) {
    unsigned long count = strtoul((const char *)message->payload, NULL, 10), n;
    for (n = 0; n < count; n++) {
      char text[24];
      int length = snprintf(text, sizeof text, "%lu", n);
      give_back(self, text, (size_t)length, WIRESPAN_FORM_TEXT);
    }
    leave(self);
  } else if (is(self, "confirm")) {
    give_back(self, message->payload, message->payload_length, message->form);
    leave(self);
  } else if (is(self, "fail")) {
    wirespan_lws *lws = on->lws;
    forget(self);
    wirespan_lws_fail(lws, message->stream, "Boom");
  } else if (is(self, "slow")) {
    give_back(self, message->payload, message->payload_length, message->form);
    lws_sul_schedule(context, 0, &self->timer, on_timeout, 10 * LWS_US_PER_SEC);
  } else if (is(self, "ask")) {
    ask(self, message);
  } else if (is(self, "relay")) {
    relay(self, message);
  } else if (is(self, "queue")) {
    enqueue(self, message);
  }
}

void served_ended(served *self, wirespan_status status) {
  if (status != WIRESPAN_STATUS_OK) {
    forget(self);
  } else if (is(self, "echo") || is(self, "log")) {
    leave(self);
  } else if (is(self, "count")) {
    char text[24];
    int length = snprintf(text, sizeof text, "%zu", self->chunks);
    give_back(self, text, (size_t)length, WIRESPAN_FORM_TEXT);
    leave(self);
  }
  /* The others return when they have done what they do. */
}
