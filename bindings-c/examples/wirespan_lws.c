/* See wirespan_lws.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "wirespan_lws_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest message that is taken, in bytes. */
#define MAX_MESSAGE_BYTES (16u * 1024u * 1024u)

wirespan_lws *wirespan_lws_new(wirespan_connection *connection, const wirespan_lws_handlers *handlers) {
  wirespan_lws *lws = calloc(1, sizeof *lws);
  if (lws == NULL) return NULL;
  lws->connection = connection;
  lws->armed_ns = UINT64_MAX;
  lws->handlers = *handlers;
  wirespan_connection_set_methods(connection, handlers->methods, handlers->method_count);
  return lws;
}

static wirespan_lws_frame *new_frame(wirespan_form form, size_t room) {
  wirespan_lws_frame *made = malloc(sizeof *made + LWS_PRE + room);
  if (made != NULL) {
    made->next = NULL;
    made->form = form;
    made->length = 0;
  }
  return made;
}

static void queue(wirespan_lws *lws, wirespan_lws_frame *made) {
  if (lws->last != NULL) {
    lws->last->next = made;
  } else {
    lws->first = made;
  }
  lws->last = made;
  lws->queued_bytes += made->length;
  if (lws->wsi != NULL) lws_callback_on_writable(lws->wsi);
}

static void drop_queue(wirespan_lws *lws) {
  while (lws->first != NULL) {
    wirespan_lws_frame *gone = lws->first;
    lws->first = gone->next;
    free(gone);
  }
  lws->last = NULL;
  lws->queued_bytes = 0;
}

/* Arms the timer where something is due earlier than it fires. One that fires early does no harm: it is set anew then.
 * It is never cancelled: libwebsockets 4.1 takes LWS_SET_TIMER_USEC_CANCEL for a time that has passed, and fires at
 * once. */
static void set_timer(wirespan_lws *lws) {
  uint64_t deadline_ns, now_ns;
  if (lws->wsi == NULL || lws->is_closed) return;
  if (wirespan_connection_next_deadline(lws->connection, &deadline_ns) != WIRESPAN_STATUS_OK) return;
  if (deadline_ns >= lws->armed_ns) return;
  lws->armed_ns = deadline_ns;
  now_ns = wirespan_clock_ns();
  /* A microsecond more, so that it is due when the timer fires. */
  lws_set_timer_usecs(lws->wsi, (lws_usec_t)((deadline_ns > now_ns ? deadline_ns - now_ns : 0) / 1000 + 1));
}

void wirespan_lws_now_ready(wirespan_lws *lws) {
  if (lws->is_ready) return;
  lws->is_ready = true;
  if (lws->handlers.ready != NULL) lws->handlers.ready(lws, lws->handlers.user);
}

/* Acts on what the connection asks for, until it asks for nothing more. */
void wirespan_lws_act(wirespan_lws *lws) {
  wirespan_event event;
  while (wirespan_connection_poll_event(lws->connection, &event) == WIRESPAN_STATUS_OK &&
         event.event_type != WIRESPAN_EVENT_TYPE_NONE) {
    switch (event.event_type) {
      case WIRESPAN_EVENT_TYPE_FRAME: {
        wirespan_lws_frame *made = lws->is_closed ? NULL : new_frame(event.form, event.length);
        if (made != NULL) {
          memcpy(made->bytes + LWS_PRE, event.data, event.length);
          made->length = event.length;
          queue(lws, made);
        }
        break;
      }
      case WIRESPAN_EVENT_TYPE_READ_END:
        if (lws->handlers.read_end != NULL && event.stream != lws->refused) {
          /* The handler may use the connection, which ends the life of the event's text. */
          char type[160];
          wirespan_str error_type;
          int length = (int)(event.text.length < sizeof type ? event.text.length : sizeof type - 1);
          snprintf(type, sizeof type, "%.*s", length, length > 0 ? event.text.data : "");
          error_type = wirespan_str_of(type);
          lws->handlers.read_end(lws, event.stream, event.read_status, error_type, lws->handlers.user);
        }
        break;
      case WIRESPAN_EVENT_TYPE_PAUSE_READING:
        if (lws->wsi != NULL) lws_rx_flow_control(lws->wsi, 0);
        break;
      case WIRESPAN_EVENT_TYPE_RESUME_READING:
        if (lws->wsi != NULL) lws_rx_flow_control(lws->wsi, 1);
        break;
      case WIRESPAN_EVENT_TYPE_READY:
        wirespan_lws_now_ready(lws);
        break;
      default:
        break; /* The tracer or the callbacks have acted on what concerns spans. */
    }
  }
  set_timer(lws);
}

