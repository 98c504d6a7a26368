//! The names of spans (SPEC AD-3): each naming set is data.

use std::borrow::Cow;

use crate::envelope::{Kind, Role};

/// Which names and attributes the spans of a connection have; what they are the child of never depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Naming {
    /// Calls are named after their method (SPEC.md, chapter "Span plans").
    #[default]
    Otel,
    /// As in the LoongSuite agent's WebSocket examples: messages are named after the side that sends or handles them, and the
    /// spans of a connection say where it leads.
    Loongsuite,
}

/// How the spans of one naming set are called.
struct NamingSet {
    caller: NameRule,
    callee: NameRule,
    sender: NameRule,
    receiver: NameRule,
    /// The spans of the connection and of the handshake have `websocket.endpoint`, `.destination` and `.connection.type`.
    has_destination: bool,
}

enum NameRule {
    /// The method behind a prefix; `without` where there is none that may name a span.
    Method {
        prefix: &'static str,
        without: &'static str,
    },
    /// A name for each role of this side.
    Role {
        client: &'static str,
        server: &'static str,
    },
}

const SENDS: NameRule = NameRule::Role {
    client: "Client send message",
    server: "Server send message",
};
const HANDLES: NameRule = NameRule::Role {
    client: "Client handle message",
    server: "Server handle message",
};

static OTEL: NamingSet = NamingSet {
    caller: NameRule::Method {
        prefix: "",
        without: "websocket call",
    },
    callee: NameRule::Method {
        prefix: "",
        without: "websocket call",
    },
    sender: NameRule::Method {
        prefix: "send ",
        without: "websocket send",
    },
    receiver: NameRule::Method {
        prefix: "process ",
        without: "websocket process",
    },
    has_destination: false,
};

static LOONGSUITE: NamingSet = NamingSet {
    caller: SENDS,
    callee: HANDLES,
    sender: SENDS,
    receiver: HANDLES,
    has_destination: true,
};

impl Naming {
    fn set(self) -> &'static NamingSet {
        match self {
            Self::Otel => &OTEL,
            Self::Loongsuite => &LOONGSUITE,
        }
    }

    /// The name of the span of a call or transfer. `method` is one that may name a span.
    pub(super) fn stream(
        self,
        kind: Kind,
        incoming: bool,
        role: Role,
        method: Option<&str>,
    ) -> Cow<'static, str> {
        let set = self.set();
        let rule = match (kind, incoming) {
            (Kind::Call, false) => &set.caller,
            (Kind::Call, true) => &set.callee,
            (Kind::Transfer, false) => &set.sender,
            (Kind::Transfer, true) => &set.receiver,
        };
        match (rule, method) {
            (NameRule::Method { prefix, .. }, Some(method)) => format!("{prefix}{method}").into(),
            (NameRule::Method { without, .. }, None) => (*without).into(),
            (NameRule::Role { client, server }, _) => match role {
                Role::Client => *client,
                Role::Server => *server,
            }
            .into(),
        }
    }

    pub(super) fn has_destination(self) -> bool {
        self.set().has_destination
    }
}
