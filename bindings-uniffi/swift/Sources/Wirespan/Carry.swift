import Foundation
@_exported import WirespanCore

/// The context of an item on its way through a queue, and when it left. Child tasks inherit what is current by themselves; this is for
/// what hands items from task to task: an `AsyncStream`, a queue, a broker.
public struct Carry: Sendable {
    /// The span that is carried.
    public let span: (any PlannedSpan)?
    /// The session in which the item was sent, across a broker.
    public let sessionId: String?
    private let capturedNs: Int64?
    private let sentUnixNs: Int64?

    /// Captures what is current: the span of the call that this task works for, else that of OpenTelemetry.
    public static func capture(_ tracing: any Tracing) -> Carry {
        let span = Current.span ?? tracing.currentSpan
        return Carry(span: span, sessionId: nil, capturedNs: Clock.now(), sentUnixNs: nil)
    }

    /// Captures an open span, which is handed over: whoever gets the carry ends it, by `endSpan`.
    public static func capture(span: any PlannedSpan) -> Carry {
        Carry(span: span, sessionId: nil, capturedNs: Clock.now(), sentUnixNs: nil)
    }

    /// How long the item has waited until now, in seconds; absent where that is not known.
    public func wait() throws -> Double? {
        if let capturedNs {
            return Double(max(0, Clock.now() - capturedNs)) / 1_000_000_000
        }
        let waited = try carryWaitNs(item: item, nowUnixNs: Clock.wall())
        return waited.map { Double($0) / 1_000_000_000 }
    }

    /// Runs an operation inside the carried context.
    public func run<T>(_ operation: () async throws -> T) async rethrows -> T {
        guard let span else { return try await operation() }
        return try await span.within(operation)
    }

    /// Ends the span that was handed over.
    public func endSpan() {
        span?.end()
    }

    /// The headers to put beside a payload.
    public func toHeaders(sessionId: String? = nil) throws -> [Header] {
        let item = CarriedItem(span: span?.context, sessionId: sessionId ?? self.sessionId, sentUnixNs: Clock.wall())
        return try carryToHeaders(item: item, members: [], baggageOut: [])
    }

    /// Reads the headers beside a payload; what is invalid or repeated counts as absent.
    public static func fromHeaders(_ headers: [String: String], tracing: any Tracing) throws -> Carry {
        let bytes = headers.map { HeaderBytes(name: $0.key, value: Data($0.value.utf8)) }
        let read = try carryFromHeaders(headers: bytes, baggageIn: [])
        return Carry(
            span: read.span.map(tracing.remote),
            sessionId: read.sessionId,
            capturedNs: nil,
            sentUnixNs: read.sentUnixNs
        )
    }

    private var item: CarriedItem {
        CarriedItem(span: span?.context, sessionId: sessionId, sentUnixNs: sentUnixNs)
    }
}
