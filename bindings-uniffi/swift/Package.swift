// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "Wirespan",
    platforms: [.macOS(.v12), .iOS(.v15), .tvOS(.v15), .watchOS(.v8)],
    products: [
        .library(name: "Wirespan", targets: ["Wirespan"]),
        .library(name: "WirespanOpenTelemetry", targets: ["WirespanOpenTelemetry"]),
    ],
    dependencies: [
        // Only its API: whatever SDK the application has set up makes the spans.
        .package(url: "https://github.com/open-telemetry/opentelemetry-swift-core.git", from: "2.0.0")
    ],
    targets: [
        // The header of the native library; generated.
        .systemLibrary(name: "WirespanFFI", path: "Sources/WirespanFFI"),
        // The core's types; generated. The linker finds the library by -L, where `cargo build --release -p wirespan-uniffi` left it.
        .target(
            name: "WirespanCore",
            dependencies: ["WirespanFFI"],
            path: "Sources/WirespanCore",
            linkerSettings: [.linkedLibrary("wirespan_uniffi")]
        ),
        .target(name: "Wirespan", dependencies: ["WirespanCore"], path: "Sources/Wirespan"),
        .target(
            name: "WirespanOpenTelemetry",
            dependencies: [
                "Wirespan", "WirespanCore",
                .product(name: "OpenTelemetryApi", package: "opentelemetry-swift-core"),
            ],
            path: "Sources/WirespanOpenTelemetry"
        ),
    ]
)
