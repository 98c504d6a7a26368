//! `tracestate`: vendor data, a list of keys and values.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::traceparent::is_ows;
use crate::limits::{
    LONG_TRACESTATE_MEMBER_BYTES, MAX_TRACESTATE_BYTES, MAX_TRACESTATE_MEMBERS,
    MIN_TRACESTATE_KEPT_BYTES,
};
use crate::names::header::TRACESTATE;
use crate::{Error, Refusal};

const MAX_KEY_BYTES: usize = 256;
const MAX_VALUE_BYTES: usize = 256;
/// Level 1 splits a key with `@` into a tenant and a system.
const MAX_LEVEL_1_TENANT_BYTES: usize = 241;
const MAX_LEVEL_1_SYSTEM_BYTES: usize = 14;

/// A valid `tracestate`: members in order, each key once, no empty member and no white space between members.
///
/// # Example
///
/// ```
/// use wirespan::trace::TraceState;
///
/// let trace_state = TraceState::parse("vendor=1 , ,other@tenant=x")?;
/// assert_eq!(trace_state.as_str(), "vendor=1,other@tenant=x");
/// assert_eq!(trace_state.with("other", "2")?.as_str(), "other=2,vendor=1,other@tenant=x");
/// # Ok::<(), wirespan::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceState(Box<str>);

impl TraceState {
    /// Reads the value of a `tracestate`. Of a repeated key the left-most member is kept.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Malformed`] discards the whole list: [`Refusal::Member`] for a member outside the grammar,
    /// [`Refusal::TooMany`] for a 33rd member, [`Refusal::TooLong`] for more than 8192 bytes.
    pub fn parse(value: &str) -> Result<Self, Error> {
        parse_bytes(value.as_bytes())
    }

    /// As [`TraceState::parse`], for a list of the host's own that is about to be cut: only the number of members bounds it.
    pub(crate) fn parse_any_length(value: &str) -> Result<Self, Error> {
        // The longest list, its commas counted; white space beyond that is nobody's list.
        let longest = MAX_TRACESTATE_MEMBERS * (MAX_KEY_BYTES + 1 + MAX_VALUE_BYTES + 1);
        parse_bounded(value.as_bytes(), longest)
    }

    /// Reads the values of all `tracestate` fields of a carrier, joined in order.
    ///
    /// # Errors
    ///
    /// As [`TraceState::parse`], with offsets in the joined value.
    pub fn from_values<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Self, Error> {
        let Some(first) = values.next() else {
            return Ok(Self::default());
        };
        let Some(second) = values.next() else {
            return parse_bytes(first);
        };
        let mut joined = Vec::new();
        for (index, value) in [first, second].into_iter().chain(values).enumerate() {
            if index > 0 {
                joined.push(b',');
            }
            if joined.len() + value.len() > MAX_TRACESTATE_BYTES {
                return Err(refused(Refusal::TooLong, MAX_TRACESTATE_BYTES));
            }
            joined.extend_from_slice(value);
        }
        parse_bytes(&joined)
    }

    /// The list as it is sent; never send an empty one.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members in order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts().filter_map(|member| member.split_once('='))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.members()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Sets a key, which moves to the left; the order of the others is kept. A list that is full loses members from the
    /// right.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidArgument`] for a key that is not valid in level 1 as well, since other participants may
    /// know no more than that, and for a value outside the grammar.
    pub fn with(&self, key: &str, value: &str) -> Result<Self, Error> {
        if !is_level_1_key(key) {
            return Err(Error::invalid_argument(
                "key",
                "use lower-case letters, digits, `_`, `-`, `*` and `/`, starting with a letter, at most 256; or TENANT@SYSTEM",
            ));
        }
        if let Err(offset) = check_value(value.as_bytes()) {
            return Err(Error::invalid_argument(
                "value",
                format!(
                    "use 1 to 256 characters of printable ASCII without `,` and `=`, not ending in a space (wrong at byte {offset})"
                ),
            ));
        }
        Ok(self.with_valid(key, value))
    }

