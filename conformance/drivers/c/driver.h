/* What the files of the driver share. It uses what every application of wirespan.h can use and nothing else. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DRIVER_H
#define DRIVER_H

#include <jansson.h> /* JSON with texts that hold NUL and whole numbers that stay whole */
#include <stdbool.h>
#include <stddef.h>
#include <wirespan.h>

/* An operation gives its output, or NULL after it has noted why not (`raised`, `refuse` or `wrong_input`). */
typedef json_t *operation(json_t *input);

/* How the operation that runs has failed. */
typedef enum failure { FAILURE_NONE, FAILURE_RAISED, FAILURE_REFUSED, FAILURE_INPUT } failure;

/* Notes a status that is not OK, and tells whether it is OK. */
bool ok(wirespan_status status);
/* As `ok`; a value outside its grammar is the operation's answer and no error. */
bool ok_or_refused(wirespan_status status);
void wrong_input(const char *what);
failure how_it_failed(void);
void forget_failure(void);

/* Memory that is freed once the request is answered. */
void *scratch(size_t size);
char *scratch_text(const char *text, size_t length);
void free_scratch(void);

/* Reading the protocol's JSON. */
const char *text_of(json_t *value);                       /* NULL if it is none */
const char *field_text(json_t *object, const char *name); /* NULL if it is absent */
uint64_t field_number(json_t *object, const char *name);
bool field_flag(json_t *object, const char *name);
wirespan_str str_of(json_t *text);
wirespan_str value_of(json_t *value); /* a text, or bytes that need not be one */
wirespan_str *values_of(json_t *list, size_t *count);
wirespan_header *headers_of(json_t *pairs, size_t *count);
const char **names_of(json_t *list, size_t *count);
/* A message as bytes, and its form. */
wirespan_str message_of(json_t *message, wirespan_form *form);
wirespan_str body_of(json_t *body, uint32_t *body_type);
/* NULL without one. */
wirespan_span_context *context_of(json_t *context);
/* The value of a baggage header that says what an object of names and values says. */
wirespan_str baggage_of(json_t *object);
/* The `context` and the `baggage` of an object. */
wirespan_context whole_context_of(json_t *object);

/* Writing it. `add` leaves out what is absent, empty or zero, and takes the value over. */
void add(json_t *object, const char *name, json_t *value);
json_t *show_text(wirespan_str text);
json_t *show_message(const void *data, size_t length, wirespan_form form);
json_t *show_context(const wirespan_span_context *context);
json_t *show_baggage(wirespan_str baggage);
json_t *show_headers(const wirespan_header *headers, size_t count);
json_t *show_attributes(const wirespan_attribute *attributes, size_t count);
json_t *show_plan(const wirespan_plan *plan);
json_t *show_summary(const wirespan_summary *summary);

operation traceparent_parse, tracestate_parse, baggage_parse, baggage_write, propagate;
operation envelope_unwrap, envelope_wrap, envelope_convert;
operation carry_to_headers, carry_from_headers, carry_plan_send, carry_plan_process, metrics;
operation connection_case;

#endif
