//! The levels that an implementer can claim, their features, and what drivers are asked for.

/// A level: what must be declared, and what is asked.
#[derive(Debug)]
pub struct Level {
    /// Its name.
    pub name: &'static str,
    /// All of these must be declared.
    pub features: &'static [&'static str],
    /// What its cases ask.
    pub operations: &'static [&'static str],
}

/// PROTOCOL.md, "Levels and features".
pub const LEVELS: [Level; 5] = [
    Level {
        name: "reader",
        features: &[
            "traceparent",
            "tracestate",
            "baggage",
            "propagate",
            "text",
            "binary",
        ],
        operations: &[
            "traceparent.parse",
            "tracestate.parse",
            "baggage.parse",
            "propagate",
            "envelope.unwrap",
        ],
    },
    Level {
        name: "sender",
        features: &["baggage", "text", "binary", "convert"],
        operations: &["baggage.write", "envelope.wrap", "envelope.convert"],
    },
    Level {
        name: "calls",
        features: &["connection"],
        operations: &["connection"],
    },
    Level {
        name: "carry",
        features: &["carry"],
        operations: &[
            "carry.to_headers",
            "carry.from_headers",
            "carry.plan_send",
            "carry.plan_process",
        ],
    },
    Level {
        name: "metrics",
        features: &["metrics"],
        operations: &["metrics"],
    },
];

/// Every feature, once.
#[must_use]
pub fn features() -> Vec<&'static str> {
    let mut all: Vec<&str> = Vec::new();
    for feature in LEVELS.iter().flat_map(|level| level.features) {
        if !all.contains(feature) {
            all.push(feature);
        }
    }
    all
}