    /// Removes a key.
    #[must_use]
    pub fn without(&self, key: &str) -> Self {
        if self.get(key).is_none() {
            return self.clone();
        }
        let kept = self
            .parts()
            .filter(|member| member.split_once('=').is_none_or(|m| m.0 != key));
        Self(join(kept).into_boxed_str())
    }

    /// The list cut to `max_bytes` by whole members: those over 128 characters first, from the right, then others from the
    /// right. A member that 512 characters cannot do without stays, so the result may be longer than `max_bytes`.
    #[must_use]
    pub fn truncated(&self, max_bytes: usize) -> Cow<'_, str> {
        if self.0.len() <= max_bytes {
            return Cow::Borrowed(&self.0);
        }
        let mut members: Vec<Option<&str>> = self.parts().map(Some).collect();
        let mut len = self.0.len();
        for least in [LONG_TRACESTATE_MEMBER_BYTES + 1, 0] {
            for member in members.iter_mut().rev() {
                let Some(bytes) = member.map(str::len).filter(|&bytes| bytes >= least) else {
                    continue;
                };
                let without = len.saturating_sub(bytes + 1);
                if len > max_bytes && without >= MIN_TRACESTATE_KEPT_BYTES {
                    *member = None;
                    len = without;
                }
            }
        }
        Cow::Owned(join(members.into_iter().flatten()))
    }

    /// As [`TraceState::with`], for a key and a value that are known to be in the grammar of level 2.
    pub(crate) fn with_valid(&self, key: &str, value: &str) -> Self {
        let member = [key, "=", value].concat();
        let others = self
            .parts()
            .filter(|member| member.split_once('=').is_none_or(|m| m.0 != key));
        let all = std::iter::once(member.as_str())
            .chain(others)
            .take(MAX_TRACESTATE_MEMBERS);
        let full = Self(join(all).into_boxed_str());
        match full.truncated(MAX_TRACESTATE_BYTES) {
            Cow::Borrowed(_) => full,
            Cow::Owned(cut) => Self(cut.into_boxed_str()),
        }
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').filter(|member| !member.is_empty())
    }
}

impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TraceState {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        Self::parse(value)
    }
}

/// Tells whether a member of a foreign list is in the grammar of level 2.
#[cfg(feature = "opentelemetry")]
pub(crate) fn is_member(key: &str, value: &str) -> bool {
    check_key(key.as_bytes()).is_ok() && check_value(value.as_bytes()).is_ok()
}

fn parse_bytes(value: &[u8]) -> Result<TraceState, Error> {
    parse_bounded(value, MAX_TRACESTATE_BYTES)
}

fn parse_bounded(value: &[u8], max_bytes: usize) -> Result<TraceState, Error> {
    if value.len() > max_bytes {
        return Err(refused(Refusal::TooLong, max_bytes));
    }
    let mut keys: [&[u8]; MAX_TRACESTATE_MEMBERS] = [&[]; MAX_TRACESTATE_MEMBERS];
    let mut read = 0;
    let mut list = Vec::with_capacity(value.len());
    let mut start = 0;
    for part in value.split(|&byte| byte == b',') {
        let (member, offset) = trim(part, start);
        start += part.len() + 1;
        if member.is_empty() {
            continue;
        }
        if read == MAX_TRACESTATE_MEMBERS {
            return Err(refused(Refusal::TooMany, offset));
        }
        let key = check_member(member).map_err(|wrong| refused(Refusal::Member, offset + wrong))?;
        let repeated = keys[..read].contains(&key);
        keys[read] = key;
        read += 1;
        if repeated {
            continue;
        }
        if !list.is_empty() {
            list.push(b',');
        }
        list.extend_from_slice(member);
    }
    // The grammar allows ASCII only, so that this is always UTF-8.
    let list = String::from_utf8(list).map_err(|_| refused(Refusal::Member, 0))?;
    Ok(TraceState(list.into_boxed_str()))
}

