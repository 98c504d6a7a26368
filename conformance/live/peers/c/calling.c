/* Calls that this side makes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "peer.h"

call *find_call(conn *on, uint32_t stream) {
  call *found = on->calls;
  while (found != NULL && found->stream != stream) found = found->next;
  return found;
}

static void forget(call *self) {
  call **at = &self->on->calls;
  body *left;
  while (*at != NULL && *at != self) at = &(*at)->next;
  if (*at != NULL) *at = self->next;
  while ((left = pop(&self->to_send)) != NULL) free(left);
  free(self);
}

/* Answers the command of a call; `calls` is answered with its last one. */
static void answer_call(call *self, const char *error) {
  json_t *command = self->command, *all;
  if (strcmp(field(command, "do"), "calls") != 0) {
    json_t *ok = json_pack("{s:o}", "replies", self->replies);
    if (error != NULL) json_object_set_new(ok, "error", json_string(error));
    answer(command, ok);
    return;
  }
  all = json_object_get(command, "all");
  json_array_set_new(all, self->batch_index, self->replies);
  json_object_set_new(command, "open", json_integer(json_integer_value(json_object_get(command, "open")) - 1));
  if (json_integer_value(json_object_get(command, "open")) == 0) {
    answer(command, json_pack("{s:O}", "replies", all));
  } else {
    json_decref(command);
  }
}

/* Sends what there is to send: all of it, or with replies in between one. */
static wirespan_status send_on(call *self, const wirespan_context *opening) {
  wirespan_status status = WIRESPAN_STATUS_OK;
  body *next;
  bool is_open = true;
  while (is_open && status == WIRESPAN_STATUS_OK && (next = pop(&self->to_send)) != NULL) {
    wirespan_message message = outgoing(next, false);
    status = wirespan_lws_send_in(self->on->lws, self->stream, &message, opening);
    opening = NULL;
    free(next);
    self->waits_for_reply = self->interleaves;
    is_open = !self->interleaves;
  }
  if (status == WIRESPAN_STATUS_OK && is_open && !self->is_ending) {
    self->is_ending = true;
    if (self->command == NULL || strcmp(field(self->command, "end"), "") == 0 ||
        strcmp(field(self->command, "end"), "normal") == 0) {
      status = wirespan_lws_end(self->on->lws, self->stream);
    }
  }
  return status;
}

wirespan_status begin_call(call *made, const char *method, const wirespan_context *parent) {
  wirespan_context opening;
  wirespan_status status =
      wirespan_lws_call(made->on->lws, method, parent != NULL ? &parent->span : NULL, &made->stream);
  if (status != WIRESPAN_STATUS_OK) {
    call_ended(made, status);
    return status;
  }
  made->next = made->on->calls;
  made->on->calls = made;
  /* The span that was started goes along, and the baggage beside it. */
  memset(&opening, 0, sizeof opening);
  if (parent != NULL) opening.baggage = parent->baggage;
  status = send_on(made, &opening);
  if (status != WIRESPAN_STATUS_OK) call_ended(made, status);
  return status;
}

/* Does what a command wants behind the first reply to all that was sent. The reader's end, which follows inside, ends
 * the call and its command. */
static void end_early(call *self) {
  const char *end = field(self->command, "end");
  if (strcmp(end, "leave") == 0) {
    wirespan_lws_leave(self->on->lws, self->stream);
  } else if (strcmp(end, "cancel") == 0) {
    wirespan_lws_cancel(self->on->lws, self->stream);
  } else if (strcmp(end, "raise") == 0) {
    wirespan_lws_fail(self->on->lws, self->stream, "Boom");
  }
}

void call_message(call *self, const wirespan_received *message) {
  if (!message->has_payload) return;
  if (self->reply != NULL) {
    self->reply(self, message);
    return;
  }
  json_array_append_new(self->replies, show_body(message->payload, message->payload_length, message->form));
  if (self->waits_for_reply) {
    wirespan_status status;
    self->waits_for_reply = false;
    status = send_on(self, NULL);
    if (status != WIRESPAN_STATUS_OK) call_ended(self, status);
  } else if (self->is_ending) {
    end_early(self);
  }
}

void call_ended(call *self, wirespan_status status) {
  const char *end = self->command != NULL ? field(self->command, "end") : "";
  bool is_own_end = strcmp(end, "cancel") == 0 || strcmp(end, "raise") == 0 || strcmp(end, "leave") == 0;
  if (status == WIRESPAN_STATUS_OK && self->stream != 0) wirespan_lws_leave(self->on->lws, self->stream);
  if (self->command != NULL) {
    bool is_error = status != WIRESPAN_STATUS_OK && !(is_own_end && status == WIRESPAN_STATUS_CANCELLED);
    answer_call(self, is_error ? wirespan_status_name(status) : NULL);
  } else if (self->done != NULL) {
    self->done(self, status);
  }
  forget(self);
}
