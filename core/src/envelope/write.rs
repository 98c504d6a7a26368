//! Writing heads in both forms, within their limits.

use std::borrow::Cow;

use super::body::push_json_string;
use super::{Content, End, Form, HeadFields, Kind, Role, binary, text};
use crate::error::{Error, ErrorKind};
use crate::limits::{MAX_BAGGAGE_BYTES, MAX_HEADERS, MAX_METHOD_BYTES, MAX_TRACESTATE_BYTES};
use crate::names::header;
use crate::trace::{TRACEPARENT_LEN, TraceFlags, TraceState};

/// What a writer left out to stay within the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The baggage was left out.
    pub baggage_dropped: bool,
    /// The tracestate was cut or left out.
    pub tracestate_cut: bool,
    /// How many headers of the application's own were left out.
    pub own_dropped: usize,
}

/// Appends the head of an envelope to an empty buffer: everything in front of the body.
///
/// What does not fit is left out: baggage first, then tracestate by whole members, then the application's own headers, the
/// last first (SPEC LI-3).
///
/// # Errors
///
/// `limit` if the reserved headers alone are longer than `max_header_bytes`. The buffer is then as it was.
// Inlined so that the result of the usual way is not written to memory and read back at once.
#[inline]
pub fn write_head(
    buffer: &mut Vec<u8>,
    form: Form,
    fields: &HeadFields<'_>,
    max_header_bytes: usize,
) -> Result<Written, Error> {
    if form == Form::Text && is_usual(fields) {
        write_usual_text(buffer, fields);
        return Ok(Written::default());
    }
    write_any_head(buffer, form, fields, max_header_bytes)
}

/// As [`write_head`], for heads of every shape.
fn write_any_head(
    buffer: &mut Vec<u8>,
    form: Form,
    fields: &HeadFields<'_>,
    max_header_bytes: usize,
) -> Result<Written, Error> {
    let start = buffer.len();
    let mut written = Written::default();
    let mut fields = *fields;
    let cut: Cow<'_, str>;
    if fields.trace_parent.is_none() {
        fields.trace_state = "";
    } else if !can_be_sent(fields.trace_state) || fields.trace_state.len() > MAX_TRACESTATE_BYTES {
        // What a host gives as tracestate has not been through a parser of this crate.
        cut = shorter_trace_state(fields.trace_state, MAX_TRACESTATE_BYTES);
        written.tracestate_cut = true;
        fields.trace_state = if cut.len() > MAX_TRACESTATE_BYTES {
            ""
        } else {
            &cut
        };
    }
    if !can_be_sent(fields.baggage) || fields.baggage.len() > MAX_BAGGAGE_BYTES {
        fields.baggage = "";
        written.baggage_dropped = true;
    }
    if reserved_count(form, &fields) + fields.own.len() > MAX_HEADERS && !fields.baggage.is_empty()
    {
        // Baggage goes before headers of the application's own, here as where bytes are short.
        fields.baggage = "";
        written.baggage_dropped = true;
    }
    let own_room = MAX_HEADERS.saturating_sub(reserved_count(form, &fields));
    if let Some(fitting) = fields.own.get(..own_room) {
        written.own_dropped = fields.own.len() - fitting.len();
        fields.own = fitting;
    }
    write(buffer, form, &fields);
    if buffer.len() - start <= max_header_bytes {
        return Ok(written);
    }
    let result = shrink(buffer, start, form, fields, max_header_bytes, written);
    if result.is_err() {
        buffer.truncate(start);
    }
    result
}

/// Writes again, with less each time, until the head fits.
fn shrink(
    buffer: &mut Vec<u8>,
    start: usize,
    form: Form,
    fields: HeadFields<'_>,
    max_header_bytes: usize,
    mut written: Written,
) -> Result<Written, Error> {
    let mut excess_of = |fields: &HeadFields<'_>| {
        buffer.truncate(start);
        write(buffer, form, fields);
        (buffer.len() - start).saturating_sub(max_header_bytes)
    };
    written.baggage_dropped |= !fields.baggage.is_empty();
    let fields = HeadFields {
        baggage: "",
        ..fields
    };
    let excess = excess_of(&fields);
    if excess == 0 {
        return Ok(written);
    }
    let whole = fields.trace_state;
    let cut = shorter_trace_state(whole, whole.len().saturating_sub(excess));
    written.tracestate_cut |= cut.len() < whole.len();
    let mut fields = HeadFields {
        trace_state: &cut,
        ..fields
    };
    while excess_of(&fields) > 0 {
        let Some((_, fewer)) = fields.own.split_last() else {
            if !fields.trace_state.is_empty() {
                // Vendor data never keeps a message from being sent, not even the 512 characters that should stay.
                fields.trace_state = "";
                written.tracestate_cut = true;
                continue;
            }
            return Err(Error::new(
                ErrorKind::Limit,
                "the headers do not fit into the head of a message (option max_header_bytes)",
            )
            .with_field("max_header_bytes"));
        };
        fields.own = fewer;
        written.own_dropped += 1;
    }
    Ok(written)
}

