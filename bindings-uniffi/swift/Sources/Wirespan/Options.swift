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

    /// Continues the session of an earlier connection: `options.resuming(await earlier.resumption)`.
    public func resuming(_ earlier: Resumption) -> Options {
        Options(settings: settings, resume: earlier)
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

extension Options {
    /// Every option as the specification has it.
    public static let `default` = Options(settings: [], resume: nil)
}
