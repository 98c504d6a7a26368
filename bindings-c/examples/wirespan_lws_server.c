/* The accepting side; see wirespan_lws.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "wirespan_lws_private.h"

/* The longest value of a header that is read; the core refuses longer ones. */
#define MAX_VALUE_BYTES 8192

struct wirespan_lws_server {
  wirespan_lws_service service;
  wirespan_registry *own_registry;
  wirespan_lws *connections;
  size_t connection_count;
};

wirespan_lws_server *wirespan_lws_server_new(const wirespan_lws_service *service) {
  wirespan_lws_server *server = calloc(1, sizeof *server);
  if (server == NULL) return NULL;
  server->service = *service;
  if (service->registry == NULL && wirespan_registry_new(0, 0, &server->own_registry) == WIRESPAN_STATUS_OK) {
    server->service.registry = server->own_registry;
  }
  return server;
}

size_t wirespan_lws_server_connections(const wirespan_lws_server *server) { return server->connection_count; }

static void unlink_from_server(wirespan_lws *lws) {
  wirespan_lws **at = &lws->server->connections;
  while (*at != NULL && *at != lws) at = &(*at)->next;
  if (*at == NULL) return;
  *at = lws->next;
  lws->server->connection_count--;
}

static void forget(wirespan_lws *lws, struct lws *wsi) {
  unlink_from_server(lws);
  lws_set_opaque_user_data(wsi, NULL);
  lws->wsi = NULL;
  wirespan_request_free(lws->request);
  wirespan_lws_free(lws);
}

void wirespan_lws_server_close(wirespan_lws_server *server) {
  wirespan_lws *lws;
  for (lws = server->connections; lws != NULL; lws = lws->next) {
    wirespan_lws_close_with(lws, 1001, NULL);
  }
}

void wirespan_lws_server_free(wirespan_lws_server *server) {
  if (server == NULL) return;
  wirespan_registry_free(server->own_registry);
  free(server);
}

/* The headers of a request that concern Wirespan. libwebsockets gives one value of a name, so a `traceparent` that
 * stands there twice cannot be told from one that does not. */
static wirespan_request *read_request(struct lws *wsi) {
  static const char *const names[] = {"wirespan", "traceparent", "tracestate"};
  wirespan_header headers[4];
  char *values[4] = {NULL, NULL, NULL, NULL}, query[MAX_VALUE_BYTES] = "";
  wirespan_request *request = NULL;
  size_t count = 0, i;
  int length, part;
  for (i = 0; i < sizeof names / sizeof *names; i++) {
    char name[32];
    int name_length = snprintf(name, sizeof name, "%s:", names[i]);
    length = lws_hdr_custom_length(wsi, name, name_length);
    if (length < 0 || (values[count] = malloc((size_t)length + 1)) == NULL) continue;
    if (lws_hdr_custom_copy(wsi, values[count], length + 1, name, name_length) < 0) {
      free(values[count]);
      values[count] = NULL;
      continue;
    }
    headers[count].name = wirespan_str_of(names[i]);
    headers[count].value.data = values[count];
    headers[count].value.length = (size_t)length;
    count++;
  }
  length = lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL);
  if (length > 0 && (values[count] = malloc((size_t)length + 1)) != NULL) {
    lws_hdr_copy(wsi, values[count], length + 1, WSI_TOKEN_PROTOCOL);
    headers[count].name = wirespan_str_of("sec-websocket-protocol");
    headers[count].value = wirespan_str_of(values[count]);
    count++;
  }
  for (part = 0; part < 64; part++) {
    size_t used = strlen(query);
    if (used + 2 >= sizeof query) break;
    length = lws_hdr_copy_fragment(wsi, query + used + (used > 0), (int)(sizeof query - used - 1),
                                   WSI_TOKEN_HTTP_URI_ARGS, part);
    if (length < 0) break;
    if (used > 0) query[used] = '&';
  }
  if (wirespan_request_new(headers, count, query, &request) != WIRESPAN_STATUS_OK) request = NULL;
  for (i = 0; i < 4; i++) free(values[i]);
  return request;
}

