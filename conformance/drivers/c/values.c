/* How the protocol's JSON writes messages, bodies, contexts, plans and summaries. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

static const wirespan_str NO_TEXT = {NULL, 0};

/* Base64. */

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static wirespan_str bytes_of(const char *encoded) {
  size_t length = strlen(encoded), i;
  unsigned char *bytes = scratch(length);
  unsigned long group = 0;
  int bits = 0;
  wirespan_str made = {(const char *)bytes, 0};
  for (i = 0; i < length && encoded[i] != '='; i++) {
    const char *digit = strchr(DIGITS, encoded[i]);
    if (digit == NULL) {
      wrong_input("base64");
      return NO_TEXT;
    }
    group = (group << 6 | (unsigned long)(digit - DIGITS)) & 0xffffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[made.length++] = (unsigned char)(group >> bits);
    }
  }
  return made;
}

static json_t *base64_of(const unsigned char *bytes, size_t length) {
  char *encoded = scratch(4 * (length / 3 + 1) + 1), *at = encoded;
  size_t i;
  for (i = 0; i < length; i += 3) {
    unsigned long group = (unsigned long)bytes[i] << 16;
    if (i + 1 < length) group |= (unsigned long)bytes[i + 1] << 8;
    if (i + 2 < length) group |= bytes[i + 2];
    *at++ = DIGITS[group >> 18];
    *at++ = DIGITS[group >> 12 & 63];
    *at++ = i + 1 < length ? DIGITS[group >> 6 & 63] : '=';
    *at++ = i + 2 < length ? DIGITS[group & 63] : '=';
  }
  return json_string(encoded);
}

/* Reading. */

const char *text_of(json_t *value) { return json_string_value(value); }

const char *field_text(json_t *object, const char *name) { return text_of(json_object_get(object, name)); }

uint64_t field_number(json_t *object, const char *name) {
  json_t *value = json_object_get(object, name);
  return json_is_integer(value) ? (uint64_t)json_integer_value(value) : (uint64_t)json_number_value(value);
}

bool field_flag(json_t *object, const char *name) { return json_is_true(json_object_get(object, name)); }

wirespan_str str_of(json_t *text) {
  wirespan_str made = {json_string_value(text), json_string_length(text)};
  return made;
}

wirespan_str value_of(json_t *value) {
  const char *encoded = field_text(value, "base64");
  return encoded != NULL ? bytes_of(encoded) : str_of(value);
}

wirespan_str *values_of(json_t *list, size_t *count) {
  size_t i;
  wirespan_str *values;
  *count = json_array_size(list);
  values = scratch(*count * sizeof *values);
  for (i = 0; i < *count; i++) values[i] = value_of(json_array_get(list, i));
  return values;
}

wirespan_header *headers_of(json_t *pairs, size_t *count) {
  size_t i;
  wirespan_header *headers;
  *count = json_array_size(pairs);
  headers = scratch(*count * sizeof *headers);
  for (i = 0; i < *count; i++) {
    json_t *pair = json_array_get(pairs, i);
    headers[i].name = value_of(json_array_get(pair, 0));
    headers[i].value = value_of(json_array_get(pair, 1));
  }
  return headers;
}

const char **names_of(json_t *list, size_t *count) {
  size_t i;
  const char **names;
  *count = json_array_size(list);
  names = scratch(*count * sizeof *names);
  for (i = 0; i < *count; i++) names[i] = text_of(json_array_get(list, i));
  return names;
}

wirespan_str message_of(json_t *message, wirespan_form *form) {
  const char *encoded = field_text(message, "binary");
  *form = encoded != NULL ? WIRESPAN_FORM_BINARY : WIRESPAN_FORM_TEXT;
  if (encoded != NULL) return bytes_of(encoded);
  encoded = field_text(message, "text_base64");
  return encoded != NULL ? bytes_of(encoded) : str_of(json_object_get(message, "text"));
}

