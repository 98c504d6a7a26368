//! `baggage`: the application's own names and values.

use std::fmt;

use super::AllowList;
use super::traceparent::is_ows;
use crate::Error;
use crate::limits::{MAX_BAGGAGE_BYTES, MAX_BAGGAGE_MEMBERS};

/// A name of the application with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BaggageMember {
    /// The name: a token of HTTP, case-sensitive, never percent-decoded.
    pub key: String,
    /// The value, decoded.
    pub value: String,
    /// The properties as they were sent, without the first `;`; empty if there are none.
    pub properties: String,
}

impl BaggageMember {
    /// Makes a member without properties.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            properties: String::new(),
        }
    }
}

/// Names and values that the application hands on with a trace.
///
/// # Example
///
/// ```
/// use wirespan::trace::{Baggage, BaggageMember};
///
/// let (mut baggage, dropped) = Baggage::parse("user=J%C3%BCrgen, tier=gold;ttl=60");
/// assert_eq!((baggage.len(), dropped), (2, 0));
/// assert_eq!(baggage.get("user").map(|member| member.value.as_str()), Some("Jürgen"));
/// baggage.insert(BaggageMember::new("sum", "1+1 = 2"))?;
/// assert_eq!(baggage.to_header(), "user=J%C3%BCrgen,tier=gold;ttl=60,sum=1+1%20=%202");
/// # Ok::<(), wirespan::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage(Vec<BaggageMember>);

impl Baggage {
    /// Reads the value of a `baggage`, and tells how many members were dropped: those outside the grammar, and from the
    /// right those beyond 64 members or 8192 bytes. What lies beyond 8192 bytes is not looked at and counts as one.
    #[must_use]
    pub fn parse(value: &str) -> (Self, usize) {
        Self::from_values(std::iter::once(value.as_bytes()))
    }

    /// Reads the values of all `baggage` fields of a carrier as [`Baggage::parse`] does; the bounds hold for all of them
    /// together.
    #[must_use]
    pub fn from_values<'a>(values: impl Iterator<Item = &'a [u8]>) -> (Self, usize) {
        let mut reader = Reader::default();
        for value in values {
            reader.read(value);
        }
        (Self(reader.members), reader.dropped)
    }

    /// The members that an allow-list lets pass.
    #[must_use]
    pub fn filtered(&self, allowed: &AllowList) -> Self {
        Self(
            self.0
                .iter()
                .filter(|member| allowed.allows(&member.key))
                .cloned()
                .collect(),
        )
    }

    /// Tells whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The member of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&BaggageMember> {
        self.0.iter().find(|member| member.key == name)
    }

    /// Adds a member, or replaces that of the same name where it stands.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::InvalidArgument`] for a key that is no token and for properties outside the grammar. Every value
    /// is allowed.
    pub fn insert(&mut self, member: BaggageMember) -> Result<(), Error> {
        if !is_token(member.key.as_bytes()) {
            return Err(Error::invalid_argument(
                "key",
                "use letters, digits and !#$%&'*+-.^_`|~, at least one",
            ));
        }
        if !member.properties.is_empty() && !are_properties(member.properties.as_bytes()) {
            return Err(Error::invalid_argument(
                "properties",
                "use NAME or NAME=VALUE, separated by `;`, the values percent-encoded",
            ));
        }
        match self.0.iter_mut().find(|known| known.key == member.key) {
            Some(known) => *known = member,
            None => self.0.push(member),
        }
        Ok(())
    }

    /// Removes the member of a name.
    pub fn remove(&mut self, name: &str) -> Option<BaggageMember> {
        let index = self.0.iter().position(|member| member.key == name)?;
        Some(self.0.remove(index))
    }

    /// The members in order.
    pub fn iter(&self) -> std::slice::Iter<'_, BaggageMember> {
        self.0.iter()
    }

    /// Writes the value of a `baggage`; never send an empty one. Members beyond 64, or beyond 8192 bytes, are dropped from
    /// the right.
    #[must_use]
    pub fn to_header(&self) -> String {
        self.encode().0
    }

    /// As [`Baggage::to_header`], with the number of members that were dropped.
    #[must_use]
    pub fn encode(&self) -> (String, usize) {
        let mut header = String::new();
        for (index, member) in self.0.iter().enumerate() {
            let before = header.len();
            if index > 0 {
                header.push(',');
            }
            header.push_str(&member.key);
            header.push('=');
            encode_value(&mut header, &member.value);
            if !member.properties.is_empty() {
                header.push(';');
                header.push_str(&member.properties);
            }
            if index == MAX_BAGGAGE_MEMBERS || header.len() > MAX_BAGGAGE_BYTES {
                header.truncate(before);
                return (header, self.0.len() - index);
            }
        }
        (header, 0)
    }
}

