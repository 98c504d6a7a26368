import Foundation
@_exported import WirespanCore

/// What a WebSocket library has to offer.
public protocol Transport: Sendable {
    /// Sends one message, and returns when the next can be taken.
    func send(_ bytes: Data, text: Bool) async throws

    /// Starts to close the connection; the library then reports its end.
    func close(code: Int, reason: String)
}

/// A connection whose messages carry trace context, over any transport of messages.
///
/// It is an actor: making a message and queueing it is one step of it, and no code of the application runs in it.
public actor TracedConnection {
    /// The sans-IO connection.
    public nonisolated let core: Connection
    private let wirespan: Wirespan
    private let transport: any Transport
    private var spans: [Int64: any PlannedSpan] = [:]
    private var readers: [Int64: Reader] = [:]
    private var measured: [Int64: (sent: Summary, received: Summary)] = [:]
    private var outbox: [(bytes: Data, text: Bool)] = []
    private var isWriting = false
    private var isClosed = false
    private var mayRead = true
    private var waiting: [Call] = []
    private var running: Int64 = 0
    private var timer: Task<Void, Never>?
    private var timerAt: Int64?
    /// Whoever waits for reading to go on, for the peer to be known, or for the end.
    private var watchers: [CheckedContinuation<Void, Never>] = []

    private static let connectionSpan: Int64 = 0
    private static let plain: Int64 = 0

    /// The chunks of a stream that nobody has taken yet.
    private struct Reader {
        var chunks: [Message] = []
        var end: (kind: String?, errorType: String?)?
        var watcher: CheckedContinuation<Void, Never>?
    }

    init(core: Connection, wirespan: Wirespan, transport: any Transport) throws {
        self.core = core
        self.wirespan = wirespan
        self.transport = transport
        readers[Self.plain] = Reader()
        if wirespan.serves {
            try core.setMethods(methods: Array(wirespan.handlers.keys))
        }
        let policy = wirespan.onMessage != nil ? "deliver" : wirespan.serves ? "discard" : "queue"
        try core.setPlainPolicy(policy: policy)
    }

    // What the application uses.

    /// Starts a call of the peer; it is ended by `leave`, `cancel` or `fail` of the call.
    public func call(_ method: String? = nil) throws -> Call {
        try start(core.planCall(method: method, current: current, now: Clock.now()), method, isTransfer: false)
    }

    /// Starts one-way data to the peer.
    public func transfer(_ method: String? = nil) throws -> Call {
        try start(core.planTransfer(method: method, current: current, now: Clock.now()), method, isTransfer: true)
    }

    /// Calls the peer inside a block, which runs inside the call's span; the call ends as the block ends.
    public nonisolated func call<T>(_ method: String?, _ block: (Call) async throws -> T) async throws -> T {
        try await call(method).inside(block)
    }

    /// Sends one-way data inside a block.
    public nonisolated func transfer<T>(_ method: String?, _ block: (Call) async throws -> T) async throws -> T {
        try await transfer(method).inside(block)
    }

    /// Sends text outside every call, with the context of the current span.
    public func send(_ text: String, headers: [Header] = []) throws {
        try send(.text(value: text), on: Self.plain, context: current, last: false, headers: headers)
    }

    /// Sends bytes outside every call.
    public func send(_ bytes: Data, headers: [Header] = []) throws {
        try send(.binary(value: bytes), on: Self.plain, context: current, last: false, headers: headers)
    }

    /// The next message outside every call; none when the connection has closed.
    public func recv() async throws -> Message? {
        try await recv(on: Self.plain)
    }

    /// Closes the connection, and waits until it is closed.
    public func close(code: Int = 1000, reason: String = "") async {
        while isWriting && !isClosed { await watch() }
        transport.close(code: code, reason: reason)
        while !isClosed { await watch() }
    }

    /// The session id in force.
    public var sessionId: String {
        get throws { try core.state().sessionId }
    }

    /// What is known of the peer: `unknown`, `announced` or `always`.
    public var peer: String {
        get throws { try core.state().peer }
    }

    /// How often something was dropped, ignored or out of order, by name.
    public var counters: [String: Int64] {
        get throws { try core.counters() }
    }

    /// What a later connection needs to continue this session.
    public var resumption: Resumption {
        get throws { try core.resumption() }
    }

    // For integrations.

    /// Starts the spans of the handshake.
    func startHandshake() throws {
        for plan in try core.planHandshake(httpSpan: nil, current: current != nil) { startSpan(plan) }
    }

    /// Ends the spans of the handshake with an error.
    func failHandshake(_ error: any Error) throws {
        try core.failHandshake(errorType: String(describing: type(of: error)))
        try drain()
    }

    /// Opens the connection with the headers of the answer, and waits until the peer is known, or will not become known by waiting.
    func opened(_ headers: [HeaderBytes]) async throws {
        try core.openClient(headers: headers, now: Clock.now())
        try drain()
        while try !core.state().ready && !isClosed { await watch() }
    }

    /// Takes a message of the peer; waits where reading has to pause. Messages come one at a time.
    func received(_ bytes: Data, text: Bool) async throws {
        let received = try core.receive(message: bytes, text: text, now: Clock.now())
        var opened: Call?
        if let stream = received.opened {
            let span = startSpan(stream.plan)
            readers[received.stream] = Reader()
            opened = Call(
                connection: self,
                method: stream.method,
                isTransfer: stream.kind == "transfer",
                key: received.stream,
                span: span
            )
        }
        if let message = message(received, of: bytes, text: text) {
            await deliver(message, to: received.stream)
        }
        if received.hasEvents { try drain() } else { schedule(received.deadline) }
        if let opened { dispatch(opened) }
        while !mayRead && !isClosed { await watch() }
    }

    /// Says that the transport has closed; `code` is absent without a close frame.
    func transportClosed(code: Int32?, reason: String) throws {
        if isClosed { return }
        isClosed = true
        try core.onClose(code: code, reason: reason, now: Clock.now())
        try drain()
        timer?.cancel()
        outbox.removeAll()
        finishReading(Self.plain, kind: nil, errorType: nil)
        wake()
    }

    // Spans and events.

    private var current: SpanContext? { Current.span?.context ?? wirespan.tracing.current }

    @discardableResult
    private func startSpan(_ plan: Plan) -> any PlannedSpan {
        let span = wirespan.tracing.start(plan, connection: spans[Self.connectionSpan])
        spans[plan.span] = span
        // The core asks for those of the connection alone, whose keys are the lowest.
        if plan.span <= 1, let context = span.context {
            try? core.spanStarted(span: plan.span, context: context)
        }
        return span
    }

    private func drain() throws {
        for event in try core.pollEvents() { act(event) }
        schedule(try core.nextDeadline())
    }

    private func act(_ event: Event) {
        switch event {
        case .frame(let text, let bytes):
            enqueue(bytes, text: text)
        case .spanUpdate(let span, let attributes):
            spans[span]?.update(attributes)
        case .spanEnds(let end):
            spans.removeValue(forKey: end.span)?.end(end)
            if let sent = end.sent, let received = end.received, readers[end.span] != nil {
                measured[end.span] = (sent, received)
            }
        case .readEnd(let stream, let errorKind, let errorType):
            finishReading(stream, kind: errorKind, errorType: errorType)
        case .pauseReading:
            mayRead = false
        case .resumeReading:
            mayRead = true
            wake()
        case .ready:
            wake()
        case .sessionChanged:
            break
        }
    }

    private func schedule(_ deadline: Int64?) {
        if deadline == timerAt { return }
        timer?.cancel()
        timerAt = deadline
        guard let deadline, !isClosed else { return }
        timer = Task { [weak self] in
            let wait = max(0, deadline - Clock.now())
            try? await Task.sleep(nanoseconds: UInt64(wait))
            if !Task.isCancelled { await self?.onTime() }
        }
    }

    private func onTime() {
        if isClosed { return }
        timerAt = nil
        try? core.onTime(now: Clock.now())
        try? drain()
    }

    private func watch() async {
        await withCheckedContinuation { watchers.append($0) }
    }

    private func wake() {
        let woken = watchers
        watchers = []
        for watcher in woken { watcher.resume() }
    }

    // Calls.

    private func start(_ planned: PlannedStream, _ method: String?, isTransfer: Bool) throws -> Call {
        let span = startSpan(planned.plan)
        readers[planned.stream] = Reader()
        try drain()
        return Call(connection: self, method: method, isTransfer: isTransfer, key: planned.stream, span: span)
    }

    func finish(_ key: Int64, _ act: @Sendable (Connection, Int64) throws -> Void) throws {
        try act(core, Clock.now())
        try drain()
        readers.removeValue(forKey: key)?.watcher?.resume()
    }

    func end(_ key: Int64, span: any PlannedSpan) throws {
        try core.end(stream: key, context: span.context, now: Clock.now())
        try drain()
    }

    func metrics(of key: Int64) throws -> (sent: Summary, received: Summary) {
        if let complete = measured[key] { return complete }
        let open = try core.metrics(stream: key)
        guard open.count == 2 else { throw WirespanError(kind: "invalid_state", errorType: nil) }
        return (open[0], open[1])
    }

    func recv(on key: Int64) async throws -> Message? {
        while true {
            guard var reader = readers[key] else { return nil }
            if !reader.chunks.isEmpty {
                let message = reader.chunks.removeFirst()
                readers[key] = reader
                if try core.take(stream: key, size: Int64(message.bytes.count), now: Clock.now()) { try drain() }
                return message
            }
            if let end = reader.end {
                guard let kind = end.kind else { return nil }
                // Thrown once; afterwards there is simply nothing more.
                reader.end = (nil, nil)
                readers[key] = reader
                throw WirespanError(kind: kind, errorType: end.errorType)
            }
            await withCheckedContinuation { readers[key]?.watcher = $0 }
        }
    }

    private func finishReading(_ key: Int64, kind: String?, errorType: String?) {
        if readers[key]?.end == nil { readers[key]?.end = (kind, errorType) }
        wakeReader(key)
    }

    private func wakeReader(_ key: Int64) {
        let watcher = readers[key]?.watcher
        readers[key]?.watcher = nil
        watcher?.resume()
    }

    // Sending.

    func send(_ body: Body, on key: Int64, span: any PlannedSpan, last: Bool, headers: [Header]) throws {
        try send(body, on: key, context: span.context, last: last, headers: headers)
    }

    private func send(_ body: Body, on key: Int64, context: SpanContext?, last: Bool, headers: [Header]) throws {
        let message = Outgoing(
            stream: key,
            body: body,
            now: Clock.now(),
            context: context,
            last: last,
            headers: headers,
            baggage: []
        )
        let frame = try core.send(message: message)
        enqueue(frame.bytes, text: frame.text)
        if frame.hasEvents { try drain() } else { schedule(frame.deadline) }
    }

    private func enqueue(_ bytes: Data, text: Bool) {
        if isClosed { return }
        outbox.append((bytes, text))
        if isWriting { return }
        isWriting = true
        Task { await write() }
    }

    private func write() async {
        while !isClosed && !outbox.isEmpty {
            let (bytes, text) = outbox.removeFirst()
            do {
                try await transport.send(bytes, text: text)
            } catch {
                // The reader learns of the same end, and says so to every call.
                outbox.removeAll()
            }
        }
        isWriting = false
        wake()
    }

    // Receiving.

    private func message(_ received: Received, of whole: Data, text: Bool) -> Message? {
        let bytes: Data
        switch received.payload {
        case .nothing:
            return nil
        case .slice(let offset, let length):
            let start = whole.startIndex + Int(offset)
            bytes = whole[start..<start + Int(length)]
        case .text(let value):
            bytes = Data(value.utf8)
        }
        return Message(
            bytes: bytes,
            isText: text,
            headers: received.headers,
            links: received.link.map { [$0] } ?? [],
            span: spans[received.stream] ?? received.context.map(wirespan.tracing.remote)
        )
    }

    private func deliver(_ message: Message, to key: Int64) async {
        if key == Self.plain, let onMessage = wirespan.onMessage {
            await message.run { await onMessage(self, message) }
            return
        }
        readers[key]?.chunks.append(message)
        wakeReader(key)
    }

    private func dispatch(_ call: Call) {
        guard let method = call.method, wirespan.handlers[method] != nil else {
            Task { try? await call.fail("unknown_method") }
            return
        }
        waiting.append(call)
        runWaiting()
    }

    private func runWaiting() {
        let most = (try? core.maxRunning()) ?? 1
        while running < most && !isClosed && !waiting.isEmpty {
            running += 1
            let call = waiting.removeFirst()
            // Detached: whatever is current in the task that reads is nobody's parent.
            Task.detached { await self.handle(call) }
        }
    }

    private nonisolated func handle(_ call: Call) async {
        if let method = call.method, let handler = wirespan.handlers[method] {
            // How it failed stands on the span, and is told to the peer.
            try? await call.inside(handler)
        }
        await handled()
    }

    private func handled() {
        running -= 1
        runWaiting()
    }
}