/// Takes white space off a member that starts at `offset`.
fn trim(member: &[u8], offset: usize) -> (&[u8], usize) {
    let start = member
        .iter()
        .position(|&byte| !is_ows(byte))
        .unwrap_or(member.len());
    let end = member
        .iter()
        .rposition(|&byte| !is_ows(byte))
        .map_or(start, |last| last + 1);
    (&member[start..end], offset + start)
}

/// The key of a valid member, or the offset of the first byte that is wrong.
fn check_member(member: &[u8]) -> Result<&[u8], usize> {
    let equals = member
        .iter()
        .position(|&byte| byte == b'=')
        .unwrap_or(member.len());
    let key = &member[..equals];
    check_key(key)?;
    // A member without `=` is wrong where that is missing.
    let value = member.get(equals + 1..).ok_or(equals)?;
    check_value(value).map_err(|wrong| equals + 1 + wrong)?;
    Ok(key)
}

fn check_key(key: &[u8]) -> Result<(), usize> {
    match key.first() {
        Some(b'a'..=b'z' | b'0'..=b'9') => {}
        _ => return Err(0),
    }
    match key
        .iter()
        .position(|&byte| !is_key_byte(byte) && byte != b'@')
    {
        Some(wrong) => Err(wrong.min(MAX_KEY_BYTES)),
        None if key.len() > MAX_KEY_BYTES => Err(MAX_KEY_BYTES),
        None => Ok(()),
    }
}

fn check_value(value: &[u8]) -> Result<(), usize> {
    match value
        .iter()
        .position(|&byte| !matches!(byte, b' '..=b'~') || matches!(byte, b',' | b'='))
    {
        Some(wrong) => Err(wrong.min(MAX_VALUE_BYTES)),
        None if value.len() > MAX_VALUE_BYTES => Err(MAX_VALUE_BYTES),
        None => match value.last() {
            None => Err(0),
            Some(b' ') => Err(value.len() - 1),
            Some(_) => Ok(()),
        },
    }
}

fn is_level_1_key(key: &str) -> bool {
    let is_part = |part: &str, digit_first: bool, max: usize| {
        let first_fits = match part.as_bytes().first() {
            Some(b'a'..=b'z') => true,
            Some(b'0'..=b'9') => digit_first,
            _ => false,
        };
        first_fits && part.len() <= max && part.bytes().all(is_key_byte)
    };
    match key.split_once('@') {
        Some((tenant, system)) => {
            is_part(tenant, true, MAX_LEVEL_1_TENANT_BYTES)
                && is_part(system, false, MAX_LEVEL_1_SYSTEM_BYTES)
        }
        None => is_part(key, false, MAX_KEY_BYTES),
    }
}

fn is_key_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/')
}

fn join<'a>(members: impl Iterator<Item = &'a str>) -> String {
    let mut list = String::new();
    for member in members {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(member);
    }
    list
}