impl<'a> IntoIterator for &'a Baggage {
    type Item = &'a BaggageMember;
    type IntoIter = std::slice::Iter<'a, BaggageMember>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_header())
    }
}

#[derive(Default)]
struct Reader {
    members: Vec<BaggageMember>,
    dropped: usize,
    /// Bytes looked at, commas between values included.
    used: usize,
    /// The bound was passed; nothing more is looked at.
    full: bool,
}

impl Reader {
    fn read(&mut self, value: &[u8]) {
        if self.full {
            self.dropped += 1;
            return;
        }
        let left = MAX_BAGGAGE_BYTES - self.used;
        self.used += value.len() + 1;
        let whole = if value.len() <= left {
            // The next value comes behind a comma.
            self.full = self.used > MAX_BAGGAGE_BYTES;
            value
        } else {
            self.full = true;
            self.dropped += 1;
            let end = value[..=left]
                .iter()
                .rposition(|&byte| byte == b',')
                .unwrap_or(0);
            &value[..end]
        };
        for member in whole
            .split(|&byte| byte == b',')
            .map(trim)
            .filter(|member| !member.is_empty())
        {
            match read_member(member) {
                Some(member) => self.keep(member),
                None => self.dropped += 1,
            }
        }
    }

    /// The last value of a name wins, at the place of the first. At most 64 members are searched.
    fn keep(&mut self, member: Member<'_>) {
        let key = member.key.as_bytes();
        if let Some(known) = self
            .members
            .iter_mut()
            .find(|known| known.key.as_bytes() == key)
        {
            *known = member.to_owned();
        } else if self.members.len() < MAX_BAGGAGE_MEMBERS {
            self.members.push(member.to_owned());
        } else {
            self.dropped += 1;
        }
    }
}

/// A member as it was sent.
struct Member<'a> {
    key: &'a str,
    value: &'a [u8],
    properties: &'a str,
}

impl Member<'_> {
    fn to_owned(&self) -> BaggageMember {
        BaggageMember {
            key: self.key.to_owned(),
            value: decode_value(self.value),
            properties: self.properties.to_owned(),
        }
    }
}

/// Splits `key OWS "=" OWS value *( OWS ";" OWS property )`; `None` if that is not what stands there.
fn read_member(member: &[u8]) -> Option<Member<'_>> {
    let (pair, properties) = match split_once(member, b';') {
        Some((pair, properties)) => (pair, Some(trim(properties))),
        None => (member, None),
    };
    let (key, value) = split_once(pair, b'=')?;
    let (key, value) = (trim(key), trim(value));
    let fits = is_token(key)
        && value.iter().all(|&byte| is_octet(byte))
        && properties.is_none_or(are_properties);
    if !fits {
        return None;
    }
    Some(Member {
        key: std::str::from_utf8(key).ok()?,
        value,
        properties: std::str::from_utf8(properties.unwrap_or_default()).ok()?,
    })
}

