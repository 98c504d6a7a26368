import Foundation
@_exported import WirespanCore

/// Serves a call of the peer, inside its SERVER span; returning ends the call.
public typealias Handler = @Sendable (Call) async throws -> Void

/// What the connections of an application share: options, handlers, and what makes spans. It decides nothing.
public struct Wirespan: Sendable {
    let options: Options
    let handlers: [String: Handler]
    let onMessage: (@Sendable (TracedConnection, Message) async -> Void)?
    let tracing: any Tracing

    var serves: Bool { !handlers.isEmpty }

    /// Throws `CoreError` for options out of their bounds.
    public init(
        tracing: any Tracing,
        options: Options = .default,
        handlers: [String: Handler] = [:],
        onMessage: (@Sendable (TracedConnection, Message) async -> Void)? = nil
    ) throws {
        // Wrong options are the program's fault, and are said here and not to the first peer.
        _ = try Connection.client(entropy: Data(count: 16), options: options)
        self.tracing = tracing
        self.options = options
        self.handlers = handlers
        self.onMessage = onMessage
    }
}

/// A received message: its content as the sender wrote it, the sender's own headers, and the context it came with.
public struct Message: Sendable {
    /// The content, text in UTF-8.
    public let bytes: Data
    /// Whether it is a text message.
    public let isText: Bool
    /// The sender's own headers, in the order sent.
    public let headers: [Header]
    /// The sender's span where trust is "link": to be linked, not continued.
    public let links: [SpanContext]
    let span: (any PlannedSpan)?

    /// The content as text; what is not UTF-8 is replaced by U+FFFD.
    public var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Reads the content as JSON.
    public func json<T: Decodable>(_ type: T.Type, decoder: JSONDecoder = JSONDecoder()) throws -> T {
        try decoder.decode(type, from: bytes)
    }

    /// Runs an operation inside the message's context: that of its call, or for a plain message that of the sender's span.
    public func run<T>(_ operation: () async throws -> T) async rethrows -> T {
        guard let span else { return try await operation() }
        return try await span.within(operation)
    }
}

/// What a reader or sender of a call throws where the call did not go well.
public struct WirespanError: Error, Sendable {
    /// One of SPEC.md, chapter "Errors": `remote`, `cancelled`, `closed`, `timeout`, …
    public let kind: String
    /// For a call that the peer failed: the type of its error.
    public let errorType: String?
}
