/* Tests of the parts by themselves: propagator, carry, envelope, stream metrics, names. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#define TRACEPARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static wirespan_header header_of(const char *name, const char *value) {
  wirespan_header header;
  header.name = wirespan_str_of(name);
  header.value = wirespan_str_of(value);
  return header;
}

static void traceparents_are_read_to_the_letter(void) {
  wirespan_span_context span;
  wirespan_error error;
  char text[WIRESPAN_TRACEPARENT_LENGTH + 1];
  OK(wirespan_traceparent_parse(TRACEPARENT, strlen(TRACEPARENT), &span));
  CHECK(span.flags == 1 && span.is_remote && wirespan_has_span(&span));
  OK(wirespan_traceparent_format(&span, text, sizeof text));
  CHECK(strcmp(text, TRACEPARENT) == 0);
  CHECK_STATUS(WIRESPAN_STATUS_BUFFER_TOO_SMALL, wirespan_traceparent_format(&span, text, sizeof text - 1));
  CHECK_STATUS(WIRESPAN_STATUS_MALFORMED, wirespan_traceparent_parse("00-0AF7", 7, &span));
  CHECK_STATUS(WIRESPAN_STATUS_MALFORMED,
               wirespan_traceparent_parse("00-00000000000000000000000000000000-b7ad6b7169203331-01", 55, &span));
  OK(wirespan_last_error(&error));
  CHECK(strcmp(error.reason, "zero_id") == 0 && strcmp(error.field, "traceparent") == 0 && error.offset == 3);
  /* Outputs are written only on success. */
  CHECK(wirespan_has_span(&span));
  memset(&span, 0, sizeof span);
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_traceparent_format(&span, text, sizeof text));
}

static void contexts_go_through_headers(void) {
  static char room[WIRESPAN_CONTEXT_BYTES], more[WIRESPAN_CONTEXT_BYTES];
  wirespan_header headers[3], out[3];
  wirespan_context context;
  size_t length, count;
  headers[0] = header_of("TraceParent", TRACEPARENT);
  headers[1] = header_of("tracestate", "a=1,b=2");
  headers[2] = header_of("baggage", "user=J%C3%B6rg;p=1,plus=a+b");
  CHECK_STATUS(WIRESPAN_STATUS_BUFFER_TOO_SMALL, wirespan_propagator_extract(headers, 3, room, 3, &length, &context));
  OK(wirespan_propagator_extract(headers, 3, room, length, &length, &context));
  CHECK(is_text(context.span.trace_state, "a=1,b=2") && is_text(context.baggage, "user=J%C3%B6rg;p=1,plus=a+b"));
  OK(wirespan_propagator_inject(&context, more, sizeof more, &length, out, &count));
  CHECK(count == 3 && is_text(out[0].name, "traceparent") && is_text(out[0].value, TRACEPARENT));
  CHECK(is_text(out[1].value, "a=1,b=2") && is_text(out[2].value, "user=J%C3%B6rg;p=1,plus=a+b"));
  /* Given twice: absent. */
  headers[1] = headers[0];
  OK(wirespan_propagator_extract(headers, 2, room, sizeof room, &length, &context));
  CHECK(!wirespan_has_span(&context.span) && context.baggage.length == 0);
}

static int freed;

static void count_free(void *data) {
  CHECK(data == &freed);
  freed++;
}