wirespan_str body_of(json_t *body, uint32_t *body_type) {
  const char *none = field_text(body, "none"), *binary = field_text(body, "binary");
  if (none != NULL) {
    *body_type = strcmp(none, "binary") == 0 ? WIRESPAN_BODY_NONE_BINARY : WIRESPAN_BODY_NONE;
    return NO_TEXT;
  }
  if (binary != NULL) {
    *body_type = WIRESPAN_BODY_BINARY;
    return bytes_of(binary);
  }
  *body_type = json_object_get(body, "json") != NULL ? WIRESPAN_BODY_JSON : WIRESPAN_BODY_TEXT;
  return str_of(json_object_get(body, *body_type == WIRESPAN_BODY_JSON ? "json" : "text"));
}

wirespan_span_context *context_of(json_t *context) {
  json_t *traceparent = json_is_object(context) ? json_object_get(context, "traceparent") : context;
  json_t *tracestate = json_is_object(context) ? json_object_get(context, "tracestate") : NULL;
  wirespan_span_context *made = scratch(sizeof *made);
  wirespan_str value = str_of(traceparent);
  if (traceparent == NULL) return NULL;
  if (wirespan_traceparent_parse(value.data, value.length, made) != WIRESPAN_STATUS_OK) {
    wrong_input("a context");
    return NULL;
  }
  if (tracestate != NULL) made->trace_state = str_of(tracestate);
  return made;
}

wirespan_str baggage_of(json_t *object) {
  const char *name;
  json_t *value;
  wirespan_baggage *baggage = NULL;
  wirespan_str written = NO_TEXT;
  char *buffer = scratch(8192);
  if (json_object_size(object) == 0 || !ok(wirespan_baggage_new(&baggage))) return NO_TEXT;
  json_object_foreach(object, name, value) {
    wirespan_baggage_member member = {wirespan_str_of(name), str_of(value), {NULL, 0}};
    ok(wirespan_baggage_insert(baggage, member));
  }
  if (ok(wirespan_baggage_write(baggage, buffer, 8192, &written.length, NULL))) written.data = buffer;
  wirespan_baggage_free(baggage);
  return written;
}

wirespan_context whole_context_of(json_t *object) {
  wirespan_span_context *span = context_of(json_object_get(object, "context"));
  wirespan_context context;
  memset(&context, 0, sizeof context);
  if (span != NULL) context.span = *span;
  context.baggage = baggage_of(json_object_get(object, "baggage"));
  return context;
}

/* Writing. */

static bool is_empty(const json_t *value) {
  if (value == NULL || json_is_null(value) || json_is_false(value)) return true;
  if (json_is_string(value)) return json_string_length(value) == 0;
  if (json_is_integer(value)) return json_integer_value(value) == 0;
  if (json_is_array(value)) return json_array_size(value) == 0;
  return json_is_object(value) && json_object_size(value) == 0;
}

void add(json_t *object, const char *name, json_t *value) {
  if (is_empty(value)) {
    json_decref(value);
  } else {
    json_object_set_new(object, name, value);
  }
}

json_t *show_text(wirespan_str text) { return text.length > 0 ? json_stringn(text.data, text.length) : NULL; }

json_t *show_message(const void *data, size_t length, wirespan_form form) {
  json_t *text;
  if (form == WIRESPAN_FORM_BINARY) return json_pack("{s:o}", "binary", base64_of(data, length));
  text = length > 0 ? json_stringn(data, length) : json_string("");
  if (text != NULL) return json_pack("{s:o}", "text", text);
  return json_pack("{s:o}", "text_base64", base64_of(data, length));
}

json_t *show_context(const wirespan_span_context *context) {
  char traceparent[WIRESPAN_TRACEPARENT_LENGTH + 1];
  json_t *shown;
  if (wirespan_traceparent_format(context, traceparent, sizeof traceparent) != WIRESPAN_STATUS_OK) return NULL;
  shown = json_pack("{s:s}", "traceparent", traceparent);
  add(shown, "tracestate", show_text(context->trace_state));
  return shown;
}

json_t *show_baggage(wirespan_str value) {
  json_t *shown = json_object();
  wirespan_baggage *baggage = NULL;
  wirespan_baggage_member member;
  size_t i;
  if (value.length == 0 || !ok(wirespan_baggage_parse(&value, 1, &baggage, NULL))) return shown;
  for (i = 0; ok(wirespan_baggage_read_member(baggage, i, &member)) && member.key.length > 0; i++) {
    char *key = scratch_text(member.key.data, member.key.length);
    json_object_set_new(shown, key,
                        json_stringn(member.value.length > 0 ? member.value.data : "", member.value.length));
  }
  wirespan_baggage_free(baggage);
  return shown;
}

