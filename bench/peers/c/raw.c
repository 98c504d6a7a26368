/* libwebsockets alone, and with an envelope by hand. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "peer.h"

/* A connection, of a client or of a server. */
typedef struct conn {
  unsigned char *message; /* what has come, with a final zero */
  size_t length, room;
  unsigned char *out; /* what is written next, behind LWS_PRE bytes */
  size_t out_room;
  /* The answers of a server that wait, as (text, length) with their bytes; a client sends its body again. */
  struct frame *first, *last;
  size_t to_send; /* of a client */
} conn;

typedef struct frame {
  struct frame *next;
  bool is_text;
  size_t length;
  unsigned char bytes[];
} frame;

mode raw_mode;
struct lws *raw_client;
static run *asked;

static unsigned char *out_room(conn *on, size_t length) {
  if (on->out_room < LWS_PRE + length) {
    free(on->out);
    on->out_room = LWS_PRE + length;
    on->out = malloc(on->out_room);
    if (on->out == NULL) abort();
  }
  return on->out + LWS_PRE;
}

void raw_start(run *given) {
  conn *on = lws_get_opaque_user_data(raw_client);
  asked = given;
  on->to_send = asked->window;
  asked->on_way = asked->window;
  lws_callback_on_writable(raw_client);
}

static int write_bytes(struct lws *wsi, unsigned char *bytes, size_t length, bool is_text) {
  return lws_write(wsi, bytes, length, is_text ? LWS_WRITE_TEXT : LWS_WRITE_BINARY) < (int)length ? -1 : 0;
}

static int write_of_client(conn *on, struct lws *wsi) {
  unsigned char *out;
  size_t length = asked->length;
  if (on->to_send == 0) return 0;
  out = out_room(on, length + 256);
  if (raw_mode == MODE_UNTRACED) {
    memcpy(out, asked->body, length);
  } else {
    length = by_hand_wrap(out, asked->body, length, asked->is_text, &current.span);
  }
  if (--on->to_send > 0) lws_callback_on_writable(wsi);
  return write_bytes(wsi, out, length, asked->is_text);
}

static int write_of_server(conn *on, struct lws *wsi) {
  frame *next = on->first;
  int result;
  if (next == NULL) return 0;
  result = write_bytes(wsi, next->bytes + LWS_PRE, next->length, next->is_text);
  on->first = next->next;
  if (on->first == NULL) on->last = NULL;
  free(next);
  if (on->first != NULL) lws_callback_on_writable(wsi);
  return result;
}

static void answer(conn *on, struct lws *wsi, const unsigned char *message, size_t length, bool is_text) {
  frame *made = malloc(sizeof *made + LWS_PRE + length + 256);
  if (made == NULL) abort();
  made->next = NULL;
  made->is_text = is_text;
  if (raw_mode == MODE_UNTRACED) {
    memcpy(made->bytes + LWS_PRE, message, length);
    made->length = length;
  } else {
    const unsigned char *body;
    wirespan_span_context span;
    memset(&span, 0, sizeof span);
    if (!by_hand_open(message, length, is_text, &body, &length, &span)) abort();
    made->length = by_hand_wrap(made->bytes + LWS_PRE, body, length, is_text, &span);
  }
  if (on->last != NULL) {
    on->last->next = made;
  } else {
    on->first = made;
  }
  on->last = made;
  lws_callback_on_writable(wsi);
}

static void take(conn *on, struct lws *wsi, const unsigned char *message, size_t length, bool is_text, bool is_client) {
  if (!is_client) {
    answer(on, wsi, message, length, is_text);
    return;
  }
  if (raw_mode != MODE_UNTRACED) {
    const unsigned char *body;
    wirespan_span_context span;
    memset(&span, 0, sizeof span);
    if (!by_hand_open(message, length, is_text, &body, &length, &span)) abort();
  }
  if (run_goes_on(asked)) {
    on->to_send++;
    lws_callback_on_writable(wsi);
  }
}

static int receive(conn *on, struct lws *wsi, const void *in, size_t length, bool is_client) {
  bool is_text = !lws_frame_is_binary(wsi);
  if (on->length + length + 1 > on->room) {
    unsigned char *more = realloc(on->message, on->room = (on->length + length + 1) * 2);
    if (more == NULL) return -1;
    on->message = more;
  }
  if (length > 0) memcpy(on->message + on->length, in, length);
  on->length += length;
  if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi) > 0) return 0;
  on->message[on->length] = '\0';
  take(on, wsi, on->message, on->length, is_text, is_client);
  on->length = 0;
  return 0;
}

int raw_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length) {
  conn *on = wsi != NULL ? lws_get_opaque_user_data(wsi) : NULL;
  (void)user;
  switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
      on = calloc(1, sizeof *on);
      if (on == NULL) return -1;
      lws_set_opaque_user_data(wsi, on);
      if (reason == LWS_CALLBACK_CLIENT_ESTABLISHED) raw_client = wsi;
      return 0;
    case LWS_CALLBACK_RECEIVE:
      return receive(on, wsi, in, length, false);
    case LWS_CALLBACK_CLIENT_RECEIVE:
      return receive(on, wsi, in, length, true);
    case LWS_CALLBACK_SERVER_WRITEABLE:
      return write_of_server(on, wsi);
    case LWS_CALLBACK_CLIENT_WRITEABLE:
      return write_of_client(on, wsi);
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLIENT_CLOSED:
      if (on == NULL) return 0;
      lws_set_opaque_user_data(wsi, NULL);
      while (on->first != NULL) {
        frame *gone = on->first;
        on->first = gone->next;
        free(gone);
      }
      free(on->message);
      free(on->out);
      free(on);
      return 0;
    default:
      return 0;
  }
}