wirespan_connection *wirespan_lws_connection(wirespan_lws *lws) { return lws->connection; }

wirespan_status wirespan_lws_call(wirespan_lws *lws, const char *method, const wirespan_span_context *parent,
                                  uint32_t *stream) {
  return wirespan_connection_plan_call(lws->connection, method, parent, wirespan_clock_ns(), stream, NULL);
}

wirespan_status wirespan_lws_transfer(wirespan_lws *lws, const char *method, const wirespan_span_context *parent,
                                      uint32_t *stream) {
  return wirespan_connection_plan_transfer(lws->connection, method, parent, wirespan_clock_ns(), stream, NULL);
}

wirespan_status wirespan_lws_send(wirespan_lws *lws, uint32_t stream, const wirespan_message *message) {
  return wirespan_lws_send_in(lws, stream, message, NULL);
}

wirespan_status wirespan_lws_send_in(wirespan_lws *lws, uint32_t stream, const wirespan_message *message,
                                     const wirespan_context *context) {
  size_t room = message->length + 512, needed = 0;
  for (;;) {
    wirespan_form form;
    wirespan_status status;
    wirespan_lws_frame *made = new_frame(WIRESPAN_FORM_TEXT, room);
    if (made == NULL) return WIRESPAN_STATUS_LIMIT;
    status = wirespan_connection_send(lws->connection, stream, message, context, wirespan_clock_ns(),
                                      made->bytes + LWS_PRE, room, &needed, &form);
    if (status == WIRESPAN_STATUS_OK) {
      made->form = form;
      made->length = needed;
      queue(lws, made);
      /* Inside the handler of a message, what follows from this is done behind it. */
      if (!lws->is_receiving) wirespan_lws_act(lws);
      return status;
    }
    free(made);
    if (status != WIRESPAN_STATUS_BUFFER_TOO_SMALL) return status;
    room = needed;
  }
}

wirespan_status wirespan_lws_end(wirespan_lws *lws, uint32_t stream) {
  wirespan_status status = wirespan_connection_end(lws->connection, stream, NULL, wirespan_clock_ns());
  wirespan_lws_act(lws);
  return status;
}

wirespan_status wirespan_lws_leave(wirespan_lws *lws, uint32_t stream) {
  wirespan_status status = wirespan_connection_leave(lws->connection, stream, wirespan_clock_ns());
  wirespan_lws_act(lws);
  return status;
}

wirespan_status wirespan_lws_cancel(wirespan_lws *lws, uint32_t stream) {
  wirespan_status status = wirespan_connection_cancel(lws->connection, stream, wirespan_clock_ns());
  wirespan_lws_act(lws);
  return status;
}

wirespan_status wirespan_lws_fail(wirespan_lws *lws, uint32_t stream, const char *error_type) {
  wirespan_status status = wirespan_connection_fail(lws->connection, stream, error_type, wirespan_clock_ns());
  wirespan_lws_act(lws);
  return status;
}

wirespan_status wirespan_lws_take(wirespan_lws *lws, uint32_t stream, size_t length) {
  wirespan_status status = wirespan_connection_take(lws->connection, stream, length, wirespan_clock_ns());
  wirespan_lws_act(lws);
  return status;
}

size_t wirespan_lws_queued_bytes(const wirespan_lws *lws) { return lws->queued_bytes; }

void wirespan_lws_set_data(wirespan_lws *lws, void *data) { lws->data = data; }

void *wirespan_lws_data(const wirespan_lws *lws) { return lws->data; }

void wirespan_lws_close(wirespan_lws *lws) { wirespan_lws_close_with(lws, 1000, NULL); }

void wirespan_lws_close_with(wirespan_lws *lws, uint16_t code, const char *reason) {
  if (lws->is_closing) return;
  lws->is_closing = true;
  lws->own_close_code = code;
  snprintf(lws->own_close_reason, sizeof lws->own_close_reason, "%s", reason != NULL ? reason : "");
  if (lws->wsi != NULL) lws_callback_on_writable(lws->wsi);
}

void wirespan_lws_now_closed(wirespan_lws *lws, const char *why) {
  if (lws->is_closed) return;
  lws->is_closed = true;
  lws->wsi = NULL;
  drop_queue(lws);
  wirespan_lws_act(lws);
  if (lws->handlers.closed != NULL) lws->handlers.closed(lws, why, lws->handlers.user);
}

