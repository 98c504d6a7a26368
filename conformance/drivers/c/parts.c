/* The parts by themselves: contexts, envelope, carry, stream metrics. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

static json_t *values(json_t *input) { return json_object_get(input, "values"); }

json_t *traceparent_parse(json_t *input) {
  size_t count;
  wirespan_str *given = values_of(values(input), &count);
  wirespan_span_context span;
  json_t *shown;
  if (!ok_or_refused(wirespan_traceparent_parse_values(given, count, &span))) return NULL;
  shown = show_context(&span);
  return shown != NULL ? shown : json_object();
}

json_t *tracestate_parse(json_t *input) {
  size_t count, length;
  wirespan_str *given = values_of(values(input), &count);
  char *buffer = scratch(8192);
  json_t *output;
  if (!ok_or_refused(wirespan_tracestate_parse(given, count, buffer, 8192, &length))) return NULL;
  output = json_object();
  add(output, "tracestate", json_stringn(buffer, length));
  return output;
}

static json_t *text(wirespan_str value) { return json_stringn(value.length > 0 ? value.data : "", value.length); }

json_t *baggage_parse(json_t *input) {
  size_t count, dropped, i;
  wirespan_str *given = values_of(values(input), &count);
  wirespan_baggage *baggage = NULL;
  wirespan_baggage_member member;
  json_t *output, *members = json_array();
  if (!ok(wirespan_baggage_parse(given, count, &baggage, &dropped))) return NULL;
  for (i = 0; ok(wirespan_baggage_read_member(baggage, i, &member)) && member.key.length > 0; i++) {
    json_t *shown = json_array();
    json_array_append_new(shown, text(member.key));
    json_array_append_new(shown, text(member.value));
    json_array_append_new(shown, text(member.properties));
    json_array_append_new(members, shown);
  }
  wirespan_baggage_free(baggage);
  output = json_object();
  add(output, "members", members);
  add(output, "dropped", json_integer((json_int_t)dropped));
  return output;
}

json_t *baggage_write(json_t *input) {
  json_t *member, *output = NULL;
  size_t index, length, dropped;
  char *buffer = scratch(8192);
  wirespan_baggage *baggage = NULL;
  bool is_made = ok(wirespan_baggage_new(&baggage));
  json_array_foreach(json_object_get(input, "members"), index, member) {
    wirespan_baggage_member made = {str_of(json_array_get(member, 0)), str_of(json_array_get(member, 1)),
                                    str_of(json_array_get(member, 2))};
    is_made = is_made && ok(wirespan_baggage_insert(baggage, made));
  }
  if (is_made && ok(wirespan_baggage_write(baggage, buffer, 8192, &length, &dropped))) {
    output = json_object();
    add(output, "baggage", json_stringn(buffer, length));
    add(output, "dropped", json_integer((json_int_t)dropped));
  }
  wirespan_baggage_free(baggage);
  return output;
}

json_t *propagate(json_t *input) {
  size_t count, length, i;
  wirespan_header *given = headers_of(json_object_get(input, "headers"), &count), injected[3];
  wirespan_span_context *local = context_of(json_object_get(input, "local"));
  char *room = scratch(WIRESPAN_CONTEXT_BYTES), *more = scratch(WIRESPAN_CONTEXT_BYTES);
  wirespan_context context;
  json_t *output;
  if (!ok(wirespan_propagator_extract(given, count, room, WIRESPAN_CONTEXT_BYTES, &length, &context))) return NULL;
  /* What is invalid or absent leaves the current span as it was. */
  if (local != NULL && !wirespan_has_span(&context.span)) context.span = *local;
  if (!ok(wirespan_propagator_inject(&context, more, WIRESPAN_CONTEXT_BYTES, &length, injected, &count))) return NULL;
  output = json_object();
  for (i = 0; i < count; i++) {
    add(output, scratch_text(injected[i].name.data, injected[i].name.length), show_text(injected[i].value));
  }
  return output;
}

/* The envelope. */

static uint32_t peer_of(json_t *input) {
  const char *recognition = field_text(input, "recognition");
  return recognition != NULL && strcmp(recognition, "always") == 0 ? WIRESPAN_PEER_ALWAYS : WIRESPAN_PEER_ANNOUNCED;
}