/// A tracestate cut by whole members; empty if it is none.
fn shorter_trace_state(value: &str, max_bytes: usize) -> Cow<'static, str> {
    match TraceState::parse_any_length(value) {
        Ok(trace_state) => Cow::Owned(trace_state.truncated(max_bytes).into_owned()),
        Err(_) => Cow::Borrowed(""),
    }
}

/// Tells whether a value is free of what must never be sent: control characters and what is no ASCII.
fn can_be_sent(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| matches!(byte, b'\t' | 0x20..=0x7E))
}

fn reserved_count(form: Form, fields: &HeadFields<'_>) -> usize {
    let hello = if form == Form::Text && fields.hello.is_some() {
        2
    } else {
        0
    };
    let present = [
        fields.trace_parent.is_some(),
        !fields.trace_state.is_empty(),
        !fields.baggage.is_empty(),
        fields.session.is_some(),
        fields.kind.is_some(),
        fields.method.is_some(),
        fields.stream.is_some(),
        fields.seq != 0,
        fields.end.is_some(),
        fields.error.is_some(),
        fields.content.is_some(),
        fields.sent.is_some(),
    ];
    hello + present.into_iter().filter(|present| *present).count()
}

/// Tells whether a head has only what almost every one has, and so is far below the smallest limit of a head.
fn is_usual(fields: &HeadFields<'_>) -> bool {
    fields.hello.is_none()
        && fields.trace_state.is_empty()
        && fields.baggage.is_empty()
        && fields.session.is_none()
        && fields.error.is_none()
        && fields.content.is_none()
        && fields.sent.is_none()
        && fields.own.is_empty()
        && fields
            .method
            .is_none_or(|method| method.len() <= MAX_METHOD_BYTES)
}

/// Writes a usual head in few and mostly fixed pieces; each entry brings the comma behind it. [`write_text`] writes the same
/// (tested below).
fn write_usual_text(buffer: &mut Vec<u8>, fields: &HeadFields<'_>) {
    buffer.extend_from_slice(text::START);
    let empty = buffer.len();
    if let Some(mut trace_parent) = fields.trace_parent {
        trace_parent.flags = known_flags(trace_parent.flags);
        let mut value = [0; TRACEPARENT_LEN];
        trace_parent.write_header(&mut value);
        buffer.extend_from_slice(b"\"traceparent\":\"");
        buffer.extend_from_slice(&value);
        buffer.extend_from_slice(b"\",");
    }
    match fields.kind {
        Some(Kind::Call) => buffer.extend_from_slice(b"\"kind\":\"call\","),
        Some(Kind::Transfer) => buffer.extend_from_slice(b"\"kind\":\"transfer\","),
        None => {}
    }
    if let Some(method) = fields.method {
        buffer.extend_from_slice(b"\"method\":");
        push_json_string(buffer, method);
        buffer.push(b',');
    }
    if let Some(stream) = fields.stream {
        buffer.extend_from_slice(b"\"stream\":\"");
        push_number(buffer, stream.get().into());
        buffer.extend_from_slice(b"\",");
    }
    if fields.seq != 0 {
        buffer.extend_from_slice(b"\"seq\":\"");
        push_number(buffer, fields.seq.into());
        buffer.extend_from_slice(b"\",");
    }
    match fields.end {
        Some(End::Complete) => buffer.extend_from_slice(b"\"end\":\"1\","),
        Some(End::Cancel) => buffer.extend_from_slice(b"\"end\":\"cancel\","),
        Some(End::Error) => buffer.extend_from_slice(b"\"end\":\"error\","),
        None => {}
    }
    if buffer.len() > empty {
        buffer.pop();
    }
    buffer.extend_from_slice(text::MIDDLE);
}

fn write(buffer: &mut Vec<u8>, form: Form, fields: &HeadFields<'_>) {
    match form {
        Form::Text => write_text(buffer, fields),
        Form::Binary => write_binary(buffer, fields),
    }
}

/// Writes members of the `headers` object.
pub(super) struct TextWriter<'b> {
    buffer: &'b mut Vec<u8>,
    first: bool,
}

impl<'b> TextWriter<'b> {
    pub(super) fn new(buffer: &'b mut Vec<u8>) -> Self {
        buffer.extend_from_slice(text::START);
        Self {
            buffer,
            first: true,
        }
    }