int wirespan_lws_add_headers(struct lws *wsi, const wirespan_additions *additions, unsigned char **p,
                             unsigned char *end) {
  size_t i;
  for (i = 0; i < additions->header_count; i++) {
    const wirespan_header *header = &additions->headers[i];
    char name[64];
    snprintf(name, sizeof name, "%.*s:", (int)header->name.length, header->name.data);
    if (lws_add_http_header_by_name(wsi, (const unsigned char *)name, (const unsigned char *)header->value.data,
                                    (int)header->value.length, p, end) != 0) {
      return -1;
    }
  }
  return 0;
}

static int add_to_request(wirespan_lws *lws, struct lws *wsi, unsigned char **p, unsigned char *end) {
  wirespan_additions additions;
  if (wirespan_connection_request(lws->connection, lws->host, false, false, NULL, &additions) != WIRESPAN_STATUS_OK) {
    return 0; /* Telemetry fails nothing: connect without. */
  }
  return wirespan_lws_add_headers(wsi, &additions, p, end);
}

/* The answer's headers can be read only now; the connection opens with them. */
static void open_connection(wirespan_lws *lws, struct lws *wsi) {
  static const char name[] = "wirespan:";
  char value[512];
  wirespan_header header = {wirespan_str_of("wirespan"), {NULL, 0}};
  int length = lws_hdr_custom_copy(wsi, value, sizeof value, name, (int)sizeof name - 1);
  if (length > 0) {
    header.value.data = value;
    header.value.length = (size_t)length;
  }
  wirespan_connection_open_client(lws->connection, &header, length > 0 ? 1 : 0, wirespan_clock_ns());
}

static int receive(wirespan_lws *lws, struct lws *wsi, const void *in, size_t length) {
  const unsigned char *whole = in;
  wirespan_received received;
  uint32_t form = lws_frame_is_binary(wsi) ? WIRESPAN_FORM_BINARY : WIRESPAN_FORM_TEXT;
  bool is_first = lws_is_first_fragment(wsi) != 0, is_final = lws_is_final_fragment(wsi) != 0;
  if (is_first) lws->message_length = 0;
  if (!is_first || !is_final) {
    /* One context belongs to one message, never to a fragment: put it together first. */
    if (length > MAX_MESSAGE_BYTES - lws->message_length) return -1;
    if (lws->message_length + length > lws->message_room) {
      size_t room = (lws->message_length + length) * 2;
      unsigned char *more = realloc(lws->message, room);
      if (more == NULL) return -1;
      lws->message = more;
      lws->message_room = room;
    }
    if (length > 0) memcpy(lws->message + lws->message_length, in, length);
    lws->message_length += length;
    if (!is_final) return 0;
    whole = lws->message;
    length = lws->message_length;
  }
  if (wirespan_connection_receive(lws->connection, whole, length, form, wirespan_clock_ns(), &received) ==
      WIRESPAN_STATUS_OK) {
    uint32_t stream = received.stream;
    size_t taken = received.payload_length;
    bool has_payload = received.has_payload, is_served = true;
    if (received.is_opening && !received.is_registered && !lws->handlers.serves_others) {
      is_served = false;
      lws->refused = stream;
      wirespan_connection_fail(lws->connection, stream, "unknown_method", wirespan_clock_ns());
    } else if (lws->handlers.message != NULL) {
      lws->is_receiving = true;
      lws->handlers.message(lws, &received, lws->handlers.user);
      lws->is_receiving = false;
    }
    if (has_payload && !(is_served && lws->handlers.keeps_unread)) {
      wirespan_connection_take(lws->connection, stream, taken, wirespan_clock_ns());
    }
  }
  wirespan_lws_act(lws);
  lws->refused = WIRESPAN_STREAM_PLAIN;
  return 0;
}

