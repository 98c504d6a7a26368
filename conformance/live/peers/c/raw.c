/* Connections of libwebsockets alone: peers that know nothing of Wirespan. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

void raw_send(conn *on, body *one) {
  push(&on->out, one);
  if (on->raw != NULL) lws_callback_on_writable(on->raw);
}

static int add_headers(conn *on, struct lws *wsi, unsigned char **p, unsigned char *end) {
  json_t *pair;
  size_t index;
  json_array_foreach(on->headers, index, pair) {
    const char *name = json_string_value(json_array_get(pair, 0)), *value = json_string_value(json_array_get(pair, 1));
    char with_colon[128];
    snprintf(with_colon, sizeof with_colon, "%s:", name);
    if (lws_add_http_header_by_name(wsi, (const unsigned char *)with_colon, (const unsigned char *)value,
                                    (int)strlen(value), p, end) != 0) {
      return -1;
    }
  }
  return 0;
}

static int write_next(conn *on, struct lws *wsi) {
  body *next = pop(&on->out);
  unsigned char *room;
  int written;
  if (next == NULL) {
    if (on->closing == NULL) return 0;
    lws_close_reason(wsi, (enum lws_close_status)json_integer_value(json_object_get(on->closing, "code")), NULL, 0);
    return -1;
  }
  room = take_memory(LWS_PRE + next->length + 1);
  memcpy(room + LWS_PRE, next->bytes, next->length);
  written = lws_write(wsi, room + LWS_PRE, next->length,
                      next->form == WIRESPAN_FORM_BINARY ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
  free(room);
  free(next);
  lws_callback_on_writable(wsi);
  return written < 0 ? -1 : 0;
}

/* A whole message: a server sends it back, a client gives it to whoever asks. */
static void take_message(conn *on, wirespan_form form) {
  json_t *asked = json_array_get(on->receiving, 0);
  if (on->name == NULL) {
    raw_send(on, new_body(on->part, on->part_length, form));
  } else if (asked != NULL) {
    json_incref(asked);
    json_array_remove(on->receiving, 0);
    answer(asked, json_pack("{s:o}", "message", show_body(on->part, on->part_length, form)));
  } else {
    push(&on->arrived, new_body(on->part, on->part_length, form));
  }
  on->part_length = 0;
}

static int receive(conn *on, struct lws *wsi, const void *in, size_t length) {
  unsigned char *more = realloc(on->part, on->part_length + length + 1);
  if (more == NULL) return -1;
  on->part = more;
  if (length > 0) memcpy(on->part + on->part_length, in, length);
  on->part_length += length;
  if (lws_is_final_fragment(wsi)) {
    take_message(on, lws_frame_is_binary(wsi) ? WIRESPAN_FORM_BINARY : WIRESPAN_FORM_TEXT);
  }
  return 0;
}

static void closed(conn *on) {
  on->raw = NULL;
  on->is_closed = true;
  if (on->connecting != NULL) answer_error(on->connecting, "cannot connect");
  if (on->closing != NULL) answer(on->closing, json_object());
  on->connecting = on->closing = NULL;
}

int raw_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length) {
  conn *on = wsi != NULL ? lws_get_opaque_user_data(wsi) : NULL;
  (void)user;
  if (reason == LWS_CALLBACK_ESTABLISHED) {
    on = new_client(NULL);
    lws_set_opaque_user_data(wsi, on);
    on->raw = wsi;
    return 0;
  }
  if (on == NULL) return 0;
  switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: {
      unsigned char **p = in;
      return add_headers(on, wsi, p, *p + length);
    }
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
      on->raw = wsi;
      answer(on->connecting, json_pack("{s:s, s:s}", "session", "", "peer", "unknown"));
      on->connecting = NULL;
      return 0;
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE:
      return receive(on, wsi, in, length);
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
      return write_next(on, wsi);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLIENT_CLOSED:
      closed(on);
      return 0;
    default:
      return 0;
  }
}