static json_t *number_text(uint64_t number) {
  char text[24];
  snprintf(text, sizeof text, "%llu", (unsigned long long)number);
  return json_string(text);
}

static json_t *show_head(const wirespan_envelope *envelope) {
  static const char *const ENDS[] = {NULL, "1", "cancel", "error"};
  const wirespan_head *head = &envelope->head;
  json_t *shown = json_object(), *context = show_context(&head->span);
  add(shown, "wirespan", show_text(head->hello_versions));
  if (head->hello_role != 0) {
    add(shown, "role", json_string(head->hello_role == WIRESPAN_ROLE_CLIENT ? "client" : "server"));
  }
  if (context != NULL) json_object_update(shown, context);
  json_decref(context);
  add(shown, "baggage", show_text(head->baggage));
  add(shown, "session", show_text(head->session));
  if (head->kind != 0) add(shown, "kind", json_string(head->kind == WIRESPAN_KIND_CALL ? "call" : "transfer"));
  add(shown, "method", show_text(head->method));
  if (head->stream != 0) add(shown, "stream", number_text(head->stream));
  if (head->has_seq) add(shown, "seq", number_text(head->seq));
  if (head->end != WIRESPAN_END_NONE) add(shown, "end", json_string(ENDS[head->end]));
  add(shown, "error", show_text(head->error));
  if (!envelope->has_body) add(shown, "content", json_string("none"));
  if (envelope->is_text) add(shown, "content", json_string("text"));
  if (head->has_sent) add(shown, "sent", number_text(head->sent_unix_ns));
  return shown;
}

json_t *envelope_unwrap(json_t *input) {
  wirespan_form form;
  wirespan_str message = message_of(json_object_get(input, "message"), &form);
  wirespan_envelope envelope;
  json_t *output, *counts = json_object();
  if (!ok(wirespan_envelope_read((const uint8_t *)message.data, message.length, form, peer_of(input), &envelope))) {
    return NULL;
  }
  if (envelope.opened != WIRESPAN_OPENED_ENVELOPE) return json_pack("{s:o}", "plain", text(envelope.reason));
  output = json_object();
  add(output, "headers", show_head(&envelope));
  add(output, "own", show_headers(envelope.head.headers, envelope.head.header_count));
  json_object_set_new(output, "body",
                      envelope.has_body ? show_message(envelope.body, envelope.body_length, form) : json_null());
  add(counts, "context_invalid", json_integer(envelope.drops.context_invalid));
  add(counts, "header_invalid", json_integer(envelope.drops.header_invalid));
  add(counts, "header_repeated", json_integer(envelope.drops.header_repeated));
  add(counts, "dropped_tracestate", json_integer(envelope.drops.tracestate));
  add(counts, "dropped_baggage", json_integer(envelope.drops.baggage));
  add(counts, "content_mismatch", json_integer(envelope.drops.content_mismatch));
  add(output, "counts", counts);
  return output;
}

static uint64_t decimal(json_t *text) { return text != NULL ? strtoull(text_of(text), NULL, 10) : 0; }

/* Reads headers to write; false where one is outside its grammar. */
static bool read_head(json_t *given, json_t *own, wirespan_head *head) {
  const char *kind = field_text(given, "kind"), *end = field_text(given, "end"), *role = field_text(given, "role");
  memset(head, 0, sizeof *head);
  if (json_object_get(given, "traceparent") != NULL) {
    wirespan_str value = str_of(json_object_get(given, "traceparent"));
    if (!ok(wirespan_traceparent_parse(value.data, value.length, &head->span))) return false;
    if (json_object_get(given, "tracestate") != NULL)
      head->span.trace_state = str_of(json_object_get(given, "tracestate"));
  }
  head->baggage = str_of(json_object_get(given, "baggage"));
  head->session = str_of(json_object_get(given, "session"));
  head->method = str_of(json_object_get(given, "method"));
  head->error = str_of(json_object_get(given, "error"));
  head->hello_versions = str_of(json_object_get(given, "wirespan"));
  if (role != NULL) head->hello_role = strcmp(role, "client") == 0 ? WIRESPAN_ROLE_CLIENT : WIRESPAN_ROLE_SERVER;
  if (kind != NULL) head->kind = strcmp(kind, "call") == 0 ? WIRESPAN_KIND_CALL : WIRESPAN_KIND_TRANSFER;
  if (end != NULL) {
    head->end = strcmp(end, "1") == 0        ? WIRESPAN_END_COMPLETE
                : strcmp(end, "cancel") == 0 ? WIRESPAN_END_CANCEL
                                             : WIRESPAN_END_ERROR;
  }
  head->stream = (uint32_t)decimal(json_object_get(given, "stream"));
  head->seq = (uint32_t)decimal(json_object_get(given, "seq"));
  head->sent_unix_ns = decimal(json_object_get(given, "sent"));
  head->has_sent = json_object_get(given, "sent") != NULL;
  head->headers = headers_of(own, &head->header_count);
  return true;
}