static int write_next(wirespan_lws *lws, struct lws *wsi) {
  wirespan_lws_frame *next = lws->first;
  if (next != NULL) {
    int written = lws_write(wsi, next->bytes + LWS_PRE, next->length,
                            next->form == WIRESPAN_FORM_BINARY ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
    if (written < (int)next->length) return -1;
    lws->first = next->next;
    lws->queued_bytes -= next->length;
    if (lws->first == NULL) lws->last = NULL;
    free(next);
  }
  if (lws->first == NULL && !lws->is_closing && lws->handlers.drained != NULL) {
    lws->handlers.drained(lws, lws->handlers.user);
  }
  if (lws->first != NULL) {
    lws_callback_on_writable(wsi);
  } else if (lws->is_closing) {
    lws_close_reason(wsi, (enum lws_close_status)lws->own_close_code, (unsigned char *)lws->own_close_reason,
                     strlen(lws->own_close_reason));
    return -1;
  }
  return 0;
}

static void note_close_frame(wirespan_lws *lws, const unsigned char *in, size_t length) {
  if (length < 2) {
    lws->close_code = 1005;
    return;
  }
  lws->close_code = (uint16_t)((in[0] << 8) | in[1]);
  lws->close_reason_length = length - 2 < sizeof lws->close_reason ? length - 2 : sizeof lws->close_reason - 1;
  memcpy(lws->close_reason, in + 2, lws->close_reason_length);
}

/* How a connection that was open has ended. */
static void lost(wirespan_lws *lws) {
  char why[64];
  if (lws->is_closing && lws->close_code == 0) lws->close_code = lws->own_close_code;
  wirespan_connection_on_close(lws->connection, lws->close_code, lws->close_reason, lws->close_reason_length,
                               wirespan_clock_ns());
  if (lws->close_code != 0) {
    snprintf(why, sizeof why, "closed with code %u", (unsigned)lws->close_code);
  } else {
    snprintf(why, sizeof why, "the connection was lost");
  }
  wirespan_lws_now_closed(lws, why);
}

void wirespan_lws_established(wirespan_lws *lws, struct lws *wsi) {
  wirespan_connection_state state;
  lws->wsi = wsi;
  /* It may have been told to close before it was open. */
  if (lws->is_closing) lws_callback_on_writable(wsi);
  wirespan_lws_act(lws);
  if (wirespan_connection_read_state(lws->connection, &state) == WIRESPAN_STATUS_OK && state.is_ready) {
    wirespan_lws_now_ready(lws);
  }
}

int wirespan_lws_serve_open(wirespan_lws *lws, struct lws *wsi, enum lws_callback_reasons reason, void *in,
                            size_t length) {
  switch (reason) {
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE:
      return receive(lws, wsi, in, length);
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
      return write_next(lws, wsi);
    case LWS_CALLBACK_TIMER:
      lws->armed_ns = UINT64_MAX;
      wirespan_connection_on_time(lws->connection, wirespan_clock_ns());
      wirespan_lws_act(lws);
      return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
      note_close_frame(lws, in, length);
      return 0;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLIENT_CLOSED:
      lost(lws);
      return 0;
    default:
      return 0;
  }
}

int wirespan_lws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length) {
  wirespan_lws *lws = lws_get_opaque_user_data(wsi);
  (void)user;
  if (lws == NULL) return 0;
  switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: {
      unsigned char **p = in;
      return add_to_request(lws, wsi, p, *p + length);
    }
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
      open_connection(lws, wsi);
      return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
      wirespan_lws_established(lws, wsi);
      return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR: {
      char why[256];
      snprintf(why, sizeof why, "cannot connect: %.*s", in != NULL ? (int)(length < 200 ? length : 200) : 0,
               in != NULL ? (const char *)in : "");
      wirespan_connection_fail_handshake(lws->connection, "io");
      /* Where the answer had come already, the handshake is over and this is a loss. */
      wirespan_connection_on_close(lws->connection, 0, NULL, 0, wirespan_clock_ns());
      wirespan_lws_now_closed(lws, why);
      return 0;
    }
    default:
      return wirespan_lws_serve_open(lws, wsi, reason, in, length);
  }
}

wirespan_lws *wirespan_lws_connect(struct lws_context *context, const char *protocol_name,
                                   const wirespan_lws_target *target, wirespan_connection *connection,
                                   const wirespan_lws_handlers *handlers) {
  /* A peer that is gone without a word is noticed by pings. */
  static const lws_retry_bo_t liveness = {.secs_since_valid_ping = 10, .secs_since_valid_hangup = 20};
  struct lws_client_connect_info info;
  wirespan_lws *lws = wirespan_lws_new(connection, handlers);
  if (lws == NULL) return NULL;
  snprintf(lws->host, sizeof lws->host, "%s", target->host);
  memset(&info, 0, sizeof info);
  info.context = context;
  info.address = target->host;
  info.port = target->port;
  info.path = target->path;
  info.host = target->host;
  info.origin = target->host;
  info.ssl_connection = target->ssl_flags;
  info.vhost = target->vhost;
  info.protocol = NULL;
  info.local_protocol_name = protocol_name;
  info.retry_and_idle_policy = &liveness;
  info.opaque_user_data = lws;
  /* Where this fails, libwebsockets may have called back already. */
  if (lws_client_connect_via_info(&info) == NULL && !lws->is_closed) {
    wirespan_connection_fail_handshake(connection, "io");
    wirespan_lws_now_closed(lws, "cannot connect");
  }
  return lws;
}

void wirespan_lws_free(wirespan_lws *lws) {
  if (lws == NULL) return;
  if (lws->wsi != NULL) lws_set_opaque_user_data(lws->wsi, NULL);
  drop_queue(lws);
  wirespan_connection_free(lws->connection);
  free(lws->message);
  free(lws);
}
