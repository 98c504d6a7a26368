import Foundation
@_exported import WirespanCore

/// Traced connections over `URLSessionWebSocketTask`.
public enum WirespanURLSession {
    /// Connects, and waits until the peer is known. The request is the application's own: its URL, its headers, its subprotocols.
    public static func connect(
        _ session: URLSession,
        to request: URLRequest,
        wirespan: Wirespan
    ) async throws -> TracedConnection {
        guard let url = request.url, let host = url.host else {
            throw WirespanError(kind: "invalid_argument", errorType: nil)
        }
        let secure = url.scheme == "wss"
        let core = try Connection.client(
            entropy: entropy(),
            options: wirespan.options,
            address: host,
            port: Int32(url.port ?? (secure ? 443 : 80))
        )
        try core.setUrl(secure: secure, path: url.path.isEmpty ? "/" : url.path)
        let transport = SocketTransport()
        let connection = try TracedConnection(core: core, wirespan: wirespan, transport: transport)
        try await connection.startHandshake()
        let task = session.webSocketTask(with: try added(to: request, url: url, host: host, core: core, wirespan: wirespan))
        transport.task = task
        task.delegate = transport
        task.resume()
        do {
            try await connection.opened(try await transport.answer())
        } catch {
            try await connection.failHandshake(error)
            throw error
        }
        Task.detached { await read(task, into: connection) }
        return connection
    }

    private static let subprotocolHeader = "Sec-WebSocket-Protocol"

    private static func entropy() -> Data {
        Data((0..<16).map { _ in UInt8.random(in: .min ... .max) })
    }

    /// The request with what the core adds to it.
    private static func added(
        to request: URLRequest,
        url: URL,
        host: String,
        core: Connection,
        wirespan: Wirespan
    ) throws -> URLRequest {
        var request = request
        let offered = request.value(forHTTPHeaderField: subprotocolHeader)
        let added = try core.request(
            host: host,
            hasSubprotocol: offered != nil,
            hasTraceContext: request.value(forHTTPHeaderField: "traceparent") != nil,
            current: wirespan.tracing.current
        )
        for header in added.headers {
            request.setValue(header.value, forHTTPHeaderField: header.name)
        }
        if let subprotocol = added.subprotocol {
            request.setValue(offered.map { "\($0), \(subprotocol)" } ?? subprotocol, forHTTPHeaderField: subprotocolHeader)
        }
        if let query = added.query, var parts = URLComponents(url: url, resolvingAgainstBaseURL: false) {
            parts.percentEncodedQuery = [parts.percentEncodedQuery, query].compactMap { $0 }.joined(separator: "&")
            request.url = parts.url
        }
        return request
    }

    private static func read(_ task: URLSessionWebSocketTask, into connection: TracedConnection) async {
        do {
            while true {
                switch try await task.receive() {
                case .string(let text):
                    try await connection.received(Data(text.utf8), text: true)
                case .data(let bytes):
                    try await connection.received(bytes, text: false)
                @unknown default:
                    continue
                }
            }
        } catch {
            // 1005 stands for a close frame without a code, `invalid` for none (RFC 6455, section 7.1.5).
            let code = task.closeCode
            let known = code != .invalid && code != .noStatusReceived
            let reason = task.closeReason.map { String(decoding: $0, as: UTF8.self) } ?? ""
            try? await connection.transportClosed(code: known ? Int32(code.rawValue) : nil, reason: reason)
        }
    }
}

/// The transport of a task, and its delegate, which learns of the answer to the handshake.
private final class SocketTransport: NSObject, Transport, URLSessionWebSocketDelegate, @unchecked Sendable {
    /// Set once, before anything else is called.
    var task: URLSessionWebSocketTask?
    private let (answers, answered) = AsyncThrowingStream.makeStream(of: [HeaderBytes].self, throwing: (any Error).self)

    func send(_ bytes: Data, text: Bool) async throws {
        let message: URLSessionWebSocketTask.Message = text ? .string(String(decoding: bytes, as: UTF8.self)) : .data(bytes)
        try await task?.send(message)
    }

    func close(code: Int, reason: String) {
        task?.cancel(with: URLSessionWebSocketTask.CloseCode(rawValue: code) ?? .normalClosure, reason: Data(reason.utf8))
    }

    /// The headers of the answer; throws where the server cannot be reached or refuses.
    func answer() async throws -> [HeaderBytes] {
        for try await headers in answers { return headers }
        throw URLError(.networkConnectionLost)
    }

    func urlSession(
        _ session: URLSession,
        webSocketTask: URLSessionWebSocketTask,
        didOpenWithProtocol protocol: String?
    ) {
        let fields = (webSocketTask.response as? HTTPURLResponse)?.allHeaderFields ?? [:]
        answered.yield(fields.map { HeaderBytes(name: "\($0.key)", value: Data("\($0.value)".utf8)) })
    }

    func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        answered.finish(throwing: error)
    }
}
