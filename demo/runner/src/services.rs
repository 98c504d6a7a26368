//! How each service is started.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::failure::Failure;
use crate::options::Options;

/// In the order in which they start.
pub(crate) const SERVICES: [&str; 3] = ["kitchen", "recogniser", "gateway"];

/// What would change where the spans go, or whether there are any: removed from the environment of the services when the
/// demo receives the spans itself.
const FOREIGN_SETTINGS: [&str; 14] = [
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_PROPAGATORS",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "TRACEPARENT",
];

/// The addresses that were found so far.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// Where the services export to.
    pub(crate) endpoint: String,
    /// Whether that is somebody else's collector.
    pub(crate) endpoint_is_foreign: bool,
    pub(crate) kitchen: u16,
    pub(crate) recogniser: u16,
    pub(crate) gateway: u16,
}

impl Addresses {
    pub(crate) fn set(&mut self, service: &str, port: u16) {
        match service {
            "kitchen" => self.kitchen = port,
            "recogniser" => self.recogniser = port,
            _ => self.gateway = port,
        }
    }
}

/// The command of a service.
pub(crate) fn service(name: &str, options: &Options, addresses: &Addresses) -> Command {
    let root = &options.root;
    let mut command = match name {
        "kitchen" => Command::new(root.join("target/debug/wirespan-kitchen")),
        "recogniser" => {
            let mut command = Command::new(root.join("target/venv/bin/python"));
            command
                .args(["-m", "recogniser"])
                .current_dir(root.join("demo/recogniser"));
            // What it logs is seen at once, also when it is killed.
            command.env("PYTHONUNBUFFERED", "1");
            command
        }
        _ => {
            let mut command = Command::new("node");
            command
                .arg(root.join("demo/gateway/gateway.mjs"))
                .current_dir(root);
            command.arg("--recogniser").arg(url(addresses.recogniser));
            command.arg("--kitchen").arg(url(addresses.kitchen));
            if options.unsampled {
                command.arg("--print-context");
            }
            command
        }
    };
    let port = options.ports.get(name).copied().unwrap_or(0);
    command.arg("--port").arg(port.to_string());
    environment(&mut command, name, options, addresses);
    command
}

/// The command of a device.
pub(crate) fn device(name: &str, wav: &Path, options: &Options, addresses: &Addresses) -> Command {
    let mut command = Command::new(options.root.join("target/demo/device"));
    command
        .arg("--url")
        .arg(url(addresses.gateway))
        .arg("--wav")
        .arg(wav);
    if options.fast {
        command.arg("--fast");
    }
    environment(&mut command, name, options, addresses);
    if let Some(parent) = options.parent {
        command.env(
            "TRACEPARENT",
            format!("00-{}-{:02x}", parent.span, parent.flags),
        );
    }
    command
}

/// The names of the devices.
pub(crate) fn devices(count: usize) -> Vec<String> {
    match count {
        1 => vec!["device".to_owned()],
        _ => (1..=count)
            .map(|number| format!("device-{number}"))
            .collect(),
    }
}

/// A recording for each device: the one asked for, or those in `demo/orders` in turn.
pub(crate) fn recordings(options: &Options) -> Result<Vec<PathBuf>, Failure> {
    if let Some(wav) = &options.wav {
        if !wav.is_file() {
            return Err(Failure::Other(format!("{}: no such file", wav.display())));
        }
        return Ok(vec![wav.clone(); options.devices]);
    }
    let found: Vec<PathBuf> = orders(options).into_iter().map(|order| order.wav).collect();
    if found.is_empty() {
        let list = options.root.join(ORDERS).join("orders.tsv");
        return Err(Failure::Other(format!(
            "{}: no recordings are listed there",
            list.display()
        )));
    }
    Ok(found
        .iter()
        .cycle()
        .take(options.devices)
        .cloned()
        .collect())
}

/// A recorded order.
pub(crate) struct Order {
    pub(crate) wav: PathBuf,
    /// What is spoken in it.
    pub(crate) text: String,
}

const ORDERS: &str = "demo/orders";

/// The recorded orders, from `orders.tsv`: name, voice, text.
pub(crate) fn orders(options: &Options) -> Vec<Order> {
    let folder = options.root.join(ORDERS);
    let list = std::fs::read_to_string(folder.join("orders.tsv")).unwrap_or_default();
    let order = |line: &str| {
        let mut fields = line.split('\t');
        let wav = folder.join(format!("{}.wav", fields.next()?));
        Some(Order {
            wav,
            text: fields.nth(1)?.trim().to_owned(),
        })
    };
    list.lines().filter_map(order).collect()
}

fn url(port: u16) -> String {
    format!("ws://127.0.0.1:{port}")
}

fn environment(command: &mut Command, name: &str, options: &Options, addresses: &Addresses) {
    command.env("OTEL_SERVICE_NAME", name);
    // Nothing here goes through a proxy, and not all clients know that of 127.0.0.1 by themselves.
    command
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("no_proxy", "127.0.0.1,localhost");
    if !addresses.endpoint_is_foreign {
        for name in FOREIGN_SETTINGS {
            command.env_remove(name);
        }
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &addresses.endpoint);
    }
    if options.unsampled {
        command.env("OTEL_TRACES_SAMPLER", "always_off");
    }
}
