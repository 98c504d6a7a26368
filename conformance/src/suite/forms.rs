//! The special forms of case files: `$repeat`, `$concat`, `$base64`, `$list`, `$between`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Error, cut};

/// What one form may grow to, in bytes or elements: far above any limit of the specification, far below what hurts.
const MAX_EXPANDED: usize = 64 * 1024 * 1024;

/// Expands all special forms of an input.
///
/// # Errors
///
/// An unknown form, one with other members than it has, or one that grows beyond 64 MiB; `$between`, which only expectations have.
pub fn expand(value: &Value) -> Result<Value, Error> {
    expand_value(value, false)
}

/// Expands all special forms of an expected output; `$between` stays.
///
/// # Errors
///
/// As [`expand`]; a `$between` that is no pair of numbers in order.
pub fn expand_expected(value: &Value) -> Result<Value, Error> {
    expand_value(value, true)
}

/// The bounds of a `$between`.
#[must_use]
pub fn between(value: &Value) -> Option<(f64, f64)> {
    let bounds = value
        .as_object()
        .filter(|members| members.len() == 1)?
        .get("$between")?;
    match bounds.as_array()?.as_slice() {
        [low, high] => Some((low.as_f64()?, high.as_f64()?)).filter(|(low, high)| low <= high),
        _ => None,
    }
}

fn expand_value(value: &Value, expected: bool) -> Result<Value, Error> {
    match value {
        Value::Array(elements) => expand_array(elements, expected),
        Value::Object(members) => match form_of(members)? {
            Some(Form::Between) if expected => match between(value) {
                Some(_) => Ok(value.clone()),
                None => Err(Error::new("$between needs two numbers in order")),
            },
            Some(Form::Between) => Err(Error::new("$between can only stand in what is expected")),
            Some(Form::List) => Err(Error::new("$list can only stand as an element of an array")),
            Some(_) => text_of(value).map(Value::String),
            None => {
                let mut expanded = Map::new();
                for (name, member) in members {
                    // The expectations of a step stand inside the input.
                    let inside = expected || name == "expect";
                    expanded.insert(name.clone(), expand_value(member, inside)?);
                }
                Ok(Value::Object(expanded))
            }
        },
        other => Ok(other.clone()),
    }
}

fn expand_array(elements: &[Value], expected: bool) -> Result<Value, Error> {
    let mut expanded = Vec::with_capacity(elements.len());
    for element in elements {
        match element.get("$list") {
            Some(template) => {
                if let Value::Object(members) = element {
                    form_of(members)?;
                }
                let first = match element.get("from") {
                    None => 0,
                    Some(from) => from
                        .as_u64()
                        .ok_or_else(|| Error::new("from must be a whole number"))?,
                };
                for number in (first..).take(times(element, 1)?) {
                    let one = numbered(template, &number.to_string());
                    expanded.push(expand_value(&one, expected)?);
                }
            }
            None => expanded.push(expand_value(element, expected)?),
        }
    }
    Ok(Value::Array(expanded))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Repeat,
    Concat,
    Base64,
    List,
    Between,
}

/// The forms, each with its name, the members that it needs, and those that it may have.
const FORMS: [(Form, &str, &[&str], &[&str]); 5] = [
    (Form::Repeat, "$repeat", &["times"], &[]),
    (Form::Concat, "$concat", &[], &[]),
    (Form::Base64, "$base64", &[], &[]),
    (Form::List, "$list", &["times"], &["from"]),
    (Form::Between, "$between", &[], &[]),
];

fn form_of(members: &Map<String, Value>) -> Result<Option<Form>, Error> {
    let Some(dollar) = members.keys().find(|name| name.starts_with('$')) else {
        return Ok(None);
    };
    let known = FORMS.iter().find(|(_, name, ..)| name == dollar);
    let Some((form, name, needed, optional)) = known else {
        return Err(Error::new(format!("{dollar} is no special form")));
    };
    let is_known =
        |member: &str| member == *name || needed.contains(&member) || optional.contains(&member);
    if !needed.iter().all(|member| members.contains_key(*member))
        || !members.keys().all(|member| is_known(member))
    {
        return Err(Error::new(format!(
            "{name} needs {needed:?}, may have {optional:?}, and has nothing else"
        )));
    }
    Ok(Some(*form))
}

/// The text of a string or of a form that stands for one.
fn text_of(value: &Value) -> Result<String, Error> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => match form_of(members)? {
            Some(Form::Repeat) => {
                let text = text_of(member(value, "$repeat"))?;
                text.repeat(times(value, text.len())?)
            }
            Some(Form::Concat) => {
                let Value::Array(parts) = member(value, "$concat") else {
                    return Err(Error::new("$concat needs a list"));
                };
                let parts: Result<Vec<String>, Error> = parts.iter().map(text_of).collect();
                parts?.concat()
            }
            Some(Form::Base64) => STANDARD.encode(bytes_of(member(value, "$base64"))?),
            _ => return Err(no_text(value)),
        },
        _ => return Err(no_text(value)),
    };
    bounded(text.len())?;
    Ok(text)
}

