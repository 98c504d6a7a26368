/// What makes the generated types of `WirespanCore` pleasant to use from Swift. It decides nothing.
@_exported import WirespanCore

extension Options {
    /// Sets an option by its name in SPEC.md, chapter "Options", whose value is a word.
    public func with(_ name: String, _ value: String) -> Options {
        setting(name, .text(value: value))
    }

    /// Sets an option that is on or off.
    public func with(_ name: String, _ value: Bool) -> Options {
        setting(name, .flag(value: value))
    }

    /// Sets an option that is a count or a number of bytes; for time spans, nanoseconds.
    public func with(_ name: String, _ value: Int64) -> Options {
        setting(name, .number(value: value))
    }

    /// Sets an option that is a list of names.
    public func with(_ name: String, _ values: [String]) -> Options {
        setting(name, .names(values: values))
    }

    private func setting(_ name: String, _ value: OptionValue) -> Options {
        let others = settings.filter { $0.name != name }
        return Options(settings: others + [OptionSetting(name: name, value: value)], resume: resume)
    }
}

extension Body: ExpressibleByStringLiteral {
    public init(stringLiteral value: String) {
        self = .text(value: value)
    }
}

extension Received {
    /// The bytes to deliver, given the message that was received; none where nothing is delivered.
    public func payload(of message: [UInt8]) -> [UInt8]? {
        switch payload {
        case .nothing:
            return nil
        case .slice(let offset, let length):
            return Array(message[Int(offset)..<Int(offset + length)])
        case .text(let value):
            return Array(value.utf8)
        }
    }
}