static void items_carry_their_context(void) {
  const uint64_t sent_unix_ns = 1000;
  static char room[WIRESPAN_CONTEXT_BYTES];
  const char *const allowed[] = {"user"};
  wirespan_carry *carry = NULL;
  const wirespan_carry *items[2];
  wirespan_carried carried;
  wirespan_context context;
  wirespan_header headers[5];
  const wirespan_plan *plan;
  size_t length, count;
  memset(&context, 0, sizeof context);
  context.span = a_span(5);
  context.baggage = wirespan_str_of("user=j,secret=s");
  OK(wirespan_carry_capture(&context, "s-1", &freed, count_free, 100, &carry));
  OK(wirespan_carry_restore(carry, 350, &carried));
  CHECK(carried.wait_ns == 250 && carried.user_data == &freed && carried.context.span.span_id[0] == 5);
  CHECK(is_text(carried.session_id, "s-1") && is_text(carried.context.baggage, "user=j,secret=s"));
  OK(wirespan_carry_restore(carry, 50, &carried));
  CHECK(carried.wait_ns == 0 && freed == 0);
  OK(wirespan_carry_free(carry));
  CHECK(freed == 1);
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_carry_free(carry));
  CHECK(freed == 1);

  OK(wirespan_carry_to_headers(&context, "s-1", &sent_unix_ns, allowed, 1, room, sizeof room, &length, headers,
                               &count));
  CHECK(count == 4 && is_text(headers[1].name, "baggage") && is_text(headers[1].value, "user=j"));
  OK(wirespan_carry_from_headers(headers, count, NULL, 0, &carry));
  OK(wirespan_carry_restore(carry, 1500, &carried));
  CHECK(carried.wait_ns == 500 && carried.context.baggage.length == 0 && carried.context.span.is_remote);
  items[0] = items[1] = carry;
  OK(wirespan_carry_plan_process("orders", items, 1, true, 1500, &plan));
  CHECK(is_text(plan->name, "process orders") && plan->kind == WIRESPAN_SPAN_KIND_CONSUMER);
  CHECK(plan->parent == WIRESPAN_PARENT_REMOTE && plan->link_count == 1 && plan->span == WIRESPAN_SPAN_DETACHED);
  OK(wirespan_carry_plan_process("orders", items, 2, true, 1500, &plan));
  CHECK(plan->parent == WIRESPAN_PARENT_ROOT && plan->link_count == 2);
  OK(wirespan_carry_plan_send(NULL, NULL, &context.span, &plan));
  CHECK(is_text(plan->name, "websocket send") && plan->parent_context.span.span_id[0] == 5);
  OK(wirespan_carry_free(carry));
}

static void envelope_of(wirespan_envelope *envelope, const char *message) {
  OK(wirespan_envelope_read((const uint8_t *)message, strlen(message), WIRESPAN_FORM_TEXT, WIRESPAN_PEER_ANNOUNCED,
                            envelope));
}

