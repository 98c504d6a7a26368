//! Bodies, and the frames that hold a head and a body.

use super::json::{is_value, next_to_escape};
use super::{Form, Recognition, binary, text};
use crate::limits::{MAX_HEADER_BYTES, MAX_NESTING};

/// What the application sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body<'a> {
    /// A text message. If it is one JSON value it goes into an envelope as it is, else as a JSON string.
    Text(&'a str),
    /// A text message that is known to be one JSON value in UTF-8; it is not checked.
    Json(&'a [u8]),
    /// A binary message.
    Binary(&'a [u8]),
    /// No body; the form is that of the message that says so.
    None(Form),
}

impl<'a> Body<'a> {
    /// The form in which the body travels.
    #[must_use]
    pub fn form(self) -> Form {
        match self {
            Self::Text(_) | Self::Json(_) => Form::Text,
            Self::Binary(_) => Form::Binary,
            Self::None(form) => form,
        }
    }

    /// The bytes as the application gave them; none for [`Body::None`].
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Json(bytes) | Self::Binary(bytes) => bytes,
            Self::None(_) => &[],
        }
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(self) -> usize {
        self.bytes().len()
    }

    /// Tells whether there are no bytes.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bytes().is_empty()
    }
}

/// How a text stands in an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextBody {
    /// As it is: it is one JSON value.
    Json,
    /// As a JSON string, with `content:text`.
    Text,
}

/// Decides how a text stands in an envelope: as it is if it is one JSON value, nested at most `max_nesting` deep, with nothing
/// but white space around it.
#[must_use]
pub fn classify_text(text: &[u8], max_nesting: usize) -> TextBody {
    if is_value(text, max_nesting) {
        TextBody::Json
    } else {
        TextBody::Text
    }
}

/// Tells whether a message of the application could be taken for an envelope by a peer that recognises as `recognition` says,
/// so that it has to be wrapped (SPEC RC-5).
#[must_use]
pub fn is_look_alike(message: &[u8], form: Form, recognition: Recognition) -> bool {
    match (form, recognition) {
        (Form::Binary, _) => message.starts_with(&binary::START),
        (Form::Text, Recognition::Canonical) => message.starts_with(text::START),
        (Form::Text, Recognition::Any { .. }) => {
            // The peer may hold this side for announced, whatever it says of itself, and then looks at the head alone.
            let mut ignored = Vec::new();
            message.starts_with(text::START)
                || text::scan_any(message, MAX_NESTING, MAX_HEADER_BYTES, &mut ignored).is_ok()
        }
    }
}

/// How the body stands in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameBody<'a> {
    /// These bytes.
    Raw(&'a [u8]),
    /// A JSON string that holds this text.
    JsonString(&'a str),
    /// Nothing: `null` in the text form, no bytes in the binary form.
    Null,
}

/// A message for the transport, as its parts: whoever sends it copies them once, into memory of its own.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    form: Form,
    head: &'a [u8],
    body: FrameBody<'a>,
    tail: &'static [u8],
}

impl<'a> Frame<'a> {
    /// Makes a frame of a head that [`super::write_head`] wrote and a body.
    #[must_use]
    pub fn new(form: Form, head: &'a [u8], body: FrameBody<'a>) -> Self {
        let tail: &[u8] = match form {
            Form::Text => b"}",
            Form::Binary => b"",
        };
        Self {
            form,
            head,
            body,
            tail,
        }
    }

    /// Makes a frame of a message that is complete already.
    pub(crate) fn whole(form: Form, message: &'a [u8]) -> Self {
        Self {
            form,
            head: message,
            body: FrameBody::Raw(b""),
            tail: b"",
        }
    }

    /// Makes a frame that is the application's message and nothing else.
    #[must_use]
    pub fn bare(body: Body<'a>) -> Self {
        Self {
            form: body.form(),
            head: b"",
            body: FrameBody::Raw(body.bytes()),
            tail: b"",
        }
    }

