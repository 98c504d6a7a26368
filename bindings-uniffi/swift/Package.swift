// swift-tools-version:5.9
import PackageDescription

let package = Package(
    name: "Wirespan",
    products: [.library(name: "Wirespan", targets: ["Wirespan"])],
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
    ]
)
