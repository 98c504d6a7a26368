/* The envelope that one writes by hand in C. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <yyjson.h>

#include "peer.h"

static int write_traceparent(char *out, const wirespan_span_context *span) {
  const uint8_t *t = span->trace_id, *s = span->span_id;
  return sprintf(out,
                 "00-%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x%02x-%02x%02x%02x%02x%02x%02x%02x%02x-"
                 "%02x",
                 t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9], t[10], t[11], t[12], t[13], t[14], t[15],
                 s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], (unsigned)span->flags);
}

static bool read_traceparent(const char *value, wirespan_span_context *span) {
  unsigned bytes[26], i;
  int used = 0;
  if (strlen(value) != 55) return false;
  for (i = 0; i < 26; i++) {
    if (sscanf(value + used, "%2x", &bytes[i]) != 1) return false;
    used += 2;
    if (value[used] == '-') used++;
  }
  for (i = 0; i < 16; i++) span->trace_id[i] = (uint8_t)bytes[1 + i];
  for (i = 0; i < 8; i++) span->span_id[i] = (uint8_t)bytes[17 + i];
  span->flags = (uint8_t)bytes[25];
  return true;
}

size_t by_hand_wrap(unsigned char *out, const unsigned char *body, size_t length, bool is_text,
                    const wirespan_span_context *span) {
  char traceparent[64];
  int head, value = write_traceparent(traceparent, span);
  if (is_text) {
    head = sprintf((char *)out, "{\"headers\":{\"traceparent\":\"%s\"},\"body\":", traceparent);
    memcpy(out + head, body, length);
    out[(size_t)head + length] = '}';
    return (size_t)head + length + 1;
  }
  out[0] = (unsigned char)(value >> 8);
  out[1] = (unsigned char)value;
  memcpy(out + 2, traceparent, (size_t)value);
  memcpy(out + 2 + value, body, length);
  return 2 + (size_t)value + length;
}

static bool open_text(const unsigned char *message, size_t length, const unsigned char **body, size_t *body_length,
                      wirespan_span_context *span) {
  static const char mark[] = "},\"body\":";
  yyjson_doc *document = yyjson_read((const char *)message, length, 0);
  yyjson_val *root = yyjson_doc_get_root(document);
  const char *value = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(root, "headers"), "traceparent"));
  /* The parser keeps no offsets; the body of an envelope that one wrote oneself is behind this mark. */
  const char *at = strstr((const char *)message, mark);
  bool is_good = value != NULL && at != NULL && yyjson_obj_get(root, "body") != NULL && read_traceparent(value, span);
  if (is_good) {
    *body = (const unsigned char *)at + sizeof mark - 1;
    *body_length = length - 1 - (size_t)(*body - message);
  }
  yyjson_doc_free(document);
  return is_good;
}

bool by_hand_open(const unsigned char *message, size_t length, bool is_text, const unsigned char **body,
                  size_t *body_length, wirespan_span_context *span) {
  char value[64];
  size_t head;
  if (is_text) return open_text(message, length, body, body_length, span);
  if (length < 2 || (head = (size_t)message[0] << 8 | message[1]) >= sizeof value || head > length - 2) return false;
  memcpy(value, message + 2, head);
  value[head] = '\0';
  *body = message + 2 + head;
  *body_length = length - 2 - head;
  return read_traceparent(value, span);
}
