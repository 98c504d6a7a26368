import Foundation
@_exported import WirespanCore

/// A span that a plan asked for, made by the OpenTelemetry of the application.
public protocol PlannedSpan: Sendable {
    /// What goes over the wire of it; none where it is not valid.
    var context: SpanContext? { get }

    /// Sets attributes of a span that is open.
    func update(_ attributes: [Attribute])

    /// Ends the span: attributes, events, status.
    func end(_ end: SpanEnd)

    /// Ends the span of an application that was handed over, which no plan has made.
    func end()

    /// Runs an operation with the span current for OpenTelemetry.
    func run<T>(_ operation: () async throws -> T) async rethrows -> T
}

/// Starts the spans of plans. `WirespanOpenTelemetry` does it through the OpenTelemetry API for Swift.
public protocol Tracing: Sendable {
    /// The span that is current, if it is valid.
    var current: SpanContext? { get }

    /// The same as something that can be carried.
    var currentSpan: (any PlannedSpan)? { get }

    /// Starts the span of a plan. `connection` is the connection's own span.
    func start(_ plan: Plan, connection: (any PlannedSpan)?) -> any PlannedSpan

    /// A span of a peer, to be current while a message of it is worked on.
    func remote(_ context: SpanContext) -> any PlannedSpan
}

/// The span of the call that this task, or the one that has started it, works for.
enum Current {
    @TaskLocal static var span: (any PlannedSpan)?
}

extension PlannedSpan {
    /// Runs an operation in the span; child tasks inherit it.
    func within<T>(_ operation: () async throws -> T) async rethrows -> T {
        try await Current.$span.withValue(self) {
            try await run(operation)
        }
    }
}

/// The clocks: the core measures by the monotonic one, spans are recorded by the wall clock.
enum Clock {
    private static let start = DispatchTime.now().uptimeNanoseconds

    /// Monotonic nanoseconds.
    static func now() -> Int64 {
        Int64(DispatchTime.now().uptimeNanoseconds - start)
    }

    /// Unix nanoseconds.
    static func wall() -> Int64 {
        Int64(Date().timeIntervalSince1970 * 1_000_000_000)
    }
}

/// When something happened that the core's clock has timed, for the events of spans.
public func wallTime(ofNanoseconds now: Int64) -> Date {
    Date(timeIntervalSinceNow: Double(now - Clock.now()) / 1_000_000_000)
}