static json_t *any_text(wirespan_str text) { return json_stringn(text.length > 0 ? text.data : "", text.length); }

json_t *show_headers(const wirespan_header *headers, size_t count) {
  json_t *shown = json_array();
  size_t i;
  for (i = 0; i < count; i++) {
    json_t *pair = json_array();
    json_array_append_new(pair, any_text(headers[i].name));
    json_array_append_new(pair, any_text(headers[i].value));
    json_array_append_new(shown, pair);
  }
  return shown;
}

json_t *show_attributes(const wirespan_attribute *attributes, size_t count) {
  json_t *shown = json_object();
  size_t i;
  for (i = 0; i < count; i++) {
    const wirespan_attribute *one = &attributes[i];
    char *key = scratch_text(one->key.data, one->key.length);
    json_t *value = one->value_type == WIRESPAN_VALUE_TYPE_INTEGER  ? json_integer(one->integer)
                    : one->value_type == WIRESPAN_VALUE_TYPE_NUMBER ? json_real(one->number)
                                                                    : any_text(one->text);
    json_object_set_new(shown, key, value);
  }
  return shown;
}

json_t *show_plan(const wirespan_plan *plan) {
  static const char *const KINDS[] = {"INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"};
  static const char *const PARENTS[] = {"root", "current", "connection"};
  json_t *shown = json_object(), *links = json_array();
  size_t i;
  add(shown, "name", any_text(plan->name));
  add(shown, "kind", json_string(KINDS[plan->kind]));
  if (plan->parent == WIRESPAN_PARENT_REMOTE) {
    add(shown, "parent", json_pack("{s:o}", "remote", show_context(&plan->parent_context.span)));
  } else {
    add(shown, "parent", json_string(PARENTS[plan->parent]));
  }
  for (i = 0; i < plan->link_count; i++) {
    json_t *link = show_context(&plan->links[i]);
    add(link, "remote", json_boolean(plan->links[i].is_remote));
    json_array_append_new(links, link);
  }
  add(shown, "links", links);
  add(shown, "attributes", show_attributes(plan->attributes, plan->attribute_count));
  return shown;
}

static void add_seconds(json_t *shown, const char *name, double ns) {
  if (ns >= 0) json_object_set_new(shown, name, json_real(ns / 1e9));
}

json_t *show_summary(const wirespan_summary *summary) {
  static const char *const OUTCOMES[] = {NULL, "complete", "cancelled", "error", "abandoned"};
  json_t *shown = json_object();
  json_object_set_new(shown, "chunks", json_integer((json_int_t)summary->chunks));
  json_object_set_new(shown, "bytes", json_integer((json_int_t)summary->bytes));
  add_seconds(shown, "time_to_first_chunk", (double)summary->time_to_first_chunk_ns);
  add_seconds(shown, "time_to_last_chunk", (double)summary->time_to_last_chunk_ns);
  if (summary->rate >= 0) json_object_set_new(shown, "rate", json_real(summary->rate));
  json_object_set_new(shown, "intervals", json_integer((json_int_t)summary->intervals));
  add_seconds(shown, "interval.avg", summary->interval_avg_ns);
  add_seconds(shown, "interval.min", (double)summary->interval_min_ns);
  add_seconds(shown, "interval.max", (double)summary->interval_max_ns);
  add_seconds(shown, "interval.p50", summary->interval_p50_ns);
  add_seconds(shown, "interval.p90", summary->interval_p90_ns);
  add_seconds(shown, "interval.p95", summary->interval_p95_ns);
  add_seconds(shown, "interval.p99", summary->interval_p99_ns);
  json_object_set_new(shown, "stalls", json_integer((json_int_t)summary->stalls));
  json_object_set_new(shown, "stall_time", json_real((double)summary->stall_time_ns / 1e9));
  json_object_set_new(shown, "clock_back", json_integer(summary->clock_back));
  if (summary->outcome != WIRESPAN_OUTCOME_NONE) {
    json_object_set_new(shown, "outcome", json_string(OUTCOMES[summary->outcome]));
  }
  json_object_set_new(shown, "relative_error", json_real(summary->relative_error));
  return shown;
}