static void envelopes_are_written_read_and_converted(void) {
  static char long_text[8190];
  static unsigned char large[WIRESPAN_MAX_OVERHEAD];
  unsigned char text[512], binary[512];
  wirespan_written written;
  wirespan_header own;
  wirespan_head head;
  wirespan_envelope opened;
  size_t length, head_length;
  memset(&head, 0, sizeof head);
  head.span = a_span(7);
  head.kind = WIRESPAN_KIND_CALL;
  head.method = wirespan_str_of("order");
  head.stream = 1;
  head.end = WIRESPAN_END_COMPLETE;
  OK(wirespan_envelope_write(&head, WIRESPAN_BODY_TEXT, (const uint8_t *)"not \"JSON\"", 10, text, sizeof text, &length,
                             &written));
  CHECK(!written.baggage_dropped && !written.tracestate_cut && written.own_dropped == 0);
  OK(wirespan_envelope_read(text, length, WIRESPAN_FORM_TEXT, WIRESPAN_PEER_ANNOUNCED, &opened));
  CHECK(opened.opened == WIRESPAN_OPENED_ENVELOPE && opened.is_text && opened.body_length == 10);
  CHECK(memcmp(opened.body, "not \"JSON\"", 10) == 0);
  CHECK(opened.head.stream == 1 && opened.head.kind == WIRESPAN_KIND_CALL && is_text(opened.head.method, "order"));
  CHECK(opened.head.end == WIRESPAN_END_COMPLETE && opened.head.span.span_id[0] == 7);
  OK(wirespan_envelope_convert_head(text, length, WIRESPAN_FORM_TEXT, WIRESPAN_PEER_ANNOUNCED, binary, sizeof binary,
                                    &head_length));
  CHECK(binary[0] == 0xff && binary[1] == 0x57);
  OK(wirespan_envelope_read(binary, head_length, WIRESPAN_FORM_BINARY, WIRESPAN_PEER_ANNOUNCED, &opened));
  CHECK(opened.opened == WIRESPAN_OPENED_ENVELOPE && is_text(opened.head.method, "order"));
  OK(wirespan_envelope_read((const uint8_t *)"hello", 5, WIRESPAN_FORM_TEXT, WIRESPAN_PEER_ANNOUNCED, &opened));
  CHECK(opened.opened == WIRESPAN_OPENED_PLAIN && is_text(opened.reason, "ordinary"));
  envelope_of(&opened,
              "{\"headers\":{\"stream\":\"1\",\"seq\":\"0\",\"traceparent\":\"00-x\",\"end\":\"5\"},\"body\":1}");
  CHECK(opened.opened == WIRESPAN_OPENED_ENVELOPE && opened.head.has_seq && !opened.head.has_sent);
  CHECK(opened.drops.context_invalid && opened.drops.header_invalid == 1 && !opened.drops.header_repeated);
  envelope_of(&opened, "{\"headers\":{\"stream\":1},\"body\":1}");
  CHECK(opened.opened == WIRESPAN_OPENED_MALFORMED && is_text(opened.reason, "character"));
  /* What does not fit is left out, and told. */
  memset(long_text, 'b', sizeof long_text);
  head.baggage.data = long_text;
  head.baggage.length = sizeof long_text;
  memcpy(long_text, "k=", 2);
  own.name = wirespan_str_of("own");
  own.value = head.baggage;
  head.headers = &own;
  head.header_count = 1;
  OK(wirespan_envelope_write(&head, WIRESPAN_BODY_NONE_BINARY, NULL, 0, large, sizeof large, &length, &written));
  CHECK(large[0] == 0xff && written.baggage_dropped && written.own_dropped == 0);
  head.method = wirespan_str_of("two words");
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT,
               wirespan_envelope_write(&head, WIRESPAN_BODY_NONE, NULL, 0, text, sizeof text, &length, NULL));
  check_error("method", "characters");
}

static void streams_are_measured(void) {
  wirespan_stream_metrics *metrics = NULL, *other = NULL;
  wirespan_summary summary;
  wirespan_stall stall;
  wirespan_attribute attributes[14];
  const uint64_t at_ms[] = {120, 140, 160, 2160};
  size_t i, count;
  OK(wirespan_stream_metrics_new(0, false, &metrics));
  OK(wirespan_stream_metrics_start(metrics, 0));
  for (i = 0; i < 4; i++) OK(wirespan_stream_metrics_record_chunk(metrics, 64, at_ms[i] * MS, &stall));
  CHECK(stall.interval_ns == 2000 * MS && stall.chunk == 3);
  OK(wirespan_stream_metrics_finish(metrics, WIRESPAN_OUTCOME_COMPLETE, 2200 * MS));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_stream_metrics_finish(metrics, 9, 0));
  OK(wirespan_stream_metrics_summary(metrics, &summary));
  CHECK(summary.chunks == 4 && summary.bytes == 256 && summary.stalls == 1);
  CHECK(summary.time_to_first_chunk_ns == (int64_t)(120 * MS) && summary.outcome == WIRESPAN_OUTCOME_COMPLETE);
  CHECK_STATUS(WIRESPAN_STATUS_BUFFER_TOO_SMALL,
               wirespan_stream_metrics_attributes(metrics, true, attributes, 2, &count));
  CHECK(count == 14);
  OK(wirespan_stream_metrics_attributes(metrics, true, attributes, 14, &count));
  CHECK(is_text(attributes[0].key, "websocket.stream.sent.chunks") && attributes[0].integer == 4);
  OK(wirespan_stream_metrics_new(0, false, &other));
  OK(wirespan_stream_metrics_merge(other, metrics));
  OK(wirespan_stream_metrics_merge(other, other));
  OK(wirespan_stream_metrics_summary(other, &summary));
  CHECK(summary.chunks == 8 && summary.rate == -1.0 && summary.time_to_first_chunk_ns == -1);
  OK(wirespan_stream_metrics_free(metrics));
  OK(wirespan_stream_metrics_free(other));
}