fn are_properties(properties: &[u8]) -> bool {
    properties
        .split(|&byte| byte == b';')
        .all(|property| match split_once(property, b'=') {
            Some((key, value)) => {
                is_token(trim(key)) && trim(value).iter().all(|&byte| is_octet(byte))
            }
            None => is_token(trim(property)),
        })
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|&byte| !is_ows(byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|&byte| !is_ows(byte))
        .map_or(start, |last| last + 1);
    &text[start..end]
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `baggage-octet`: visible ASCII without `"`, `,`, `;` and `\`.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// Percent-decodes; a `%` that no two hexadecimal digits follow stands for itself.
fn decode_value(value: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        let byte = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match byte {
            Some(byte) => {
                decoded.push(byte);
                rest = &rest[3..];
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(decoded)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn encode_value(header: &mut String, value: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    header.reserve(value.len());
    for byte in value.bytes() {
        if is_octet(byte) && byte != b'%' {
            header.push(char::from(byte));
        } else {
            header.push('%');
            header.push(char::from(DIGITS[usize::from(byte >> 4)]));
            header.push(char::from(DIGITS[usize::from(byte & 0x0F)]));
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn parse(value: &str) -> Baggage {
        let (baggage, dropped) = Baggage::parse(value);
        assert_eq!(dropped, 0, "{value}");
        baggage
    }

    fn value<'a>(baggage: &'a Baggage, name: &str) -> Option<&'a str> {
        baggage.get(name).map(|member| member.value.as_str())
    }

    #[test]
    fn white_space_around_the_parts_is_not_theirs() {
        let baggage = parse(" \ta \t=\t 1 \t; p = 1 ;q\t,, b=2 ");
        assert_eq!(baggage.to_header(), "a=1;p = 1 ;q,b=2");
        assert_eq!(baggage.get("a").unwrap().properties, "p = 1 ;q");
    }

    #[test]
    fn a_member_outside_the_grammar_is_dropped_alone() {
        let wrong = [
            "a", "=1", "a b=1", "é=1", "a=1 2", "a=\"1\"", "a=\\", "a=é", "a=1;", "a=1;;p",
            "a=1;=2", "a=1;p=\"", "a;p=1", "(=1", "a=\r\n", "a=\0",
        ];
        for member in wrong {
            let (baggage, dropped) = Baggage::parse(&format!("x=1,{member},y=2"));
            assert_eq!(
                (baggage.to_header().as_str(), dropped),
                ("x=1,y=2", 1),
                "{member:?}"
            );
        }
    }

    #[test]
    fn a_percent_sign_without_digits_stands_for_itself() {
        let baggage = parse("a=%,b=%4,c=%zz,d=%%41,e=%c3%BC");
        let values = ["a", "b", "c", "d", "e"].map(|name| value(&baggage, name).unwrap());
        assert_eq!(values, ["%", "%4", "%zz", "%A", "ü"]);
        assert_eq!(baggage.to_header(), "a=%25,b=%254,c=%25zz,d=%25A,e=%C3%BC");
        assert_eq!(parse(&baggage.to_header()), baggage);
    }

    #[test]
    fn what_grows_when_written_is_still_bounded() {
        let baggage = parse(&format!("a=1,b={}", "%FF".repeat(2700)));
        assert_eq!(
            value(&baggage, "b")
                .unwrap()
                .chars()
                .filter(|&c| c == '\u{FFFD}')
                .count(),
            2700
        );
        assert_eq!(baggage.encode(), ("a=1".to_owned(), 1));
    }

    #[test]
    fn members_are_set_and_removed_by_name() {
        let mut baggage = parse("a=1,b=2");
        baggage.insert(BaggageMember::new("a", "3")).unwrap();
        baggage
            .insert(BaggageMember::new("__proto__", "4"))
            .unwrap();
        assert_eq!(baggage.to_header(), "a=3,b=2,__proto__=4");
        assert_eq!(baggage.remove("b"), Some(BaggageMember::new("b", "2")));
        assert_eq!(baggage.remove("b"), None);
        assert_eq!(
            baggage
                .iter()
                .map(|member| member.key.as_str())
                .collect::<Vec<_>>(),
            ["a", "__proto__"]
        );
    }

    #[test]
    fn only_what_can_be_written_is_set() {
        let mut baggage = Baggage::default();
        for key in ["", "a b", "a=b", "a\r\n", "ü"] {
            let error = baggage.insert(BaggageMember::new(key, "1")).unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (ErrorKind::InvalidArgument, Some("key"))
            );
        }
        for properties in ["p,q", "p;", "p=\r\n", ";p"] {
            let member = BaggageMember {
                properties: properties.into(),
                ..BaggageMember::new("a", "1")
            };
            let error = baggage.insert(member).unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (ErrorKind::InvalidArgument, Some("properties"))
            );
        }
        assert!(baggage.is_empty());
    }

    #[test]
    fn the_bounds_hold_for_all_values_together() {
        let half = format!("a={}", "x".repeat(4093));
        let other = format!("b={}", "x".repeat(4094));
        // 4095 + 1 + 4096 is exactly the bound.
        let values = [half.as_bytes(), other.as_bytes(), b"c=1"];
        let (baggage, dropped) = Baggage::from_values(values[..2].iter().copied());
        assert_eq!(
            (baggage.len(), dropped, baggage.to_header().len()),
            (2, 0, MAX_BAGGAGE_BYTES)
        );
        let (baggage, dropped) = Baggage::from_values(values.into_iter());
        assert_eq!((baggage.len(), dropped), (2, 1));
        let whole = [half.as_str(), &other, "c=1"].join(",");
        assert_eq!(Baggage::parse(&whole), (baggage, 1));
        let longer = format!("{half},{other}x");
        assert_eq!(Baggage::parse(&longer), (parse(&half), 1));
    }
}