    /// The kind of WebSocket message.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// The length in bytes.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "how long a buffer must be, not whether there is something to send"
    )]
    pub fn len(&self) -> usize {
        let body = match self.body {
            FrameBody::Raw(bytes) => bytes.len(),
            FrameBody::JsonString(text) => json_string_len(text),
            FrameBody::Null => self.null().len(),
        };
        self.head.len() + body + self.tail.len()
    }

    fn null(&self) -> &'static [u8] {
        match self.form {
            Form::Text => b"null",
            Form::Binary => b"",
        }
    }

    /// The parts that can be copied as they are, in order; absent where the body must be escaped.
    #[must_use]
    pub fn parts(&self) -> Option<[&'a [u8]; 3]> {
        match self.body {
            FrameBody::Raw(bytes) => Some([self.head, bytes, self.tail]),
            FrameBody::Null => Some([self.head, self.null(), self.tail]),
            FrameBody::JsonString(_) => None,
        }
    }

    /// Appends the frame to a buffer.
    pub fn write_to(&self, buffer: &mut Vec<u8>) {
        buffer.reserve(self.len());
        self.append_to(buffer);
    }

    fn append_to(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(self.head);
        match self.body {
            FrameBody::Raw(bytes) => buffer.extend_from_slice(bytes),
            FrameBody::JsonString(text) => push_json_string(buffer, text),
            FrameBody::Null => buffer.extend_from_slice(self.null()),
        }
        buffer.extend_from_slice(self.tail);
    }

    /// Writes the frame to the start of a buffer and returns how many bytes it took; `None`, and nothing written, if the buffer
    /// is too short.
    pub fn copy_to(&self, buffer: &mut [u8]) -> Option<usize> {
        let target = buffer.get_mut(..self.len())?;
        match self.parts() {
            Some([head, body, tail]) => {
                let (to_head, rest) = target.split_at_mut_checked(head.len())?;
                let (to_body, to_tail) = rest.split_at_mut_checked(body.len())?;
                to_head.copy_from_slice(head);
                to_body.copy_from_slice(body);
                to_tail.copy_from_slice(tail);
            }
            None => target.copy_from_slice(&self.to_vec()),
        }
        Some(self.len())
    }

    /// The frame as one allocation.
    #[must_use]
    #[inline]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.append_to(&mut bytes);
        bytes
    }
}

/// Appends a JSON string. Written escapes are the short ones, and `\u00xx` for other control characters (SPEC TX-3).
pub(super) fn push_json_string(buffer: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    buffer.push(b'"');
    let mut at = 0;
    loop {
        let next = next_to_escape(bytes, at);
        buffer.extend_from_slice(bytes.get(at..next).unwrap_or_default());
        let Some(byte) = bytes.get(next) else { break };
        match short_escape(*byte) {
            Some(letter) => buffer.extend_from_slice(&[b'\\', letter]),
            None => {
                const DIGITS: [u8; 16] = *b"0123456789abcdef";
                let digit = |nibble: u8| DIGITS[usize::from(nibble & 0xF)];
                buffer.extend_from_slice(&[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    digit(byte >> 4),
                    digit(*byte),
                ]);
            }
        }
        at = next + 1;
    }
    buffer.push(b'"');
}

/// The length of what [`push_json_string`] appends.
fn json_string_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut len = bytes.len() + 2;
    let mut at = next_to_escape(bytes, 0);
    while let Some(byte) = bytes.get(at) {
        len += if short_escape(*byte).is_some() { 1 } else { 5 };
        at = next_to_escape(bytes, at + 1);
    }
    len
}

fn short_escape(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' => Some(byte),
        0x08 => Some(b'b'),
        b'\t' => Some(b't'),
        b'\n' => Some(b'n'),
        0x0C => Some(b'f'),
        b'\r' => Some(b'r'),
        _ => None,
    }
}
