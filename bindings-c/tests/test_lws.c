/* The layer over libwebsockets, both ends in one process: sessions that move, readers that are behind, closing. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "wirespan_lws.h"

static struct lws_context *context;
static wirespan_lws_server *server;
static int port;
static lws_sorted_usec_list_t alarm_clock;

static void on_alarm(lws_sorted_usec_list_t *at) { (void)at; }

/* What the server's application has not read yet. */
static struct {
  wirespan_lws *lws;
  uint32_t stream;
  size_t unread, lengths[64], received;
  bool is_read_at_once;
} held;

typedef struct client {
  wirespan_lws *lws;
  bool is_ready, is_closed;
  char why[64], error_type[64];
  wirespan_status ended;
  char session[129];
  size_t replies;
} client;

static void serve_message(wirespan_lws *lws, const wirespan_received *message, void *user) {
  (void)user;
  if (!message->has_payload) return;
  held.lws = lws;
  held.stream = message->stream;
  held.received++;
  CHECK(message->form == WIRESPAN_FORM_BINARY && held.unread < 64);
  if (held.is_read_at_once) {
    OK(wirespan_lws_take(lws, message->stream, message->payload_length));
  } else {
    held.lengths[held.unread++] = message->payload_length;
  }
}

static void serve_end(wirespan_lws *lws, uint32_t stream, wirespan_status status, wirespan_str type, void *user) {
  (void)user;
  (void)type;
  if (status == WIRESPAN_STATUS_OK) OK(wirespan_lws_leave(lws, stream));
}

/* The one session that clients may continue. */
static bool vouch(const wirespan_request *request, const char *session_id, void *user) {
  (void)user;
  CHECK(request != NULL);
  return strcmp(session_id, "mine") == 0;
}

static void on_ready(wirespan_lws *lws, void *user) {
  client *self = user;
  self->is_ready = true;
  OK(wirespan_connection_session_id(wirespan_lws_connection(lws), self->session, sizeof self->session, NULL));
}

static void on_end(wirespan_lws *lws, uint32_t stream, wirespan_status status, wirespan_str type, void *user) {
  client *self = user;
  (void)lws;
  (void)stream;
  self->ended = status;
  copy_text(self->error_type, sizeof self->error_type, type);
}

static void on_closed(wirespan_lws *lws, const char *why, void *user) {
  client *self = user;
  (void)lws;
  self->is_closed = true;
  copy_text(self->why, sizeof self->why, wirespan_str_of(why));
}

static void connect_client(client *self, const char *session) {
  wirespan_lws_target target;
  wirespan_lws_handlers handlers;
  wirespan_options *options = NULL;
  wirespan_connection *connection = NULL;
  memset(self, 0, sizeof *self);
  memset(&handlers, 0, sizeof handlers);
  memset(&target, 0, sizeof target);
  self->ended = WIRESPAN_STATUS_BUSY;
  handlers.user = self;
  handlers.ready = on_ready;
  handlers.read_end = on_end;
  handlers.closed = on_closed;
  target.host = "127.0.0.1";
  target.port = port;
  target.path = "/";
  OK(wirespan_options_new(&options));
  OK(wirespan_options_set_text(options, "session", session));
  OK(wirespan_connection_client(options, NULL, NULL, &connection));
  OK(wirespan_options_free(options));
  OK(wirespan_connection_plan_handshake(connection, NULL, NULL, NULL, NULL));
  self->lws = wirespan_lws_connect(context, "client", &target, connection, &handlers);
  CHECK(self->lws != NULL);
}

/* Serves until a condition holds; two minutes would be far too long even under valgrind. */
#define UNTIL(condition)                                   \
  do {                                                     \
    uint64_t end_ns = wirespan_clock_ns() + 120000 * MS;   \
    while (!(condition) && wirespan_clock_ns() < end_ns) { \
      CHECK(lws_service(context, 0) >= 0);                 \
    }                                                      \
    CHECK(condition);                                      \
  } while (0)

static void send_chunk(client *self, uint32_t stream, bool last) {
  static const uint8_t chunk[100] = {1};
  wirespan_message message = {WIRESPAN_BODY_BINARY, chunk, sizeof chunk, last, NULL, 0};
  OK(wirespan_lws_send(self->lws, stream, &message));
}

static bool may_read(wirespan_lws *lws) {
  wirespan_connection_state state;
  OK(wirespan_connection_read_state(wirespan_lws_connection(lws), &state));
  return state.may_read;
}

static void sessions_move_where_the_server_vouches(client *first, client *second) {
  client stranger;
  uint32_t stream;
  connect_client(first, "mine");
  UNTIL(first->is_ready);
  CHECK(strcmp(first->session, "mine") == 0);
  OK(wirespan_lws_call(first->lws, "hold", NULL, &stream));
  send_chunk(first, stream, false);
  UNTIL(held.received == 1);

  connect_client(&stranger, "not-mine");
  UNTIL(stranger.is_ready);
  CHECK(strlen(stranger.session) == 32);

  /* The old connection's call ends, and the connection is closed. */
  connect_client(second, "mine");
  UNTIL(second->is_ready && first->is_closed);
  CHECK(strcmp(second->session, "mine") == 0);
  CHECK(first->ended == WIRESPAN_STATUS_REMOTE && strcmp(first->error_type, "superseded") == 0);
  CHECK(strcmp(first->why, "closed with code 1008") == 0);
  UNTIL(wirespan_lws_server_connections(server) == 2);
  wirespan_lws_close_with(stranger.lws, 4000, "enough");
  UNTIL(stranger.is_closed && wirespan_lws_server_connections(server) == 1);
  wirespan_lws_free(stranger.lws);
  wirespan_lws_free(first->lws);
}

