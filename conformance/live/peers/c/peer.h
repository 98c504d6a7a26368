/* What the files of the C peer share; conformance/live/PEERS.md says what it is asked.
 *
 * Everything runs on the thread that calls lws_service, but for two: one reads the lines, the other is the worker
 * behind the queue. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PEER_H
#define PEER_H

#include <jansson.h> /* the lines */
#include <stdbool.h>
#include <stddef.h>

#include "wirespan_lws.h"

/* A message of the application, in memory of its own. */
typedef struct body {
  struct body *next;
  wirespan_form form;
  size_t length;
  unsigned char bytes[];
} body;

/* A list of messages. */
typedef struct bodies {
  body *first, *last;
} bodies;

/* A call that this side made, for a command or for a handler. */
typedef struct call call;
/* A call of the peer that a handler serves. */
typedef struct served served;

/* A connection, traced or of the WebSocket library alone. */
typedef struct conn {
  struct conn *next;
  char *name; /* of a client; NULL for one that was accepted, or made by a handler */
  wirespan_lws *lws;
  struct lws *raw;       /* in place of it */
  bodies out;            /* what waits for a raw connection */
  bodies arrived;        /* plain messages that nobody has asked for yet */
  json_t *arrived_spans; /* their contexts */
  unsigned char *part;   /* of a raw message that is coming in */
  size_t part_length;
  json_t *headers;    /* to add to a raw request */
  json_t *connecting; /* the command that waits until it is open */
  json_t *closing;    /* the command that waits until it is closed */
  json_t *receiving;  /* commands that wait for a plain message */
  bool is_closed;
  call *calls;
  served *serving;
  call *on_ready; /* a handler's call that waits for this connection */
  char session_id[129];
  wirespan_span_context span; /* of the resumption */
  char trace_state[512];
  char context_room[WIRESPAN_CONTEXT_BYTES]; /* of the context that is sent back */
} conn;

typedef struct server {
  struct server *next;
  char *name;
  struct lws_vhost *vhost;
  struct lws_protocols protocols[2];
  wirespan_lws_server *traced;
  wirespan_options *options;
  json_t *log;     /* what transfers brought */
  json_t *waiting; /* commands that wait for more of it */
} server;

extern struct lws_context *context;
extern wirespan_tracer *tracer;

/* Lines. `answer` takes the value over, `answer_error` what went wrong; both end the command. */
void answer(json_t *command, json_t *ok);
void answer_error(json_t *command, const char *error);
void answer_status(json_t *command, wirespan_status status);

/* Values. */
void *take_memory(size_t size);
char *copy_text(const char *text);
body *new_body(const void *bytes, size_t length, wirespan_form form);
body *read_body(json_t *message);
json_t *show_body(const void *bytes, size_t length, wirespan_form form);
void push(bodies *list, body *one);
body *pop(bodies *list);
wirespan_message outgoing(const body *one, bool last);
wirespan_options *read_options(json_t *command);
/* The context that a command runs in, whose texts live as long as `room`. */
wirespan_context read_parent(json_t *command, char room[WIRESPAN_CONTEXT_BYTES]);
const char *field(json_t *command, const char *name);
/* The traceparent of a span; NULL if there is none. */
json_t *show_span_context(const wirespan_span_context *span);

/* Connections. */
conn *conn_of(wirespan_lws *lws);
conn *new_client(const char *name);
wirespan_status start_client(conn *made, const char *url, wirespan_options *options,
                             const wirespan_span_context *parent);
conn *find_client(json_t *command);

/* Calls of this side. `reply` and `done` are for handlers; without them the call belongs to a command. */
typedef void on_reply(call *self, const wirespan_received *message);
typedef void on_done(call *self, wirespan_status status);
struct call {
  call *next;
  conn *on;
  uint32_t stream;
  bodies to_send;
  json_t *command, *replies; /* of a command */
  size_t batch_index;        /* in `calls` */
  bool interleaves, is_ending, waits_for_reply;
  on_reply *reply;
  on_done *done;
  served *of; /* the handler's call */
};
wirespan_status begin_call(call *made, const char *method, const wirespan_context *parent);
void call_message(call *self, const wirespan_received *message);
void call_ended(call *self, wirespan_status status);
call *find_call(conn *on, uint32_t stream);

/* Calls of the peer. */
void serve_message(conn *on, const wirespan_received *message, server *accepted_by);
void served_ended(served *self, wirespan_status status);
served *find_served(conn *on, uint32_t stream);
/* The SERVER span, as a parent. */
wirespan_context served_context(served *self);
void forget_served(conn *on);
void start_worker(void);
void stop_worker(void);
/* Sends back what the worker has done. */
void take_finished_jobs(void);

/* Peers that know nothing of Wirespan. */
int raw_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length);
void raw_send(conn *on, body *one);

void run_command(json_t *command);
/* Answers who waits for what transfers brought. */
void look_at_logs(void);
void free_everything(void);

#endif
