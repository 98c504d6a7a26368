//! The names that stand on the wire and in telemetry, each written once.

/// Reserved header names, in canonical order.
pub mod header {
    /// Versions that the sender of a hello speaks, highest first.
    pub const WIRESPAN: &str = "wirespan";
    /// Role of the sender of a hello.
    pub const ROLE: &str = "role";
    /// W3C Trace Context.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C Trace Context.
    pub const TRACESTATE: &str = "tracestate";
    /// W3C Baggage.
    pub const BAGGAGE: &str = "baggage";
    /// Session id.
    pub const SESSION: &str = "session";
    /// `call` or `transfer`.
    pub const KIND: &str = "kind";
    /// Method name.
    pub const METHOD: &str = "method";
    /// Stream id.
    pub const STREAM: &str = "stream";
    /// Number of a message in its stream and direction.
    pub const SEQ: &str = "seq";
    /// How a direction ends.
    pub const END: &str = "end";
    /// Error type.
    pub const ERROR: &str = "error";
    /// What the body is when it is not JSON.
    pub const CONTENT: &str = "content";
    /// When a carried item left, Unix nanoseconds.
    pub const SENT: &str = "sent";

    /// All of them, in canonical order.
    pub const RESERVED: [&str; 14] = [
        WIRESPAN,
        ROLE,
        TRACEPARENT,
        TRACESTATE,
        BAGGAGE,
        SESSION,
        KIND,
        METHOD,
        STREAM,
        SEQ,
        END,
        ERROR,
        CONTENT,
        SENT,
    ];
}

/// Attribute names.
pub mod attribute {
    /// Session id of the connection.
    pub const SESSION_ID: &str = "websocket.session.id";
    /// Session id that this side had proposed before the peer answered another one.
    pub const SESSION_PREVIOUS_ID: &str = "websocket.session.previous_id";
    /// Close code (RFC 6455, section 7.4).
    pub const CLOSE_CODE: &str = "websocket.close.code";
    /// Close reason.
    pub const CLOSE_REASON: &str = "websocket.close.reason";
    /// Time that an item waited in a queue, in seconds.
    pub const QUEUE_WAIT: &str = "websocket.queue.wait";
    /// Always `websocket`.
    pub const NETWORK_PROTOCOL_NAME: &str = "network.protocol.name";
    /// Host name or address of the server.
    pub const SERVER_ADDRESS: &str = "server.address";
    /// Port of the server.
    pub const SERVER_PORT: &str = "server.port";
    /// Path of the URL (naming set `loongsuite`).
    pub const ENDPOINT: &str = "websocket.endpoint";
    /// Scheme, host and port of the URL (naming set `loongsuite`).
    pub const DESTINATION: &str = "websocket.destination";
    /// `client` or `server` (naming set `loongsuite`).
    pub const CONNECTION_TYPE: &str = "websocket.connection.type";
    /// Method of the call.
    pub const RPC_METHOD: &str = "rpc.method";
    /// Type of the error that ended the operation.
    pub const ERROR_TYPE: &str = "error.type";
    /// Number of messages that a batch holds.
    pub const BATCH_MESSAGE_COUNT: &str = "messaging.batch.message_count";
    /// `complete`, `cancelled`, `error` or `abandoned`.
    pub const STREAM_OUTCOME: &str = "websocket.stream.outcome";
    /// On a stall: `sent` or `received`.
    pub const STALL_DIRECTION: &str = "websocket.stream.direction";
    /// On a stall: the interval in seconds.
    pub const STALL_INTERVAL: &str = "websocket.stream.interval";
    /// On a stall: the chunk that ended it, counted from 0.
    pub const STALL_CHUNK: &str = "websocket.stream.chunk";
}

/// Event that marks a stall of a stream.
pub const EVENT_STALL: &str = "websocket.stream.stall";

/// Error types that Wirespan itself writes on the wire.
pub mod wire_error {
    /// A limit of the receiver was reached.
    pub const LIMIT: &str = "limit";
    /// A reader did not take its chunks in time.
    pub const OVERFLOW: &str = "overflow";
    /// A deadline passed.
    pub const TIMEOUT: &str = "timeout";
    /// Nobody serves the method.
    pub const UNKNOWN_METHOD: &str = "unknown_method";
    /// Another connection took the session over.
    pub const SUPERSEDED: &str = "superseded";
    /// The peer has the same role.
    pub const ROLE: &str = "role";
    /// A handler failed with an error that has no usable name.
    pub const HANDLER: &str = "handler";
    /// `end:error` came without a type.
    pub const REMOTE: &str = "remote";
}
