/* What the files of this layer share. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRESPAN_LWS_PRIVATE_H
#define WIRESPAN_LWS_PRIVATE_H

#include "wirespan_lws.h"

/* A message that waits for the transport; its bytes follow LWS_PRE bytes of room. */
typedef struct wirespan_lws_frame {
  struct wirespan_lws_frame *next;
  wirespan_form form;
  size_t length;
  unsigned char bytes[];
} wirespan_lws_frame;

struct wirespan_lws {
  struct lws *wsi; /* while it is open */
  wirespan_connection *connection;
  wirespan_lws_handlers handlers;
  void *data; /* of the application */
  wirespan_lws_frame *first, *last;
  size_t queued_bytes;
  uint64_t armed_ns;      /* when the timer fires; UINT64_MAX if it is not set */
  unsigned char *message; /* what has come of a fragmented message */
  size_t message_length, message_room;
  char host[256];
  uint16_t own_close_code;
  char own_close_reason[124];
  uint16_t close_code; /* of the peer's close frame, or 0 */
  char close_reason[124];
  size_t close_reason_length;
  bool is_ready, is_closing, is_closed;
  bool is_receiving; /* a handler runs, behind which `wirespan_lws_act` is called */
  uint32_t refused;  /* a stream that nobody serves, of which the application is told nothing */
  /* Of a connection that a server accepted. */
  wirespan_lws_server *server;
  wirespan_lws *next;
  wirespan_request *request; /* until it is open */
  uint64_t id;
};

/* NULL if there is no memory; the connection is then still the caller's. */
wirespan_lws *wirespan_lws_new(wirespan_connection *connection, const wirespan_lws_handlers *handlers);
int wirespan_lws_add_headers(struct lws *wsi, const wirespan_additions *additions, unsigned char **p,
                             unsigned char *end);
void wirespan_lws_established(wirespan_lws *lws, struct lws *wsi);
void wirespan_lws_now_ready(wirespan_lws *lws);
void wirespan_lws_now_closed(wirespan_lws *lws, const char *why);
/* The callbacks of a connection that is open, of either side. */
int wirespan_lws_serve_open(wirespan_lws *lws, struct lws *wsi, enum lws_callback_reasons reason, void *in,
                            size_t length);

#endif
