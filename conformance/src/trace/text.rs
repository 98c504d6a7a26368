//! Text for terminals and pages: what a peer chose stays harmless in both.

use std::borrow::Cow;

/// The text without what could steer a terminal or reorder a line: control characters and directional formatting become `\u{…}`.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().fold(
        String::with_capacity(text.len() + 8),
        |mut out, character| {
            if is_unsafe(character) {
                out.extend(character.escape_unicode());
            } else {
                out.push(character);
            }
            out
        },
    );
    Cow::Owned(escaped)
}

/// The text as HTML, for elements and for quoted attributes, without control characters.
#[must_use]
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in clean(text).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}

/// At most that many characters, the last one an ellipsis where something was left out.
#[must_use]
pub fn shortened(text: &str, max_characters: usize) -> Cow<'_, str> {
    if text.chars().count() <= max_characters {
        return Cow::Borrowed(text);
    }
    let kept: String = text
        .chars()
        .take(max_characters.saturating_sub(1))
        .collect();
    Cow::Owned(kept + "…")
}

/// A time in the unit that reads best: `850 ns`, `12.3 µs`, `4.56 ms`, `1.20 s`.
#[must_use]
pub fn duration(ns: u64) -> String {
    let scaled = |unit_ns: f64, unit: &str| {
        let value = ns as f64 / unit_ns;
        let digits = match value {
            v if v < 9.995 => 2,
            v if v < 99.95 => 1,
            _ => 0,
        };
        format!("{value:.digits$} {unit}")
    };
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..999_500 => scaled(1e3, "µs"),
        999_500..999_500_000 => scaled(1e6, "ms"),
        _ => scaled(1e9, "s"),
    }
}

/// A number of seconds as a time, and a dash where there is none.
#[must_use]
pub fn seconds(value: Option<f64>) -> String {
    // The cast saturates, and what is not a number becomes 0.
    value.map_or_else(
        || "–".to_owned(),
        |seconds| duration((seconds * 1e9).round() as u64),
    )
}

/// A number of bytes: `640 B`, `51.2 kB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

fn is_unsafe(character: char) -> bool {
    let directional = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let line = matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}');
    character.is_control() || directional || line
}
