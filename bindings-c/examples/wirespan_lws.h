/* Traces a libwebsockets client with Wirespan: a small layer to copy into an application and to adapt.
 *
 * It shows what every transport has to do: put the handshake headers in, hand over whole messages, queue what the
 * connection gives, keep one timer, pause reading when asked, and say how the transport closed. Everything runs on the
 * thread that calls lws_service.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRESPAN_LWS_H
#define WIRESPAN_LWS_H

#include <libwebsockets.h>
#include <wirespan.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One client connection. */
typedef struct wirespan_lws wirespan_lws;

/* What the application is told. Every function is optional; `user` is handed to each. */
typedef struct wirespan_lws_handlers {
  void *user;
  /* The connection is open and knows what its peer speaks. */
  void (*ready)(wirespan_lws *lws, void *user);
  /* A message came. What it points to is valid until the function returns; the message then counts as taken. */
  void (*message)(wirespan_lws *lws, const wirespan_received *message, void *user);
  /* No further message of `stream` comes: WIRESPAN_STATUS_OK if the peer was done, else why. */
  void (*read_end)(wirespan_lws *lws, uint32_t stream, wirespan_status status, wirespan_str error_type, void *user);
  /* Everything queued has been given to the transport. */
  void (*drained)(wirespan_lws *lws, void *user);
  /* The transport is gone; `why` is a line for people. The connection is freed by wirespan_lws_free. */
  void (*closed)(wirespan_lws *lws, const char *why, void *user);
} wirespan_lws_handlers;

/* Where to connect. */
typedef struct wirespan_lws_target {
  const char *host;
  int port;
  const char *path;
} wirespan_lws_target;

/* Put this into the lws_protocols of the context that connects. */
int wirespan_lws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length);

/* Connects. `connection` is one that was made by wirespan_connection_client and whose handshake was planned; it now
 * belongs to the result. NULL if there is no memory; a failure to connect is told by `closed`. */
wirespan_lws *wirespan_lws_connect(struct lws_context *context, const char *protocol_name,
                                   const wirespan_lws_target *target, wirespan_connection *connection,
                                   const wirespan_lws_handlers *handlers);

/* The connection, for what this layer does not wrap; call wirespan_lws_act afterwards. */
wirespan_connection *wirespan_lws_connection(wirespan_lws *lws);

/* Acts on the events of the connection. */
void wirespan_lws_act(wirespan_lws *lws);

/* Opens a call; its span is a child of `parent`, which may be NULL. */
wirespan_status wirespan_lws_call(wirespan_lws *lws, const char *method, const wirespan_span_context *parent,
                                  uint32_t *stream);

/* Sends a message on a call, or outside every call with WIRESPAN_STREAM_PLAIN. */
wirespan_status wirespan_lws_send(wirespan_lws *lws, uint32_t stream, const wirespan_message *message);

/* Ends this side's direction of a call. */
wirespan_status wirespan_lws_end(wirespan_lws *lws, uint32_t stream);

/* Leaves a call that is done, or whose handler has returned. */
wirespan_status wirespan_lws_leave(wirespan_lws *lws, uint32_t stream);

/* Closes with code 1000 once everything queued is sent; `closed` follows. */
void wirespan_lws_close(wirespan_lws *lws);

/* Frees the connection; spans that are still open end with an error. Not from inside a handler. NULL is nothing. */
void wirespan_lws_free(wirespan_lws *lws);

#ifdef __cplusplus
}
#endif

#endif
