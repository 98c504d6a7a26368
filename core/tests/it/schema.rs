//! The published schema of the envelope says what `limits.rs` and `names.rs` say.

use serde_json::Value;
use wirespan::{limits, names::header};

fn schema() -> Value {
    let text = include_str!("../../../conformance/schema/envelope.schema.json");
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_schema_knows_every_reserved_name_and_no_other() {
    let schema = schema();
    let named = schema["properties"]["headers"]["properties"]
        .as_object()
        .unwrap();
    let mut names: Vec<&str> = named.keys().map(String::as_str).collect();
    let mut reserved = header::RESERVED.to_vec();
    names.sort_unstable();
    reserved.sort_unstable();
    assert_eq!(names, reserved);
}

#[test]
fn the_schema_has_the_limits_of_the_library() {
    let schema = schema();
    let headers = &schema["properties"]["headers"];
    let length = |name: &str| headers["properties"][name]["maxLength"].as_u64().unwrap() as usize;
    let pattern = |name: &str| {
        headers["properties"][name]["pattern"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        headers["maxProperties"].as_u64().unwrap() as usize,
        limits::MAX_HEADERS
    );
    assert_eq!(length("tracestate"), limits::MAX_TRACESTATE_BYTES);
    assert_eq!(length("baggage"), limits::MAX_BAGGAGE_BYTES);
    for (name, bound) in [
        ("session", limits::MAX_SESSION_BYTES),
        ("method", limits::MAX_METHOD_BYTES),
        ("error", limits::MAX_ERROR_TYPE_BYTES),
    ] {
        assert!(
            pattern(name).ends_with(&format!("{{1,{bound}}}$")),
            "{name}"
        );
    }
    let name = headers["propertyNames"]["pattern"].as_str().unwrap();
    assert!(name.ends_with(&format!("{{1,{}}}$", limits::MAX_HEADER_NAME_BYTES)));
}