    fn comma(&mut self) {
        if self.first {
            self.first = false;
        } else {
            self.buffer.push(b',');
        }
    }

    /// A reserved name, which needs no escape, and the start of its value.
    fn name(&mut self, name: &str) {
        self.comma();
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(b"\":\"");
    }

    /// A reserved name with a value that needs no escape.
    fn plain(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.buffer.extend_from_slice(value);
        self.buffer.push(b'"');
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        push_number(self.buffer, number);
        self.buffer.push(b'"');
    }

    pub(super) fn entry(&mut self, name: &str, value: &str) {
        self.comma();
        push_json_string(self.buffer, name);
        self.buffer.push(b':');
        push_json_string(self.buffer, value);
    }

    pub(super) fn finish(self) {
        self.buffer.extend_from_slice(text::MIDDLE);
    }
}

fn write_text(buffer: &mut Vec<u8>, fields: &HeadFields<'_>) {
    let mut writer = TextWriter::new(buffer);
    if let Some((versions, role)) = fields.hello {
        writer.entry(header::WIRESPAN, versions);
        writer.plain(header::ROLE, role_word(role).as_bytes());
    }
    if let Some(mut trace_parent) = fields.trace_parent {
        trace_parent.flags = known_flags(trace_parent.flags);
        let mut value = [0; TRACEPARENT_LEN];
        trace_parent.write_header(&mut value);
        writer.plain(header::TRACEPARENT, &value);
    }
    if !fields.trace_state.is_empty() {
        writer.entry(header::TRACESTATE, fields.trace_state);
    }
    if !fields.baggage.is_empty() {
        writer.entry(header::BAGGAGE, fields.baggage);
    }
    if let Some(session) = fields.session {
        writer.entry(header::SESSION, session);
    }
    if let Some(kind) = fields.kind {
        writer.plain(header::KIND, kind_word(kind).as_bytes());
    }
    if let Some(method) = fields.method {
        writer.entry(header::METHOD, method);
    }
    if let Some(stream) = fields.stream {
        writer.number(header::STREAM, stream.get().into());
    }
    if fields.seq != 0 {
        writer.number(header::SEQ, fields.seq.into());
    }
    if let Some(end) = fields.end {
        writer.plain(header::END, end_word(end).as_bytes());
    }
    if let Some(error) = fields.error {
        writer.entry(header::ERROR, error);
    }
    if let Some(content) = fields.content {
        writer.plain(header::CONTENT, content_word(content).as_bytes());
    }
    if let Some(sent) = fields.sent {
        writer.number(header::SENT, sent);
    }
    for (name, value) in fields.own {
        writer.entry(name, value);
    }
    writer.finish();
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
    }
}

pub(super) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Call => "call",
        Kind::Transfer => "transfer",
    }
}

pub(super) fn end_word(end: End) -> &'static str {
    match end {
        End::Complete => "1",
        End::Cancel => "cancel",
        End::Error => "error",
    }
}

pub(super) fn content_word(content: Content) -> &'static str {
    match content {
        Content::Text => "text",
        Content::None => "none",
    }
}

/// Flags without the bits that this version does not know.
fn known_flags(flags: TraceFlags) -> TraceFlags {
    TraceFlags::from_bits(flags.bits() & (TraceFlags::SAMPLED.bits() | TraceFlags::RANDOM.bits()))
}

fn push_number(buffer: &mut Vec<u8>, mut number: u64) {
    // 20 digits are as many as 2^64 - 1 has.
    let mut digits = [b'0'; 20];
    let mut from = digits.len();
    for slot in digits.iter_mut().rev() {
        from -= 1;
        *slot = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    buffer.extend_from_slice(digits.get(from..).unwrap_or_default());
}

/// Writes the entries of a binary head.
pub(super) struct BinaryWriter<'b> {
    buffer: &'b mut Vec<u8>,
    start: usize,
}

impl<'b> BinaryWriter<'b> {
    pub(super) fn new(buffer: &'b mut Vec<u8>, trace: Option<&[u8; binary::TRACE_BYTES]>) -> Self {
        let start = buffer.len();
        let flags = if trace.is_some() {
            binary::FLAG_TRACE
        } else {
            0
        };
        buffer.extend_from_slice(&[
            binary::START[0],
            binary::START[1],
            binary::VERSION,
            flags,
            0,
            0,
        ]);
        if let Some(block) = trace {
            buffer.extend_from_slice(block);
        }
        Self { buffer, start }
    }

    pub(super) fn entry(&mut self, tag: u8, value: &[u8]) {
        self.tag(tag, value.len());
        self.buffer.extend_from_slice(value);
    }

    pub(super) fn other(&mut self, name: &str, value: &str) {
        self.tag(binary::kind::OTHER, 1 + name.len() + value.len());
        self.buffer
            .push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(value.as_bytes());
    }

