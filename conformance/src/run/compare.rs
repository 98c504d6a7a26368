//! What is different between what was expected and what came out.

use serde_json::Value;

use crate::suite::forms;

/// One difference, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The place within the output: `steps[3].events[0].attributes."rpc.method"`; empty for the whole.
    pub path: String,
    /// What must stand there; nothing if nothing may.
    pub expected: Option<Value>,
    /// What stands there; nothing if nothing does.
    pub got: Option<Value>,
}

/// More than this many differences of a case say no more.
const MAX_DIFFERENCES: usize = 12;

/// Where the output is not what was expected, in order; empty if it is.
#[must_use]
pub fn differences(expected: &Value, got: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), expected, got, &mut found);
    found
}

fn compare(path: String, expected: &Value, got: &Value, found: &mut Vec<Difference>) {
    if found.len() >= MAX_DIFFERENCES {
        return;
    }
    match (expected, got) {
        (Value::Object(_), _) if forms::between(expected).is_some() => {
            let within = forms::between(expected)
                .zip(got.as_f64())
                .is_some_and(|((low, high), number)| (low..=high).contains(&number));
            if !within {
                found.push(difference(path, Some(expected), Some(got)));
            }
        }
        (Value::Object(wanted), Value::Object(given)) => {
            let mut names: Vec<&String> = wanted.keys().collect();
            names.extend(given.keys().filter(|name| !wanted.contains_key(*name)));
            for name in names {
                let inner = join(&path, name);
                match (wanted.get(name), given.get(name)) {
                    (Some(wanted), Some(given)) => compare(inner, wanted, given, found),
                    (wanted, given) => found.push(difference(inner, wanted, given)),
                }
            }
        }
        (Value::Array(wanted), Value::Array(given)) => {
            for index in 0..wanted.len().max(given.len()) {
                let inner = format!("{path}[{index}]");
                match (wanted.get(index), given.get(index)) {
                    (Some(wanted), Some(given)) => compare(inner, wanted, given, found),
                    (wanted, given) => found.push(difference(inner, wanted, given)),
                }
                if found.len() >= MAX_DIFFERENCES {
                    return;
                }
            }
        }
        (Value::Number(_), Value::Number(_)) if same_number(expected, got) => {}
        _ if expected == got => {}
        _ => found.push(difference(path, Some(expected), Some(got))),
    }
}

fn difference(path: String, expected: Option<&Value>, got: Option<&Value>) -> Difference {
    Difference {
        path,
        expected: expected.cloned(),
        got: got.cloned(),
    }
}

/// Whole numbers are compared exactly: a deadline is right or wrong. Others may differ by 1e-9 of the larger.
fn same_number(one: &Value, other: &Value) -> bool {
    if let (Some(one), Some(other)) = (one.as_i64(), other.as_i64()) {
        return one == other;
    }
    let (Some(one), Some(other)) = (one.as_f64(), other.as_f64()) else {
        return false;
    };
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
}

fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let name = if plain {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    };
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(expected: &Value, got: &Value) -> Vec<String> {
        differences(expected, got)
            .into_iter()
            .map(|one| one.path)
            .collect()
    }

    #[test]
    fn equal_values_have_no_difference() {
        let value = json!({"a": [1, {"b": null}], "c": "x", "d": true});
        assert_eq!(paths(&value, &value), Vec::<String>::new());
    }

    #[test]
    fn a_difference_has_its_path() {
        let expected = json!({"steps": [{}, {"events": [{"attributes": {"rpc.method": "a"}}]}]});
        let got = json!({"steps": [{}, {"events": [{"attributes": {"rpc.method": "b"}}]}]});
        assert_eq!(
            paths(&expected, &got),
            ["steps[1].events[0].attributes.\"rpc.method\""]
        );
    }

    #[test]
    fn what_is_missing_or_too_much_is_a_difference() {
        assert_eq!(paths(&json!({"a": 1}), &json!({"b": 1})), ["a", "b"]);
        assert_eq!(paths(&json!([1, 2]), &json!([1])), ["[1]"]);
        assert_eq!(paths(&json!([1]), &json!([1, 2])), ["[1]"]);
        assert_eq!(paths(&json!({}), &json!([])), [""]);
        assert_eq!(paths(&json!({"a": null}), &json!({})), ["a"]);
    }

    #[test]
    fn whole_numbers_are_exact_and_others_nearly() {
        assert_eq!(
            paths(&json!(5_000_000_000_u64), &json!(5_000_000_001_u64)),
            [""]
        );
        assert!(paths(&json!(5), &json!(5.0)).is_empty());
        assert!(paths(&json!(0.3), &json!(0.1 + 0.2)).is_empty());
        assert_eq!(paths(&json!(0.3), &json!(0.300_000_01)), [""]);
        assert_eq!(paths(&json!(0.0), &json!(1e-12)), [""]);
        assert_eq!(paths(&json!(1), &json!("1")), [""]);
        assert_eq!(paths(&json!(1), &json!(true)), [""]);
    }

    #[test]
    fn bounds_include_their_ends() {
        let bounds = json!({"$between": [1, 2]});
        for (got, right) in [
            (json!(1), true),
            (json!(2), true),
            (json!(2.1), false),
            (json!("1"), false),
        ] {
            assert_eq!(differences(&bounds, &got).is_empty(), right, "{got}");
        }
    }

    #[test]
    fn differences_are_bounded() {
        let expected: Vec<u32> = (0..1000).collect();
        let got: Vec<u32> = (1..1001).collect();
        assert_eq!(
            differences(&json!(expected), &json!(got)).len(),
            MAX_DIFFERENCES
        );
    }
}
