/* Traces libwebsockets clients and servers with Wirespan: a small layer to build into an application, and to adapt.
 *
 * It does what every transport has to do: puts the handshake headers in, hands over whole messages, queues what the
 * connection gives, keeps one timer, pauses reading when asked, and says how the transport closed. A client needs
 * wirespan_lws.c, a server wirespan_lws_server.c as well. Everything runs on the thread that calls lws_service.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRESPAN_LWS_H
#define WIRESPAN_LWS_H

#include <libwebsockets.h>
#include <wirespan.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One connection, of a client or accepted by a server. */
typedef struct wirespan_lws wirespan_lws;

/* What the application serves and what it is told. Everything is optional; `user` is handed to each function. */
typedef struct wirespan_lws_handlers {
  void *user;
  /* The connection is open and knows what its peer speaks. */
  void (*ready)(wirespan_lws *lws, void *user);
  /* A message came; the first one of a peer's call has `is_opening`. What it points to is valid until the function
   * returns; the message then counts as taken, unless `keeps_unread`. */
  void (*message)(wirespan_lws *lws, const wirespan_received *message, void *user);
  /* No further message of `stream` comes: WIRESPAN_STATUS_OK if the peer was done, else why. */
  void (*read_end)(wirespan_lws *lws, uint32_t stream, wirespan_status status, wirespan_str error_type, void *user);
  /* Everything queued has been given to the transport. */
  void (*drained)(wirespan_lws *lws, void *user);
  /* The transport is gone; `why` is a line for people. A client's connection is then freed by wirespan_lws_free, one of
   * a server frees itself when this returns. */
  void (*closed)(wirespan_lws *lws, const char *why, void *user);
  /* The methods that are served; only these can name a span. They must live as long as the connection. */
  const char *const *methods;
  size_t method_count;
  /* Serves every other method as well; without, it is answered `unknown_method` and not handed over. */
  bool serves_others;
  /* The application says by wirespan_lws_take when it has read a message; what is unread is bounded, and reading
   * pauses. */
  bool keeps_unread;
} wirespan_lws_handlers;

/* Where to connect. */
typedef struct wirespan_lws_target {
  const char *host;
  int port;
  const char *path;
  int ssl_flags;           /* LCCSCF_USE_SSL and its like for wss, else 0 */
  struct lws_vhost *vhost; /* NULL takes the context's first one */
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

/* Opens a transfer: one-way data without a reply. As wirespan_lws_call. */
wirespan_status wirespan_lws_transfer(wirespan_lws *lws, const char *method, const wirespan_span_context *parent,
                                      uint32_t *stream);

/* Sends a message on a call or transfer, or outside every stream with WIRESPAN_STREAM_PLAIN. */
wirespan_status wirespan_lws_send(wirespan_lws *lws, uint32_t stream, const wirespan_message *message);

/* The same with the context that goes along: for a plain message that of the span that is current, and baggage. */
wirespan_status wirespan_lws_send_in(wirespan_lws *lws, uint32_t stream, const wirespan_message *message,
                                     const wirespan_context *context);

/* Ends this side's direction of a call. */
wirespan_status wirespan_lws_end(wirespan_lws *lws, uint32_t stream);

/* Leaves a call that is done, or whose handler has returned. */
wirespan_status wirespan_lws_leave(wirespan_lws *lws, uint32_t stream);

/* Cancels a call, which is no error. */
wirespan_status wirespan_lws_cancel(wirespan_lws *lws, uint32_t stream);

/* Ends a call with an error of a type, such as `SoldOut`. */
wirespan_status wirespan_lws_fail(wirespan_lws *lws, uint32_t stream, const char *error_type);

/* Says that the application has read a message of so many bytes (`keeps_unread`). */
wirespan_status wirespan_lws_take(wirespan_lws *lws, uint32_t stream, size_t length);

/* Number of bytes that wait for the transport. Who sends without end looks at it, and goes on in `drained`. */
size_t wirespan_lws_queued_bytes(const wirespan_lws *lws);

/* What the application keeps with a connection; NULL at first. */
void wirespan_lws_set_data(wirespan_lws *lws, void *data);
void *wirespan_lws_data(const wirespan_lws *lws);

/* Closes with code 1000 once everything queued is sent; `closed` follows. */
void wirespan_lws_close(wirespan_lws *lws);

/* The same with another code, and a reason of at most 123 bytes, or NULL. */
void wirespan_lws_close_with(wirespan_lws *lws, uint16_t code, const char *reason);

/* Frees a client's connection; spans that are still open end with an error. Not from inside a handler. NULL is nothing.
 */
void wirespan_lws_free(wirespan_lws *lws);

/* Accepts connections; see wirespan_lws_server_new. */
typedef struct wirespan_lws_server wirespan_lws_server;

/* What a server does. All that is pointed to must live as long as the server, the options excepted. */
typedef struct wirespan_lws_service {
  /* For each connection. */
  wirespan_lws_handlers handlers;
  /* Of each connection; NULL for the defaults. */
  const wirespan_options *options;
  /* What makes the spans: the built-in tracer, or callbacks. With neither there are none. */
  const wirespan_tracer *tracer;
  const wirespan_span_callbacks *callbacks;
  /* The sessions, where several servers share them; NULL makes some of this server's own. */
  const wirespan_registry *registry;
  /* Says whether a client may use the session id that it proposes. NULL: it may if nobody has it and trust is
   * `continue`. */
  bool (*vouch)(const wirespan_request *request, const char *session_id, void *user);
} wirespan_lws_service;

/* Makes a server. Put it as `user` into an entry of lws_protocols whose callback is wirespan_lws_server_callback, and
 * create a context that listens. NULL if there is no memory. */
wirespan_lws_server *wirespan_lws_server_new(const wirespan_lws_service *service);

/* The callback of the entry of lws_protocols. libwebsockets itself refuses a client whose subprotocols name no entry.
 */
int wirespan_lws_server_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                                 size_t length);

/* Closes every connection with code 1001; `closed` follows for each. */
void wirespan_lws_server_close(wirespan_lws_server *server);

/* Number of connections. */
size_t wirespan_lws_server_connections(const wirespan_lws_server *server);

/* Frees a server, after its lws_context was destroyed. NULL is nothing. */
void wirespan_lws_server_free(wirespan_lws_server *server);

#ifdef __cplusplus
}
#endif

#endif