static void a_reader_that_is_behind_pauses_reading_and_loses_nothing(client *self) {
  uint32_t stream;
  size_t i;
  held.unread = held.received = 0;
  OK(wirespan_lws_call(self->lws, "hold", NULL, &stream));
  for (i = 0; i < 20; i++) send_chunk(self, stream, i == 19);
  CHECK(wirespan_lws_queued_bytes(self->lws) > 2000);
  UNTIL(held.received >= 4 && wirespan_lws_queued_bytes(self->lws) == 0);
  CHECK(!may_read(held.lws));
  held.is_read_at_once = true;
  while (held.unread > 0) OK(wirespan_lws_take(held.lws, held.stream, held.lengths[--held.unread]));
  CHECK(may_read(held.lws));
  UNTIL(held.received == 20 && self->ended == WIRESPAN_STATUS_OK);
  OK(wirespan_lws_leave(self->lws, stream));
}

static void cancelling_and_failing_reach_the_other_side(client *self) {
  uint32_t stream;
  self->ended = WIRESPAN_STATUS_BUSY;
  OK(wirespan_lws_call(self->lws, "hold", NULL, &stream));
  send_chunk(self, stream, false);
  UNTIL(held.received == 21);
  OK(wirespan_lws_fail(held.lws, held.stream, "SoldOut"));
  UNTIL(self->ended == WIRESPAN_STATUS_REMOTE);
  CHECK(strcmp(self->error_type, "SoldOut") == 0);
  OK(wirespan_lws_call(self->lws, "hold", NULL, &stream));
  send_chunk(self, stream, false);
  UNTIL(held.received == 22);
  OK(wirespan_lws_cancel(held.lws, held.stream));
  UNTIL(self->ended == WIRESPAN_STATUS_CANCELLED);
}

/* Without a call nothing is due on either side: the loop sleeps. A timer that fires at once would wake it thousands of
 * times. */
static void what_has_nothing_due_does_not_wake_the_loop(void) {
  client idle, *self = &idle;
  static const uint8_t body[] = {1};
  wirespan_message message = {WIRESPAN_BODY_BINARY, body, sizeof body, false, NULL, 0};
  uint64_t end_ns;
  int wakes = 0;
  connect_client(self, "not-mine");
  UNTIL(self->is_ready);
  OK(wirespan_lws_send(self->lws, WIRESPAN_STREAM_PLAIN, &message));
  UNTIL(held.received == 1);
  end_ns = wirespan_clock_ns() + 200 * MS;
  while (wirespan_clock_ns() < end_ns) {
    /* Ends lws_service at the latest then. */
    lws_sul_schedule(context, 0, &alarm_clock, on_alarm, 100 * LWS_US_PER_MS);
    CHECK(lws_service(context, 0) >= 0);
    wakes++;
  }
  CHECK(wakes < 50);
  lws_sul_schedule(context, 0, &alarm_clock, NULL, LWS_SET_TIMER_USEC_CANCEL);
  wirespan_lws_close(self->lws);
  UNTIL(self->is_closed && wirespan_lws_server_connections(server) == 0);
  wirespan_lws_free(self->lws);
  held.received = held.unread = 0;
}

int main(void) {
  static const char *const methods[] = {"hold"};
  static const struct lws_protocols clients[] = {{"client", wirespan_lws_callback, 0, 65536, 0, NULL, 0},
                                                 {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_protocols served[] = {{"served", wirespan_lws_server_callback, 0, 65536, 0, NULL, 0},
                                   {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  struct lws_vhost *vhost;
  wirespan_lws_service service;
  wirespan_options *options = NULL;
  client first, second;

  OK(wirespan_options_new(&options));
  OK(wirespan_options_set_number(options, "max_unread", 4));
  memset(&service, 0, sizeof service);
  service.options = options;
  service.vouch = vouch;
  service.handlers.methods = methods;
  service.handlers.method_count = 1;
  service.handlers.message = serve_message;
  service.handlers.read_end = serve_end;
  service.handlers.keeps_unread = true;
  server = wirespan_lws_server_new(&service);
  CHECK(server != NULL);
  served[0].user = server;

  memset(&info, 0, sizeof info);
  info.port = CONTEXT_PORT_NO_LISTEN;
  info.protocols = clients;
  lws_set_log_level(LLL_ERR, NULL);
  context = lws_create_context(&info);
  info.port = 0;
  info.iface = "127.0.0.1";
  info.vhost_name = "served";
  info.protocols = served;
  vhost = context != NULL ? lws_create_vhost(context, &info) : NULL;
  CHECK(vhost != NULL);
  port = lws_get_vhost_listen_port(vhost);

  what_has_nothing_due_does_not_wake_the_loop();
  sessions_move_where_the_server_vouches(&first, &second);
  a_reader_that_is_behind_pauses_reading_and_loses_nothing(&second);
  cancelling_and_failing_reach_the_other_side(&second);
  wirespan_lws_server_close(server);
  UNTIL(second.is_closed && wirespan_lws_server_connections(server) == 0);
  CHECK(strcmp(second.why, "closed with code 1001") == 0);

  wirespan_lws_free(second.lws);
  lws_context_destroy(context);
  wirespan_lws_server_free(server);
  OK(wirespan_options_free(options));
  CHECK(wirespan_live_objects() == 0);
  printf("4 passed, 0 failed\n");
  return 0;
}
