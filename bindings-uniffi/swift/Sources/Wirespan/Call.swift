import Foundation
@_exported import WirespanCore

/// One invocation over a connection, from either side; or one-way data, a transfer. Iterating gives the messages of the other
/// direction.
public final class Call: AsyncSequence, Sendable {
    public typealias Element = Message

    /// The connection of the call.
    public let connection: TracedConnection
    /// The method, if one was named.
    public let method: String?
    /// Whether it is one-way data.
    public let isTransfer: Bool
    let key: Int64
    let span: any PlannedSpan

    init(connection: TracedConnection, method: String?, isTransfer: Bool, key: Int64, span: any PlannedSpan) {
        self.connection = connection
        self.method = method
        self.isTransfer = isTransfer
        self.key = key
        self.span = span
    }

    /// The context of the call's span.
    public var context: SpanContext? { span.context }

    /// The stream metrics so far, sent and received; complete once the call has ended.
    public var metrics: (sent: Summary, received: Summary) {
        get async throws { try await connection.metrics(of: key) }
    }

    /// Sends text: JSON travels as it is, any other text as a JSON string. `last` ends my direction with it.
    public func send(_ text: String, last: Bool = false, headers: [Header] = []) async throws {
        try await connection.send(.text(value: text), on: key, span: span, last: last, headers: headers)
    }

    /// Sends bytes as a binary message.
    public func send(_ bytes: Data, last: Bool = false, headers: [Header] = []) async throws {
        try await connection.send(.binary(value: bytes), on: key, span: span, last: last, headers: headers)
    }

    /// Sends JSON in UTF-8 that an encoder wrote, as text that is not looked at.
    public func sendJson(_ json: Data, last: Bool = false, headers: [Header] = []) async throws {
        try await connection.send(.json(value: json), on: key, span: span, last: last, headers: headers)
    }

    /// The next message of the other direction; none when it is complete. An error is thrown once.
    public func recv() async throws -> Message? {
        try await connection.recv(on: key)
    }

    /// Ends my direction: nothing more follows.
    public func end() async throws {
        try await connection.end(key, span: span)
    }

    /// Ends the call normally: my direction ends, what is still to come of the reply is abandoned.
    public func leave() async throws {
        try await connection.finish(key) { core, now in try core.leave(stream: self.key, now: now) }
    }

    /// Cancels the call: both directions end, and it is no error.
    public func cancel() async throws {
        try await connection.finish(key) { core, now in try core.cancel(stream: self.key, now: now) }
    }

    /// Ends the call with an error type, 1 to 128 visible ASCII characters.
    public func fail(_ errorType: String) async throws {
        try await connection.finish(key) { core, now in try core.fail(stream: self.key, errorType: errorType, now: now) }
    }

    /// Runs a block inside the call's span, and ends the call as the block ends.
    func inside<T>(_ block: (Call) async throws -> T) async throws -> T {
        do {
            let result = try await span.within { try await block(self) }
            try await leave()
            return result
        } catch is CancellationError {
            try? await cancel()
            throw CancellationError()
        } catch {
            try? await fail(String(describing: type(of: error)))
            throw error
        }
    }

    /// Gives the messages of the other direction.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let call: Call

        public mutating func next() async throws -> Message? {
            try await call.recv()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(call: self)
    }
}