json_t *envelope_wrap(json_t *input) {
  uint32_t body_type;
  wirespan_form form;
  wirespan_head head;
  wirespan_written written;
  wirespan_str body = body_of(json_object_get(input, "body"), &body_type);
  size_t size = WIRESPAN_MAX_OVERHEAD + 6 * body.length + 2, length;
  uint8_t *buffer = scratch(size);
  json_t *output, *counts;
  if (!read_head(json_object_get(input, "headers"), json_object_get(input, "own"), &head) ||
      !ok(wirespan_envelope_write(&head, body_type, (const uint8_t *)body.data, body.length, buffer, size, &length,
                                  &written)) ||
      !ok(wirespan_body_form(body_type, &form))) {
    return NULL;
  }
  output = json_object();
  counts = json_object();
  add(output, "message", show_message(buffer, length, form));
  add(counts, "dropped_baggage", json_integer(written.baggage_dropped));
  add(counts, "dropped_tracestate", json_integer(written.tracestate_cut));
  add(counts, "dropped_header", json_integer(written.own_dropped));
  add(output, "counts", counts);
  return output;
}

json_t *envelope_convert(json_t *input) {
  wirespan_form form;
  wirespan_str message = message_of(json_object_get(input, "message"), &form);
  const uint8_t *data = (const uint8_t *)message.data;
  size_t size = WIRESPAN_MAX_OVERHEAD, length;
  uint8_t *buffer = scratch(size);
  wirespan_envelope envelope;
  if (!ok(wirespan_envelope_read(data, message.length, form, peer_of(input), &envelope))) return NULL;
  if (envelope.opened != WIRESPAN_OPENED_ENVELOPE) return json_pack("{s:o}", "plain", text(envelope.reason));
  if (!ok(wirespan_envelope_convert_head(data, message.length, form, peer_of(input), buffer, size, &length)))
    return NULL;
  form = form == WIRESPAN_FORM_TEXT ? WIRESPAN_FORM_BINARY : WIRESPAN_FORM_TEXT;
  return json_pack("{s:o}", "head", show_message(buffer, length, form));
}

/* Queues. */

/* The headers of an item, whose values stand in scratch memory. */
static wirespan_header *item_headers(json_t *item, json_t *baggage_out, size_t *count) {
  wirespan_context context = whole_context_of(item);
  wirespan_header *headers = scratch(5 * sizeof *headers);
  char *room = scratch(WIRESPAN_CONTEXT_BYTES);
  size_t name_count, length;
  const char **names = names_of(baggage_out, &name_count);
  uint64_t sent = decimal(json_object_get(item, "sent"));
  *count = 0;
  ok(wirespan_carry_to_headers(&context, field_text(item, "session"),
                               json_object_get(item, "sent") != NULL ? &sent : NULL, names, name_count, room,
                               WIRESPAN_CONTEXT_BYTES, &length, headers, count));
  return headers;
}

json_t *carry_to_headers(json_t *input) {
  size_t count;
  wirespan_header *headers = item_headers(input, json_object_get(input, "baggage_out"), &count);
  json_t *output = json_object();
  add(output, "headers", show_headers(headers, count));
  return output;
}

json_t *carry_from_headers(json_t *input) {
  size_t count, name_count;
  wirespan_header *headers = headers_of(json_object_get(input, "headers"), &count);
  const char **names = names_of(json_object_get(input, "baggage_in"), &name_count);
  wirespan_carry *carry = NULL;
  wirespan_carried carried;
  json_t *output = NULL, *counts = json_object();
  if (ok(wirespan_carry_from_headers(headers, count, names, name_count, &carry)) &&
      ok(wirespan_carry_restore(carry, 0, &carried))) {
    output = json_object();
    add(output, "context", show_context(&carried.context.span));
    add(output, "baggage", show_baggage(carried.context.baggage));
    add(output, "session", show_text(carried.session_id));
    if (carried.has_sent) add(output, "sent", number_text(carried.sent_unix_ns));
    add(counts, "context_invalid", json_integer(carried.context_invalid));
    add(output, "counts", counts);
  }
  wirespan_carry_free(carry);
  return output;
}