fn refused(reason: Refusal, offset: usize) -> Error {
    Error::malformed(TRACESTATE, reason, offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn state(value: &str) -> TraceState {
        TraceState::parse(value).unwrap()
    }

    #[test]
    fn members_are_found_by_key() {
        let state = state("a=1,b@c= 2,1x=3");
        assert_eq!(
            state.members().collect::<Vec<_>>(),
            [("a", "1"), ("b@c", " 2"), ("1x", "3")]
        );
        assert_eq!((state.get("b@c"), state.get("b")), (Some(" 2"), None));
        assert_eq!(state.without("b@c").as_str(), "a=1,1x=3");
        assert_eq!(state.without("b"), state);
        assert!(!state.is_empty() && state.without("a").without("b@c").without("1x").is_empty());
    }

    #[test]
    fn a_changed_key_moves_to_the_left() {
        assert_eq!(
            state("a=1,b=2,c=3").with("b", "4").unwrap().as_str(),
            "b=4,a=1,c=3"
        );
        assert_eq!(
            TraceState::default().with("a", "1").unwrap().as_str(),
            "a=1"
        );
    }

    #[test]
    fn what_is_written_is_valid_in_level_1() {
        let long = "x".repeat(257);
        let tenant = format!("{}@s", "t".repeat(242));
        let keys = [
            "",
            "A",
            "1a",
            "_a",
            "a@b@c",
            "a@",
            "@a",
            "a@1",
            "a@ssssssssssssssx",
            &long,
            &tenant,
        ];
        for key in keys {
            let error = state("a=1").with(key, "1").unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (ErrorKind::InvalidArgument, Some("key")),
                "{key}"
            );
        }
        for key in [
            "a",
            "a_-*/9",
            "1t@s",
            &long[..256],
            "a@ssssssssssssss",
            &tenant[1..],
        ] {
            assert!(state("b=1").with(key, "1").is_ok(), "{key}");
        }
        for value in ["", "a,b", "a=b", "a ", "\n", "é", &long] {
            let error = state("a=1").with("a", value).unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (ErrorKind::InvalidArgument, Some("value")),
                "{value}"
            );
        }
    }

    #[test]
    fn a_full_list_loses_members_from_the_right() {
        let full: Vec<String> = (0..32).map(|n| format!("k{n}=v")).collect();
        let state = state(&full.join(",")).with("new", "v").unwrap();
        assert_eq!(state.members().count(), 32);
        assert_eq!(
            (state.get("new"), state.get("k30"), state.get("k31")),
            (Some("v"), Some("v"), None)
        );
        let mut long = TraceState::default();
        for n in 0..32 {
            long = long.with(&format!("k{n}"), &"v".repeat(256)).unwrap();
        }
        assert!(long.as_str().len() <= MAX_TRACESTATE_BYTES);
        assert_eq!(TraceState::parse(long.as_str()).unwrap(), long);
        assert!(long.as_str().starts_with("k31="));
    }

    #[test]
    fn long_members_are_cut_first_and_512_characters_stay() {
        let member = |key: &str, len: usize| format!("{key}={}", "v".repeat(len - key.len() - 1));
        let (a, b, c, d) = (
            member("a", 100),
            member("b", 129),
            member("c", 128),
            member("d", 200),
        );
        let rest: Vec<String> = (0..6).map(|n| member(&format!("r{n}"), 99)).collect();
        let all = [a.as_str(), &b, &c, &d, &rest.join(",")].join(",");
        let state = state(&all);
        assert_eq!(state.truncated(all.len()), all);
        // The right-most long one, then the other long one, then from the right.
        let without_d = [a.as_str(), &b, &c, &rest.join(",")].join(",");
        assert_eq!(state.truncated(all.len() - 1), without_d);
        assert_eq!(state.truncated(without_d.len()), without_d);
        let without_b = [a.as_str(), &c, &rest.join(",")].join(",");
        assert_eq!(state.truncated(without_d.len() - 1), without_b);
        let without_last = [a.as_str(), &c, &rest[..5].join(",")].join(",");
        assert_eq!(state.truncated(without_b.len() - 1), without_last);
        // No cut leaves less than 512 characters.
        let least = state.truncated(0);
        assert_eq!(
            least,
            [a.as_str(), &c, &rest[..3].join(",")].join(",").as_str()
        );
        assert!(
            least.len() >= MIN_TRACESTATE_KEPT_BYTES
                && least.len() - 100 < MIN_TRACESTATE_KEPT_BYTES
        );
    }

    #[test]
    fn a_short_list_is_never_cut() {
        let list = state("a=1,b=2");
        assert_eq!(list.truncated(0), "a=1,b=2");
        assert_eq!(TraceState::default().truncated(0), "");
    }
}
