/* How the lines of a peer write messages, options and parents. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

/* Messages over this are told by their size. */
#define LARGE 65536

void *take_memory(size_t size) {
  void *made = calloc(1, size);
  if (made == NULL) abort();
  return made;
}

char *copy_text(const char *text) {
  char *copy = take_memory(strlen(text) + 1);
  memcpy(copy, text, strlen(text));
  return copy;
}

const char *field(json_t *command, const char *name) {
  const char *text = json_string_value(json_object_get(command, name));
  return text != NULL ? text : "";
}

body *new_body(const void *bytes, size_t length, wirespan_form form) {
  body *made = take_memory(sizeof *made + length + 1);
  made->form = form;
  made->length = length;
  if (bytes != NULL && length > 0) memcpy(made->bytes, bytes, length);
  return made;
}

body *read_body(json_t *message) {
  json_t *text = json_object_get(message, "text"), *size = json_object_get(message, "size");
  json_t *zeros = json_object_get(message, "zeros");
  const char *encoded = field(message, "binary");
  body *made;
  int length;
  if (text != NULL) return new_body(json_string_value(text), json_string_length(text), WIRESPAN_FORM_TEXT);
  if (size != NULL) {
    size_t count = (size_t)json_integer_value(size);
    made = new_body(NULL, count + 2, WIRESPAN_FORM_TEXT);
    memset(made->bytes, 'x', count + 2);
    made->bytes[0] = made->bytes[count + 1] = '"';
    return made;
  }
  if (zeros != NULL) return new_body(NULL, (size_t)json_integer_value(zeros), WIRESPAN_FORM_BINARY);
  made = new_body(NULL, strlen(encoded), WIRESPAN_FORM_BINARY);
  length = lws_b64_decode_string(encoded, (char *)made->bytes, (int)made->length + 1);
  made->length = length > 0 ? (size_t)length : 0;
  return made;
}

static bool all_are(const unsigned char *bytes, size_t length, unsigned char wanted) {
  size_t i;
  for (i = 0; i < length; i++) {
    if (bytes[i] != wanted) return false;
  }
  return true;
}

json_t *show_body(const void *data, size_t length, wirespan_form form) {
  const unsigned char *bytes = data;
  json_t *shown;
  char *encoded;
  int room = (int)(length / 3 * 4 + 8);
  if (form == WIRESPAN_FORM_TEXT) {
    if (length > LARGE && bytes[0] == '"' && bytes[length - 1] == '"' && all_are(bytes + 1, length - 2, 'x')) {
      return json_pack("{s:I}", "size", (json_int_t)length);
    }
    return json_pack("{s:o}", "text", json_stringn(length > 0 ? data : "", length));
  }
  if (length > LARGE && all_are(bytes, length, 0)) return json_pack("{s:I}", "zeros", (json_int_t)length);
  encoded = take_memory((size_t)room);
  if (length > 0) lws_b64_encode_string(data, (int)length, encoded, room);
  shown = json_pack("{s:s}", "binary", encoded);
  free(encoded);
  return shown;
}

void push(bodies *list, body *one) {
  if (list->last != NULL) {
    list->last->next = one;
  } else {
    list->first = one;
  }
  list->last = one;
}

body *pop(bodies *list) {
  body *one = list->first;
  if (one == NULL) return NULL;
  list->first = one->next;
  if (list->first == NULL) list->last = NULL;
  one->next = NULL;
  return one;
}

wirespan_message outgoing(const body *one, bool last) {
  wirespan_message message;
  memset(&message, 0, sizeof message);
  message.body_type = one->form == WIRESPAN_FORM_TEXT ? WIRESPAN_BODY_TEXT : WIRESPAN_BODY_BINARY;
  message.data = one->bytes;
  message.length = one->length;
  message.last = last;
  return message;
}

static bool is_time(const char *name) {
  return strcmp(name, "hello_wait") == 0 || strcmp(name, "stall_threshold") == 0 || strcmp(name, "idle_timeout") == 0 ||
         strcmp(name, "overflow_wait") == 0;
}

wirespan_options *read_options(json_t *command) {
  wirespan_options *options = NULL;
  const char *name;
  json_t *value;
  if (wirespan_options_new(&options) != WIRESPAN_STATUS_OK) return NULL;
  json_object_foreach(json_object_get(command, "options"), name, value) {
    wirespan_status status;
    if (json_is_string(value)) {
      status = wirespan_options_set_text(options, name, json_string_value(value));
    } else if (json_is_boolean(value)) {
      status = wirespan_options_set_flag(options, name, json_is_true(value));
    } else if (json_is_array(value)) {
      const char *names[16];
      size_t count = json_array_size(value) < 16 ? json_array_size(value) : 16, i;
      for (i = 0; i < count; i++) names[i] = json_string_value(json_array_get(value, i));
      status = wirespan_options_set_list(options, name, names, count);
    } else {
      double number = json_number_value(value) * (is_time(name) ? 1e6 : 1);
      status = wirespan_options_set_number(options, name, (uint64_t)number);
    }
    if (status != WIRESPAN_STATUS_OK) {
      wirespan_error error;
      wirespan_last_error(&error);
      fprintf(stderr, "c: %s: %s\n", name, error.message);
    }
  }
  return options;
}

wirespan_context read_parent(json_t *command, char room[WIRESPAN_CONTEXT_BYTES]) {
  wirespan_header headers[3];
  wirespan_context parent;
  wirespan_baggage *baggage = NULL;
  const char *name;
  json_t *value;
  char written[4096];
  size_t count = 0, length = 0;
  memset(&parent, 0, sizeof parent);
  if (field(command, "parent")[0] != '\0') {
    headers[count].name = wirespan_str_of("traceparent");
    headers[count++].value = wirespan_str_of(field(command, "parent"));
  }
  if (field(command, "state")[0] != '\0') {
    headers[count].name = wirespan_str_of("tracestate");
    headers[count++].value = wirespan_str_of(field(command, "state"));
  }
  if (json_object_size(json_object_get(command, "baggage")) > 0 &&
      wirespan_baggage_new(&baggage) == WIRESPAN_STATUS_OK) {
    json_object_foreach(json_object_get(command, "baggage"), name, value) {
      wirespan_baggage_member member = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
      member.key = wirespan_str_of(name);
      member.value = wirespan_str_of(json_string_value(value));
      wirespan_baggage_insert(baggage, member);
    }
    if (wirespan_baggage_write(baggage, written, sizeof written, &length, NULL) == WIRESPAN_STATUS_OK) {
      headers[count].name = wirespan_str_of("baggage");
      headers[count].value.data = written;
      headers[count++].value.length = length;
    }
    wirespan_baggage_free(baggage);
  }
  wirespan_propagator_extract(headers, count, room, WIRESPAN_CONTEXT_BYTES, &length, &parent);
  return parent;
}

json_t *show_span_context(const wirespan_span_context *span) {
  char text[WIRESPAN_TRACEPARENT_LENGTH + 1];
  if (wirespan_traceparent_format(span, text, sizeof text) != WIRESPAN_STATUS_OK) return NULL;
  return json_string(text);
}