json_t *carry_plan_send(json_t *input) {
  const wirespan_plan *plan;
  if (!ok(wirespan_carry_plan_send(field_text(input, "destination"), field_text(input, "session"), NULL, &plan))) {
    return NULL;
  }
  return json_pack("{s:o}", "plan", show_plan(plan));
}

json_t *carry_plan_process(json_t *input) {
  json_t *items = json_object_get(input, "items"), *all = json_pack("[s]", "*"), *output = NULL;
  size_t count = json_array_size(items), i;
  wirespan_carry **carries = scratch(count * sizeof *carries);
  const wirespan_plan *plan;
  for (i = 0; i < count; i++) {
    size_t header_count;
    wirespan_header *headers = item_headers(json_array_get(items, i), all, &header_count);
    ok(wirespan_carry_from_headers(headers, header_count, NULL, 0, &carries[i]));
  }
  if (ok(wirespan_carry_plan_process(field_text(input, "destination"), (const wirespan_carry *const *)carries, count,
                                     field_flag(input, "continue"), decimal(json_object_get(input, "now")), &plan))) {
    output = json_pack("{s:o}", "plan", show_plan(plan));
  }
  for (i = 0; i < count; i++) wirespan_carry_free(carries[i]);
  json_decref(all);
  return output;
}

/* Stream metrics. */

static uint32_t outcome_of(const char *name) {
  static const char *const NAMES[] = {"", "complete", "cancelled", "error", "abandoned"};
  uint32_t i;
  for (i = 1; i < 5; i++) {
    if (name != NULL && strcmp(name, NAMES[i]) == 0) return i;
  }
  return 0;
}

static void measure(wirespan_stream_metrics *metrics, json_t *step, size_t series, json_t *stalls) {
  const char *act = text_of(json_array_get(step, 0));
  json_t *first = json_array_get(step, 1);
  uint64_t last = (uint64_t)json_integer_value(json_array_get(step, json_array_size(step) - 1));
  wirespan_stall stall = {0, 0, 0};
  if (act == NULL) {
    wrong_input("a step");
  } else if (strcmp(act, "start") == 0) {
    ok(wirespan_stream_metrics_start(metrics, last));
  } else if (strcmp(act, "chunk") == 0) {
    ok(wirespan_stream_metrics_record_chunk(metrics, (uint64_t)json_integer_value(first), last, &stall));
    if (stall.interval_ns != 0) {
      json_array_append_new(
          stalls, json_pack("[I, I, I]", (json_int_t)series, (json_int_t)stall.chunk, (json_int_t)stall.interval_ns));
    }
  } else {
    ok(wirespan_stream_metrics_finish(metrics, outcome_of(text_of(first)), last));
  }
}

json_t *metrics(json_t *input) {
  json_t *all = json_object_get(input, "series"), *options = json_object_get(input, "options");
  json_t *stalls = json_array(), *output = json_object();
  size_t count = json_array_size(all), i, index;
  wirespan_stream_metrics **made = scratch(count * sizeof *made);
  wirespan_summary summary;
  for (i = 0; i < count; i++) {
    ok(wirespan_stream_metrics_new(field_number(options, "stall_threshold"), field_flag(options, "skip_empty_first"),
                                   &made[i]));
    json_t *steps = json_array_get(all, i);
    for (index = 0; index < json_array_size(steps); index++) {
      measure(made[i], json_array_get(steps, index), i, stalls);
    }
  }
  for (i = 1; i < count; i++) ok(wirespan_stream_metrics_merge(made[0], made[i]));
  if (ok(wirespan_stream_metrics_summary(made[0], &summary))) add(output, "summary", show_summary(&summary));
  add(output, "stalls", stalls);
  for (i = 0; i < count; i++) wirespan_stream_metrics_free(made[i]);
  if (how_it_failed() == FAILURE_NONE) return output;
  json_decref(output);
  return NULL;
}