    fn tag(&mut self, tag: u8, length: usize) {
        // An entry longer than this makes a head longer than any limit, which is never sent.
        let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        self.buffer.extend_from_slice(&[tag, high, low]);
    }

    /// Fills in the length of the head, which is false where the head is longer than any limit.
    pub(super) fn finish(self) -> bool {
        let length = self.buffer.len() - self.start - binary::FIXED_BYTES;
        let fits = u16::try_from(length);
        let bytes = fits.unwrap_or(u16::MAX).to_be_bytes();
        if let Some(slot) = self
            .buffer
            .get_mut(self.start + 4..self.start + binary::FIXED_BYTES)
        {
            slot.copy_from_slice(&bytes);
        }
        fits.is_ok()
    }
}

fn write_binary(buffer: &mut Vec<u8>, fields: &HeadFields<'_>) {
    use binary::kind;
    let block = fields.trace_parent.map(|trace_parent| {
        let mut block = [0; binary::TRACE_BYTES];
        let (trace_id, rest) = block.split_at_mut(16);
        let (span_id, flags) = rest.split_at_mut(8);
        trace_id.copy_from_slice(&trace_parent.trace_id);
        span_id.copy_from_slice(&trace_parent.span_id);
        flags.copy_from_slice(&[known_flags(trace_parent.flags).bits()]);
        block
    });
    let mut writer = BinaryWriter::new(buffer, block.as_ref());
    if !fields.trace_state.is_empty() {
        writer.entry(kind::TRACESTATE, fields.trace_state.as_bytes());
    }
    if !fields.baggage.is_empty() {
        writer.entry(kind::BAGGAGE, fields.baggage.as_bytes());
    }
    if let Some(session) = fields.session {
        writer.entry(kind::SESSION, session.as_bytes());
    }
    if let Some(value) = fields.kind {
        writer.entry(kind::KIND, &[kind_code(value)]);
    }
    if let Some(method) = fields.method {
        writer.entry(kind::METHOD, method.as_bytes());
    }
    if let Some(stream) = fields.stream {
        writer.entry(kind::STREAM, &stream.get().to_be_bytes());
    }
    if fields.seq != 0 {
        writer.entry(kind::SEQ, &fields.seq.to_be_bytes());
    }
    if let Some(end) = fields.end {
        writer.entry(kind::END, &[end_code(end)]);
    }
    if let Some(error) = fields.error {
        writer.entry(kind::ERROR, error.as_bytes());
    }
    if let Some(content) = fields.content {
        writer.entry(kind::CONTENT, &[content_code(content)]);
    }
    if let Some(sent) = fields.sent {
        writer.entry(kind::SENT, &sent.to_be_bytes());
    }
    for (name, value) in fields.own {
        writer.other(name, value);
    }
    // The caller compares the length with a limit that is far below what the field can hold.
    writer.finish();
}

pub(super) fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::Call => 1,
        Kind::Transfer => 2,
    }
}

pub(super) fn end_code(end: End) -> u8 {
    match end {
        End::Complete => 1,
        End::Cancel => 2,
        End::Error => 3,
    }
}

pub(super) fn content_code(content: Content) -> u8 {
    match content {
        Content::Text => 1,
        Content::None => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MIN_MAX_HEADER_BYTES;
    use crate::trace::TraceParent;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn usual_heads_are_written_like_all_others(
            ids in any::<Option<([u8; 16], [u8; 8], u8)>>(),
            kind in proptest::option::of(prop_oneof![Just(Kind::Call), Just(Kind::Transfer)]),
            method in proptest::option::of("[!-~]{1,128}"),
            stream in any::<Option<std::num::NonZeroU32>>(),
            seq in prop_oneof![0_u32..200, any::<u32>()],
            end in proptest::option::of(prop_oneof![Just(End::Complete), Just(End::Cancel), Just(End::Error)]),
        ) {
            let fields = HeadFields {
                trace_parent: ids.and_then(|(trace, span, bits)| {
                    TraceParent::new(trace, span, TraceFlags::from_bits(bits))
                }),
                kind,
                method: method.as_deref(),
                stream,
                seq,
                end,
                ..HeadFields::default()
            };
            prop_assert!(is_usual(&fields));
            let (mut usual, mut any) = (Vec::new(), Vec::new());
            let written = write_head(&mut usual, Form::Text, &fields, MIN_MAX_HEADER_BYTES).unwrap();
            prop_assert_eq!(
                write_any_head(&mut any, Form::Text, &fields, MIN_MAX_HEADER_BYTES).unwrap(),
                written
            );
            prop_assert_eq!(usual, any);
        }
    }
}