static void lists_of_values_are_read_and_written(void) {
  wirespan_span_context span;
  wirespan_baggage *baggage = NULL;
  wirespan_baggage_member member;
  wirespan_error error;
  size_t length, dropped;
  char text[64];
  wirespan_str values[2] = {wirespan_str_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"),
                            wirespan_str_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")};
  OK(wirespan_traceparent_parse_values(values, 1, &span));
  CHECK(span.flags == 3 && span.is_remote);
  CHECK_STATUS(WIRESPAN_STATUS_MALFORMED, wirespan_traceparent_parse_values(values, 2, &span));
  OK(wirespan_last_error(&error));
  CHECK(strcmp(error.reason, "duplicate") == 0);
  OK(wirespan_traceparent_parse_values(NULL, 0, &span));
  CHECK(!wirespan_has_span(&span));

  values[0] = wirespan_str_of("a=1,,b=2");
  values[1] = wirespan_str_of("a=3");
  OK(wirespan_tracestate_parse(values, 2, text, sizeof text, &length));
  CHECK(length == 7 && memcmp(text, "a=1,b=2", 7) == 0);
  CHECK_STATUS(WIRESPAN_STATUS_BUFFER_TOO_SMALL, wirespan_tracestate_parse(values, 2, text, 6, &length));
  CHECK(length == 7);
  values[1] = wirespan_str_of("A=3");
  CHECK_STATUS(WIRESPAN_STATUS_MALFORMED, wirespan_tracestate_parse(values, 2, text, sizeof text, &length));

  values[0] = wirespan_str_of("user=J%C3%BCrgen;p=1, a b=1");
  OK(wirespan_baggage_parse(values, 1, &baggage, &dropped));
  OK(wirespan_baggage_read_member(baggage, 0, &member));
  CHECK(dropped == 1 && is_text(member.key, "user") && is_text(member.value, "J\xc3\xbcrgen") &&
        is_text(member.properties, "p=1"));
  OK(wirespan_baggage_read_member(baggage, 1, &member));
  CHECK(member.key.length == 0);
  member.key = wirespan_str_of("no token");
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_baggage_insert(baggage, member));
  check_error("key", "letters");
  member.key = wirespan_str_of("tier");
  member.value = wirespan_str_of("50%");
  OK(wirespan_baggage_insert(baggage, member));
  OK(wirespan_baggage_write(baggage, text, sizeof text, &length, &dropped));
  CHECK(dropped == 0 && length == 31 && memcmp(text, "user=J%C3%BCrgen;p=1,tier=50%25", 31) == 0);
  OK(wirespan_baggage_free(baggage));
  CHECK_STATUS(WIRESPAN_STATUS_INVALID_ARGUMENT, wirespan_baggage_free(baggage));
}

int main(void) {
  uint64_t before = wirespan_clock_ns();
  traceparents_are_read_to_the_letter();
  contexts_go_through_headers();
  items_carry_their_context();
  envelopes_are_written_read_and_converted();
  lists_of_values_are_read_and_written();
  streams_are_measured();
  CHECK(wirespan_live_objects() == 0 && wirespan_clock_ns() >= before);
  CHECK(strlen(wirespan_version()) >= 5);
  printf("6 passed, 0 failed\n");
  return 0;
}
