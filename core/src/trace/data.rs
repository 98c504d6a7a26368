//! Contexts as data: each value is the header that carries it.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use super::{Baggage, TraceParent, TraceState};

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_header())
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Cow::<str>::deserialize(deserializer)?;
        Self::parse(value.as_bytes()).map_err(D::Error::custom)
    }
}

impl Serialize for TraceState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TraceState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&value).map_err(D::Error::custom)
    }
}

impl Serialize for Baggage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_header())
    }
}

impl<'de> Deserialize<'de> for Baggage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Cow::<str>::deserialize(deserializer)?;
        Ok(Self::parse(&value).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::SpanContext;

    #[test]
    fn contexts_are_their_headers() {
        let json = r#"{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03","tracestate":"a=1"}"#;
        let span: SpanContext = serde_json::from_str(json).unwrap();
        assert_eq!(
            (span.trace_parent.flags.bits(), span.trace_state.as_str()),
            (3, "a=1")
        );
        assert_eq!(serde_json::to_string(&span).unwrap(), json);
        let span = SpanContext::from(span.trace_parent);
        assert!(
            !serde_json::to_string(&span).unwrap().contains("tracestate"),
            "never sent empty"
        );
        let (baggage, _) = Baggage::parse("a=%20,b=2;p");
        let text = serde_json::to_string(&baggage).unwrap();
        assert_eq!(text, r#""a=%20,b=2;p""#);
        assert_eq!(serde_json::from_str::<Baggage>(&text).unwrap(), baggage);
    }

    #[test]
    fn an_invalid_header_is_no_data() {
        assert!(serde_json::from_str::<TraceParent>(r#""00-00""#).is_err());
        assert!(serde_json::from_str::<TraceState>(r#""a""#).is_err());
        assert!(serde_json::from_str::<TraceParent>("1").is_err());
    }
}
