//! `traceparent`: ids and flags, in exactly 55 characters.

use std::fmt;
use std::str::FromStr;

use crate::limits::MAX_TRACEPARENT_BYTES;
use crate::names::header::TRACEPARENT;
use crate::{Error, Refusal};

/// Length of a `traceparent` as it is written, in bytes.
pub const TRACEPARENT_LEN: usize = 55;

const VERSION: usize = 0;
const TRACE_ID: usize = 3;
const SPAN_ID: usize = 36;
const FLAGS: usize = 53;

/// Trace flags: bit 0 is sampled, bit 1 says that the trace id is random. No other bit is ever set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceFlags(u8);

impl TraceFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The caller may have recorded the trace.
    pub const SAMPLED: Self = Self(0x01);
    /// The right-most seven bytes of the trace id are random (level 2).
    pub const RANDOM: Self = Self(0x02);

    /// Keeps the known bits and clears the others.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::SAMPLED.0 | Self::RANDOM.0))
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Tells whether the caller may have recorded the trace.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Tells whether the trace id is known to be random.
    #[must_use]
    pub const fn is_random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }

    /// The same flags, and the random one.
    #[must_use]
    pub const fn with_random(self) -> Self {
        Self(self.0 | Self::RANDOM.0)
    }
}

/// The ids and flags of a span, as they travel in a `traceparent`.
///
/// # Example
///
/// ```
/// use wirespan::trace::TraceParent;
///
/// let value = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let trace_parent = TraceParent::parse(value)?;
/// assert!(trace_parent.flags.is_sampled());
/// assert_eq!(trace_parent.to_header().as_bytes(), value);
/// # Ok::<(), wirespan::Error>(())
/// ```
// Of an odd size it would be copied in pieces that overlap, each of which waits for the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(align(8))]
pub struct TraceParent {
    /// Names the trace; not all zeros.
    pub trace_id: [u8; 16],
    /// Names the span; not all zeros.
    pub span_id: [u8; 8],
    /// What is known about the trace.
    pub flags: TraceFlags,
}

impl TraceParent {
    /// Makes one from its parts, or `None` if an id is all zeros.
    #[must_use]
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: TraceFlags) -> Option<Self> {
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self {
            trace_id,
            span_id,
            flags,
        })
    }

    /// The ids and flags of a span under this one, with the random flag where the tracer that made it forgot that the trace id is
    /// random: that is true of the whole trace (W3C Trace Context level 2, 3.2.2.5.2; SPEC TC-15).
    #[must_use]
    pub fn keep_random(self, mut child: Self) -> Self {
        if self.flags.is_random() && child.trace_id == self.trace_id {
            child.flags = child.flags.with_random();
        }
        child
    }

    /// Reads the value of a `traceparent`. Space and tab around it are accepted; a later version is read as far as
    /// version 00 goes.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Malformed`] with the reason and the offset of the first byte that is wrong.
    pub fn parse(value: &[u8]) -> Result<Self, Error> {
        if value.len() > MAX_TRACEPARENT_BYTES {
            return Err(refused(Refusal::TooLong, MAX_TRACEPARENT_BYTES));
        }
        if let Ok(exact) = <&[u8; TRACEPARENT_LEN]>::try_from(value)
            && let Some(parsed) = read_canonical(exact)
        {
            return Ok(parsed);
        }
        parse_general(value)
    }

    /// Reads the values of all `traceparent` fields of a carrier; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`TraceParent::parse`], and [`Refusal::Duplicate`] for two or more values.
    pub fn from_values<'a>(
        mut values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<Self>, Error> {
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(refused(Refusal::Duplicate, 0));
        }
        Self::parse(value).map(Some)
    }

    /// Writes the value of a `traceparent`, version 00.
    #[must_use]
    pub fn to_header(&self) -> String {
        let mut buffer = [0; TRACEPARENT_LEN];
        self.write_header(&mut buffer);
        // Hexadecimal digits and dashes are always UTF-8.
        std::str::from_utf8(&buffer).unwrap_or_default().to_owned()
    }

    /// Writes the value of a `traceparent`, version 00, into a buffer.
    pub fn write_header(&self, buffer: &mut [u8; TRACEPARENT_LEN]) {
        let [
            t0,
            t1,
            t2,
            t3,
            t4,
            t5,
            t6,
            t7,
            t8,
            t9,
            ta,
            tb,
            tc,
            td,
            te,
            tf,
        ] = self.trace_id;
        let [s0, s1, s2, s3, s4, s5, s6, s7] = self.span_id;
        buffer[..TRACE_ID].copy_from_slice(b"00-");
        buffer[3..11].copy_from_slice(&hex_digits([t0, t1, t2, t3]));
        buffer[11..19].copy_from_slice(&hex_digits([t4, t5, t6, t7]));
        buffer[19..27].copy_from_slice(&hex_digits([t8, t9, ta, tb]));
        buffer[27..35].copy_from_slice(&hex_digits([tc, td, te, tf]));
        buffer[35] = b'-';
        buffer[36..44].copy_from_slice(&hex_digits([s0, s1, s2, s3]));
        buffer[44..52].copy_from_slice(&hex_digits([s4, s5, s6, s7]));
        buffer[52] = b'-';
        buffer[53] = b'0';
        buffer[54] = b'0' + self.flags.bits();
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_header())
    }
}