/// The bytes of a text, of `{"base64":…}`, of a repetition of either, or of a list of these.
fn bytes_of(value: &Value) -> Result<Vec<u8>, Error> {
    let bytes = match value {
        Value::Array(parts) => {
            let parts: Result<Vec<Vec<u8>>, Error> = parts.iter().map(bytes_of).collect();
            parts?.concat()
        }
        Value::Object(members) if members.len() == 1 && members.contains_key("base64") => {
            let text = text_of(member(value, "base64"))?;
            STANDARD
                .decode(&text)
                .map_err(|error| Error::new(format!("base64 {text:?}: {error}")))?
        }
        Value::Object(members) => match form_of(members)? {
            Some(Form::Repeat) => {
                let bytes = bytes_of(member(value, "$repeat"))?;
                bytes.repeat(times(value, bytes.len())?)
            }
            Some(Form::Concat) => bytes_of(member(value, "$concat"))?,
            _ => text_of(value)?.into_bytes(),
        },
        _ => text_of(value)?.into_bytes(),
    };
    bounded(bytes.len())?;
    Ok(bytes)
}

fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// How often, checked before anything is made of it: `size` is what one repetition is long.
fn times(value: &Value, size: usize) -> Result<usize, Error> {
    let times = member(value, "times")
        .as_u64()
        .and_then(|times| usize::try_from(times).ok());
    let times = times.ok_or_else(|| Error::new("times must be a whole number"))?;
    bounded(times.saturating_mul(size))?;
    Ok(times)
}

fn bounded(size: usize) -> Result<(), Error> {
    if size > MAX_EXPANDED {
        return Err(Error::new(format!(
            "a special form grows to {size}, more than {MAX_EXPANDED}"
        )));
    }
    Ok(())
}

fn no_text(value: &Value) -> Error {
    let shown = cut(&value.to_string(), 80);
    Error::new(format!("{shown} stands for no text"))
}

/// `{n}` in all strings becomes the number.
fn numbered(value: &Value, number: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("{n}", number)),
        Value::Array(elements) => {
            Value::Array(elements.iter().map(|one| numbered(one, number)).collect())
        }
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, one)| (name.clone(), numbered(one, number)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_repeated_and_joined() {
        let input = json!({"values": [{"$concat": ["a=", {"$repeat": "xy", "times": 3}]}], "x": {"$repeat": "", "times": 9}});
        assert_eq!(
            expand(&input).unwrap(),
            json!({"values": ["a=xyxyxy"], "x": ""})
        );
    }

    #[test]
    fn bytes_become_base64() {
        let of = |value: Value| expand(&json!({"$base64": value})).unwrap();
        assert_eq!(of(json!("hi")), json!("aGk="));
        assert_eq!(
            of(json!([{"base64": "/1c="}, "h", {"$repeat": {"base64": "AA=="}, "times": 3}])),
            json!("/1doAAAA")
        );
        assert_eq!(
            of(json!({"$concat": ["h", {"$repeat": "i", "times": 1}]})),
            json!("aGk=")
        );
    }

    #[test]
    fn a_list_counts_its_elements() {
        let input =
            json!([0, {"$list": ["key{n}", {"$repeat": "{n}", "times": 2}], "times": 2}, 9]);
        assert_eq!(
            expand(&input).unwrap(),
            json!([0, ["key0", "00"], ["key1", "11"], 9])
        );
        let input = json!([{"$list": "{n}", "times": 2, "from": 9}]);
        assert_eq!(expand(&input).unwrap(), json!(["9", "10"]));
    }

    #[test]
    fn bounds_stand_in_expectations_only() {
        let bounds = json!({"$between": [1, 2.5]});
        assert_eq!(expand_expected(&bounds).unwrap(), bounds);
        assert_eq!(between(&bounds), Some((1.0, 2.5)));
        assert!(expand(&bounds).is_err());
        let steps = json!({"steps": [{"do": "x", "expect": {"n": bounds}}]});
        assert_eq!(expand(&steps).unwrap(), steps);
        assert!(expand_expected(&json!({"$between": [2, 1]})).is_err());
    }

    #[test]
    fn wrong_forms_are_refused() {
        for wrong in [
            json!({"$repeat": "a"}),
            json!({"$repeat": "a", "times": -1}),
            json!({"$repeat": "a", "times": 2, "more": 1}),
            json!({"$repeat": 5, "times": 2}),
            json!({"$concat": "ab"}),
            json!({"$concat": [1]}),
            json!({"$nothing": 1}),
            json!({"$list": "a", "times": 2}),
            json!([{"$list": "a", "times": "2"}]),
            json!({"$base64": {"base64": "?"}}),
            json!({"$repeat": "abcdefgh", "times": 1_000_000_000}),
            json!({"$repeat": {"$repeat": "ab", "times": 10_000_000}, "times": 10_000_000}),
        ] {
            assert!(expand(&wrong).is_err(), "{wrong}");
        }
    }
}