/* Where the connection was accepted. */
static void read_endpoint(struct lws *wsi, char *address, size_t size, wirespan_endpoint *endpoint) {
  struct sockaddr_storage local;
  socklen_t length = sizeof local;
  char port[16] = "";
  memset(endpoint, 0, sizeof *endpoint);
  if (getsockname(lws_get_socket_fd(wsi), (struct sockaddr *)&local, &length) != 0 ||
      getnameinfo((struct sockaddr *)&local, length, address, (socklen_t)size, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return;
  }
  endpoint->address = address;
  endpoint->port = (uint16_t)atoi(port);
}

static uint32_t vouch(wirespan_lws_server *server, const wirespan_request *request) {
  char session_id[129] = "";
  size_t length = 0;
  if (server->service.vouch == NULL) return WIRESPAN_VOUCH_NO_OPINION;
  wirespan_request_proposed_session(request, session_id, sizeof session_id, &length);
  if (length == 0) return WIRESPAN_VOUCH_NO;
  return server->service.vouch(request, session_id, server->service.handlers.user) ? WIRESPAN_VOUCH_YES
                                                                                   : WIRESPAN_VOUCH_NO;
}

/* Makes the connection of a request. Where that cannot be done the client is refused. */
static int accept_request(wirespan_lws_server *server, struct lws *wsi) {
  const wirespan_lws_service *service = &server->service;
  char address[64], remote[64] = "";
  wirespan_connection *connection = NULL;
  wirespan_endpoint endpoint;
  wirespan_connection_state state;
  wirespan_lws *lws;
  wirespan_request *request = read_request(wsi);
  if (request == NULL) return -1;
  read_endpoint(wsi, address, sizeof address, &endpoint);
  lws_get_peer_simple(wsi, remote, sizeof remote);
  if (wirespan_connection_server(service->options, request, service->registry, remote, vouch(server, request),
                                 &endpoint, NULL, &connection) != WIRESPAN_STATUS_OK) {
    wirespan_request_free(request);
    return -1;
  }
  if (service->tracer != NULL) {
    wirespan_connection_use_tracer(connection, service->tracer, wirespan_clock_ns());
  } else if (service->callbacks != NULL) {
    wirespan_connection_use_callbacks(connection, service->callbacks);
  }
  lws = wirespan_lws_new(connection, &service->handlers);
  if (lws == NULL) {
    wirespan_connection_free(connection);
    wirespan_request_free(request);
    return -1;
  }
  lws->server = server;
  lws->request = request;
  lws->next = server->connections;
  server->connections = lws;
  server->connection_count++;
  lws_set_opaque_user_data(wsi, lws);
  wirespan_connection_plan_handshake(connection, NULL, NULL, NULL, NULL);
  if (wirespan_connection_read_state(connection, &state) == WIRESPAN_STATUS_OK) {
    lws->id = state.connection_id;
    if (state.superseded != 0) {
      wirespan_lws *old;
      for (old = server->connections; old != NULL; old = old->next) {
        if (old->id != state.superseded) continue;
        wirespan_connection_on_superseded(old->connection, wirespan_clock_ns());
        wirespan_lws_act(old);
        wirespan_lws_close_with(old, 1008, "superseded");
      }
    }
  }
  return 0;
}

static int add_to_response(wirespan_lws *lws, struct lws *wsi, struct lws_process_html_args *args) {
  wirespan_additions additions;
  unsigned char *p = (unsigned char *)args->p;
  bool offered = lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) > 0;
  if (wirespan_connection_response(lws->connection, lws->request, offered ? lws_get_protocol(wsi)->name : NULL,
                                   &additions) != WIRESPAN_STATUS_OK ||
      wirespan_lws_add_headers(wsi, &additions, &p, (unsigned char *)args->p + args->max_len) != 0) {
    return 0; /* Telemetry fails nothing: answer without. */
  }
  args->p = (char *)p;
  return 0;
}

int wirespan_lws_server_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                                 size_t length) {
  wirespan_lws *lws;
  (void)user;
  if (reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION) {
    wirespan_lws_server *server = lws_get_protocol(wsi)->user;
    return server != NULL ? accept_request(server, wsi) : -1;
  }
  lws = wsi != NULL ? lws_get_opaque_user_data(wsi) : NULL;
  if (lws == NULL) return 0;
  switch (reason) {
    case LWS_CALLBACK_ADD_HEADERS:
      return lws->request != NULL ? add_to_response(lws, wsi, in) : 0;
    case LWS_CALLBACK_ESTABLISHED:
      wirespan_connection_open_server(lws->connection, wirespan_clock_ns());
      wirespan_request_free(lws->request);
      lws->request = NULL;
      wirespan_lws_established(lws, wsi);
      return 0;
    case LWS_CALLBACK_CLOSED:
      wirespan_lws_serve_open(lws, wsi, reason, in, length);
      forget(lws, wsi);
      return 0;
    case LWS_CALLBACK_WSI_DESTROY:
      /* The client went away before its handshake was done. */
      wirespan_connection_fail_handshake(lws->connection, "io");
      wirespan_lws_act(lws);
      forget(lws, wsi);
      return 0;
    default:
      return wirespan_lws_serve_open(lws, wsi, reason, in, length);
  }
}
