/* What the parts of the C peer share; see bench/README.md. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <libwebsockets.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wirespan.h>

typedef enum mode { MODE_UNTRACED, MODE_IDIOM, MODE_PLAIN, MODE_STREAM, MODE_CALL } mode;

/* What the orchestrator asks a client for: SIZE FORM SECONDS WINDOW. */
typedef struct run {
  unsigned char *body;
  size_t length;
  bool is_text;
  uint64_t until_ns;
  size_t window; /* how many messages are on their way at a time */
  size_t on_way;
  uint64_t round_trips;
  bool is_done;
} run;

/* One answer has come. True if another message is to be sent; otherwise the run may be done. */
bool run_goes_on(run *self);

/* The span that is current while a client runs. */
extern wirespan_context current;

/* libwebsockets alone, and with an envelope by hand. */
extern mode raw_mode;
int raw_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length);
/* The client's connection while it is open. */
extern struct lws *raw_client;
void raw_start(run *asked);

/* The envelope by hand: text with snprintf and yyjson, or a length, the header, and the payload. `out` has room for
 * `length` + 256 bytes; returns the length of the message. */
size_t by_hand_wrap(unsigned char *out, const unsigned char *body, size_t length, bool is_text,
                    const wirespan_span_context *span);
/* What is opened points into `message` or into `*held`, which by_hand_release frees. */
bool by_hand_open(const unsigned char *message, size_t length, bool is_text, const unsigned char **body,
                  size_t *body_length, wirespan_span_context *span);

#endif