impl FromStr for TraceParent {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        Self::parse(value.as_bytes())
    }
}

/// What almost every value is: version 00, 55 characters, nothing around it. `None` leaves the value, and the reason why
/// it is refused, to [`TraceParent::parse`].
#[inline]
pub(crate) fn read_canonical(value: &[u8; TRACEPARENT_LEN]) -> Option<TraceParent> {
    let framed = value[..TRACE_ID] == *b"00-" && value[35] == b'-' && value[52] == b'-';
    let (trace_low, bad0) = hex_value(chunk(value, 3));
    let (trace_high, bad1) = hex_value(chunk(value, 19));
    let (span, bad2) = hex_value(chunk(value, 36));
    // The flags are the last two characters; the dash and digits before them were judged above.
    let flags = nibble(value[FLAGS]).zip(nibble(value[FLAGS + 1]));
    if !framed || (bad0 | bad1 | bad2) != 0 || (trace_low | trace_high) == 0 || span == 0 {
        return None;
    }
    let (high, low) = flags?;
    Some(TraceParent {
        trace_id: (u128::from(trace_high) << 64 | u128::from(trace_low)).to_le_bytes(),
        span_id: span.to_le_bytes(),
        flags: TraceFlags::from_bits(high << 4 | low),
    })
}

/// Reads everything that is not in the canonical form, and finds the reason and offset of a refusal.
#[cold]
fn parse_general(value: &[u8]) -> Result<TraceParent, Error> {
    let start = value
        .iter()
        .position(|&byte| !is_ows(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|&byte| !is_ows(byte))
        .map_or(start, |last| last + 1);
    let refused_at = |reason, offset: usize| Err(refused(reason, start + offset));
    let value = &value[start..end];
    let Some((known, rest)) = value.split_first_chunk::<TRACEPARENT_LEN>() else {
        return refused_at(Refusal::Length, value.len());
    };
    for (offset, &byte) in known.iter().enumerate() {
        let fits = match offset {
            2 | 35 | 52 => byte == b'-',
            _ => nibble(byte).is_some(),
        };
        if !fits {
            return refused_at(Refusal::Character, offset);
        }
    }
    let version = &known[VERSION..TRACE_ID];
    if version == b"ff-" {
        return refused_at(Refusal::Version, VERSION);
    }
    if let Err((reason, offset)) = check_rest(rest, version != b"00-") {
        return refused_at(reason, TRACEPARENT_LEN + offset);
    }
    let mut canonical = *known;
    canonical[..TRACE_ID].copy_from_slice(b"00-");
    match read_canonical(&canonical) {
        Some(parsed) => Ok(parsed),
        // Every character is right, so only an id of zeros is left to be refused.
        None if known[TRACE_ID..TRACE_ID + 32] == [b'0'; 32] => {
            refused_at(Refusal::ZeroId, TRACE_ID)
        }
        None => refused_at(Refusal::ZeroId, SPAN_ID),
    }
}

/// Judges what stands behind the flags: nothing in version 00; in a later version nothing, or a dash and visible
/// characters.
fn check_rest(rest: &[u8], later_version: bool) -> Result<(), (Refusal, usize)> {
    let Some(&first) = rest.first() else {
        return Ok(());
    };
    // White space other than space and tab is never part of a value, wherever it stands.
    if !is_field_text(first) {
        return Err((Refusal::Character, 0));
    }
    if !later_version || first != b'-' {
        return Err((Refusal::Trailing, 0));
    }
    match rest.iter().position(|&byte| !is_field_text(byte)) {
        Some(offset) => Err((Refusal::Character, offset)),
        None => Ok(()),
    }
}

fn refused(reason: Refusal, offset: usize) -> Error {
    Error::malformed(TRACEPARENT, reason, offset)
}

/// Optional white space of HTTP: space and horizontal tab.
pub(super) fn is_ows(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_field_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[inline]
fn chunk(value: &[u8; TRACEPARENT_LEN], at: usize) -> [u8; 16] {
    let mut digits = [0; 16];
    digits.copy_from_slice(&value[at..at + 16]);
    digits
}

const fn each_byte(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Reads sixteen lower-case hexadecimal digits at once. The bytes of the first result are, in little-endian order, what the digits
/// say; the second result is 0 if all of them are digits.
#[inline]
fn hex_value(digits: [u8; 16]) -> (u64, u64) {
    let digits = u128::from_le_bytes(digits);
    let (low, low_bad) = hex_value_of_eight(digits as u64);
    let (high, high_bad) = hex_value_of_eight((digits >> 64) as u64);
    (u64::from(high) << 32 | u64::from(low), low_bad | high_bad)
}

#[inline]
fn hex_value_of_eight(x: u64) -> (u32, u64) {
    // No byte carries into the next one: 15 + 9 is the highest sum here, and 24 + 48 + 39 below.
    let nibbles = (x & each_byte(0x0F)) + ((x >> 6) & each_byte(1)) * 9;
    // Exactly the digits are what their own values are written as, if these are below 16.
    let bad = (digits_of(nibbles) ^ x) | (nibbles & each_byte(0xF0));
    // Pairs of nibbles to bytes, then the even bytes together.
    let bytes = ((nibbles << 4) | (nibbles >> 8)) & 0x00FF_00FF_00FF_00FF;
    let words = (bytes | (bytes >> 8)) & 0x0000_FFFF_0000_FFFF;
    let value = words | (words >> 16);
    // The upper half holds what the shifts left over.
    #[expect(clippy::cast_possible_truncation)]
    (value as u32, bad)
}

/// Writes four bytes as eight lower-case hexadecimal digits at once.
#[inline]
fn hex_digits(bytes: [u8; 4]) -> [u8; 8] {
    let x = u64::from(u32::from_le_bytes(bytes));
    let words = (x | (x << 16)) & 0x0000_FFFF_0000_FFFF;
    let bytes = (words | (words << 8)) & 0x00FF_00FF_00FF_00FF;
    let nibbles = ((bytes >> 4) & 0x000F_000F_000F_000F) | ((bytes & 0x000F_000F_000F_000F) << 8);
    digits_of(nibbles).to_le_bytes()
}

/// The digits that eight values are written as.
#[inline]
fn digits_of(nibbles: u64) -> u64 {
    let letter = ((nibbles + each_byte(6)) >> 4) & each_byte(1);
    nibbles + each_byte(b'0') + letter * u64::from(b'a' - b'9' - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &[u8; TRACEPARENT_LEN] =
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn sixteen_digits_are_read_like_one_by_one() {
        for position in 0..16 {
            for byte in 0..=u8::MAX {
                let mut digits = *b"0f9a5c1e89abcdef";
                digits[position] = byte;
                let (value, bad) = hex_value(digits);
                let expected: Option<Vec<u8>> = digits
                    .chunks(2)
                    .map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?))
                    .collect();
                assert_eq!(bad == 0, expected.is_some(), "byte {byte:#x} at {position}");
                if let Some(expected) = expected {
                    let value = value.to_le_bytes();
                    assert_eq!(value.to_vec(), expected);
                    let (low, high) = value.split_at(4);
                    let written = [low, high].map(|half| hex_digits(half.try_into().unwrap()));
                    assert_eq!(written.concat(), digits);
                }
            }
        }
    }

    /// Both readers agree on every value that differs from a valid one in one byte.
    #[test]
    fn the_fast_reader_accepts_what_the_general_one_does() {
        for position in 0..TRACEPARENT_LEN {
            for byte in 0..=u8::MAX {
                let mut value = *VALID;
                value[position] = byte;
                let general = parse_general(&value);
                let fast = read_canonical(&value);
                let version_00 = value[..3] == VALID[..3];
                assert_eq!(
                    fast,
                    general.clone().ok().filter(|_| version_00),
                    "{byte:#x} at {position}"
                );
                assert_eq!(TraceParent::parse(&value), general);
            }
        }
    }

    #[test]
    fn only_known_flags_are_kept() {
        for bits in 0..=u8::MAX {
            let flags = TraceFlags::from_bits(bits);
            assert_eq!(flags.bits(), bits & 3);
            assert_eq!(
                (flags.is_sampled(), flags.is_random()),
                (bits & 1 != 0, bits & 2 != 0)
            );
            let parsed = TraceParent::new([1; 16], [1; 8], flags).unwrap();
            assert_eq!(parsed.to_header()[FLAGS..], format!("{:02x}", bits & 3));
        }
    }

    #[test]
    fn a_trace_id_stays_random_as_long_as_it_is_the_same() {
        let made = |trace: u8, bits| {
            TraceParent::new([trace; 16], [9; 8], TraceFlags::from_bits(bits)).unwrap()
        };
        let kept = |parent: TraceParent, child| parent.keep_random(child).flags.bits();
        assert_eq!(kept(made(1, 2), made(1, 0)), 2);
        assert_eq!(kept(made(1, 3), made(1, 1)), 3);
        assert_eq!(kept(made(1, 1), made(1, 0)), 0);
        assert_eq!(kept(made(1, 0), made(1, 2)), 2);
        assert_eq!(kept(made(2, 2), made(1, 1)), 1);
    }

    #[test]
    fn ids_of_zeros_make_nothing() {
        assert_eq!(TraceParent::new([0; 16], [1; 8], TraceFlags::NONE), None);
        assert_eq!(TraceParent::new([1; 16], [0; 8], TraceFlags::NONE), None);
    }

    #[test]
    fn it_prints_as_the_header() {
        let parsed: TraceParent = std::str::from_utf8(VALID).unwrap().parse().unwrap();
        assert_eq!(parsed.to_string().as_bytes(), VALID);
    }
}
