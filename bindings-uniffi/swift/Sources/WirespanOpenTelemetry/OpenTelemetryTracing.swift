import Foundation
import OpenTelemetryApi
import Wirespan
import WirespanCore

/// Makes the spans of plans through the OpenTelemetry API for Swift, with whatever SDK the application has set up.
public struct OpenTelemetryTracing: Tracing, @unchecked Sendable {
    private let tracer: any Tracer

    public init(_ provider: any TracerProvider = OpenTelemetry.instance.tracerProvider) {
        tracer = provider.get(
            instrumentationName: "wirespan",
            instrumentationVersion: try? names().version,
            schemaUrl: nil,
            attributes: nil
        )
    }

    public var current: WirespanCore.SpanContext? { currentSpan?.context }

    public var currentSpan: (any PlannedSpan)? {
        OpenTelemetry.instance.contextProvider.activeSpan.map(OpenTelemetrySpan.init)
    }

    public func remote(_ context: WirespanCore.SpanContext) -> any PlannedSpan {
        OpenTelemetrySpan(RemoteSpan.of(context.toApi(remote: true)))
    }

    public func start(_ plan: Plan, connection: (any PlannedSpan)?) -> any PlannedSpan {
        let builder = tracer.spanBuilder(spanName: plan.name).setSpanKind(spanKind: plan.spanKind)
        switch plan.parent {
        case .current:
            break
        case .root:
            builder.setNoParent()
        case .connection:
            if let connection = connection as? OpenTelemetrySpan { builder.setParent(connection.span) } else { builder.setNoParent() }
        case .remote(let span):
            builder.setParent(span.toApi(remote: true))
        }
        for link in plan.links { builder.addLink(spanContext: link.span.toApi(remote: link.remote)) }
        for attribute in plan.attributes { builder.setAttribute(key: attribute.key, value: attribute.value.toApi()) }
        return OpenTelemetrySpan(builder.startSpan())
    }
}

struct OpenTelemetrySpan: PlannedSpan, @unchecked Sendable {
    let span: any Span

    init(_ span: any Span) {
        self.span = span
    }

    var context: WirespanCore.SpanContext? { WirespanCore.SpanContext(span.context) }

    func update(_ attributes: [Attribute]) {
        for attribute in attributes { span.setAttribute(key: attribute.key, value: attribute.value.toApi()) }
    }

    func end(_ end: SpanEnd) {
        if span.isRecording {
            update(end.attributes)
            for event in end.events {
                let attributes = Dictionary(uniqueKeysWithValues: event.attributes.map { ($0.key, $0.value.toApi()) })
                span.addEvent(name: event.name, attributes: attributes, timestamp: wallTime(ofNanoseconds: event.atNs))
            }
            if end.isError { span.status = .error(description: "") }
        }
        span.end()
    }

    func end() {
        span.end()
    }

    func run<T>(_ operation: () async throws -> T) async rethrows -> T {
        try await OpenTelemetry.instance.contextProvider.withActiveSpan(span, operation)
    }
}

/// A span that stands for one of a peer.
enum RemoteSpan {
    static func of(_ context: OpenTelemetryApi.SpanContext) -> any Span {
        DefaultTracer.instance.spanBuilder(spanName: "").setParent(context).startSpan()
    }
}

extension Plan {
    var spanKind: SpanKind {
        switch kind {
        case "CLIENT": return .client
        case "SERVER": return .server
        case "PRODUCER": return .producer
        case "CONSUMER": return .consumer
        default: return .internal
        }
    }
}

extension WirespanCore.AttributeValue {
    func toApi() -> OpenTelemetryApi.AttributeValue {
        switch self {
        case .text(let value): return .string(value)
        case .whole(let value): return .int(Int(value))
        case .number(let value): return .double(value)
        }
    }
}

extension WirespanCore.SpanContext {
    /// The core's context of a span context of the API; none where that is not valid.
    init?(_ context: OpenTelemetryApi.SpanContext) {
        guard context.isValid else { return nil }
        let state = context.traceState.entries.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
        let ids = "\(context.traceId.hexString)-\(context.spanId.hexString)"
        self.init(traceparent: "00-\(ids)-\(context.traceFlags.hexString)", tracestate: state)
    }

    /// The API's context of a span that the core has read: its `traceparent` is a valid one of version 00. Of a tracestate it keeps
    /// what the API's grammar, that of level 1, allows.
    func toApi(remote: Bool) -> OpenTelemetryApi.SpanContext {
        let parts = traceparent.split(separator: "-").map(String.init)
        let entries = tracestate.split(separator: ",").compactMap { member -> TraceState.Entry? in
            let pair = member.split(separator: "=", maxSplits: 1).map(String.init)
            return pair.count == 2 ? TraceState.Entry(key: pair[0], value: pair[1]) : nil
        }
        let make = remote ? OpenTelemetryApi.SpanContext.createFromRemoteParent : OpenTelemetryApi.SpanContext.create
        return make(
            TraceId(fromHexString: parts[1]),
            SpanId(fromHexString: parts[2]),
            TraceFlags(fromHexString: parts[3]),
            TraceState(entries: entries) ?? TraceState()
        )
    }
}
