//! The quick start of the README: a server and a client in one process, and the spans that they made.

use std::time::Duration;

use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use wirespan::connection::Options;
use wirespan::tokio_tungstenite::{Call, Handlers, connect, serve};

#[tokio::main]
async fn main() -> Result<(), wirespan::Error> {
    let spans = InMemorySpanExporter::default(); // in place of the exporter that you have
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(spans.clone())
        .build();
    opentelemetry::global::set_tracer_provider(provider);

    // The server: a handler runs inside the SERVER span of its call.
    let handlers = Handlers::new().on("transcribe", |mut call| async move {
        while let Some(chunk) = call.next().await {
            call.send(format!("heard {} bytes", chunk?.bytes().len()))
                .await?;
        }
        Ok(())
    });
    let server = serve("127.0.0.1:0", handlers, Options::default()).await?;

    // The client: the block runs inside the CLIENT span; the context travels with the first message only.
    let connection = connect(format!("ws://{}", server.local_addr()), Options::default()).await?;
    let transcribe = async |call: &mut Call| {
        call.send(&[0; 320]).await?;
        call.send_last(&[0; 160]).await?;
        while let Some(text) = call.next().await {
            println!("{}", text?);
        }
        Ok::<_, wirespan::Error>(call.metrics().received.chunks)
    };
    println!(
        "{} chunks",
        connection.call_with("transcribe", transcribe).await?
    );
    connection.close().await;
    server.shutdown(Duration::from_secs(1)).await;

    for span in spans.get_finished_spans().unwrap_or_default() {
        println!(
            "{} {:?}, child of {}",
            span.name, span.span_kind, span.parent_span_id
        );
    }
    Ok(())
}
