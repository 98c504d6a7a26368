//! A peer that sends garbage: what is no HTTP, what is no WebSocket, and envelopes that are none.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the gateway may take to answer or to close.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many of the peers below get through the WebSocket handshake, and so leave a handshake span.
pub(crate) const HANDSHAKES: usize = 2;

/// How many calls they open.
pub(crate) const CALLS: usize = 1;

/// Sends it all, each on a connection of its own.
pub(crate) async fn send(port: u16) -> Result<(), String> {
    // What is no HTTP is closed or answered with an error; either will do.
    for bytes in [
        &b"\x00\xff\xfe\x01 garbage \r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        let mut stream = connect(port).await?;
        let _ = stream.write_all(bytes).await;
        closes(&mut stream, "a peer that speaks no WebSocket").await?;
    }
    // Heads that are almost envelopes, of a peer that announced itself.
    let mut stream = upgrade(port).await?;
    for text in [
        // A call that opens, of a method that nobody serves, with a context that is none.
        r#"{"headers":{"traceparent":"00-zz","kind":"call","method":"<script>alert(1)</script>","stream":"1"},"body":}"#,
        r#"{"headers":{"stream":"4294967296","kind":"dance"},"body":1}"#,
        r#"{"headers":{"stream":"2","seq":"7","end":"1"},"body":null}"#,
        r#"{"headers":{"#,
        "\u{0}",
    ] {
        stream
            .write_all(&frame(0x1, text.as_bytes()))
            .await
            .map_err(|error| error.to_string())?;
    }
    let binary = [
        &b"\xff\x57\x01\x01\xff\xff"[..],
        b"\xff\x57\x01\xff\x00\x00",
        b"\xff\x57",
        b"",
    ];
    for bytes in binary {
        stream
            .write_all(&frame(0x2, bytes))
            .await
            .map_err(|error| error.to_string())?;
    }
    drop(stream);
    // Frames that are against RFC 6455: a reserved opcode, and text that is not UTF-8.
    let mut stream = upgrade(port).await?;
    let _ = stream.write_all(&frame(0x1, b"\xff\xfe")).await;
    let _ = stream.write_all(&frame(0x7, b"?")).await;
    closes(&mut stream, "a peer that breaks the WebSocket protocol").await
}

async fn connect(port: u16) -> Result<TcpStream, String> {
    let connecting = TcpStream::connect(("127.0.0.1", port));
    match timeout(PATIENCE, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("the gateway takes no connection: {error}")),
        Err(_) => Err("the gateway takes no connection".to_owned()),
    }
}

async fn upgrade(port: u16) -> Result<TcpStream, String> {
    let mut stream = connect(port).await?;
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nwirespan: 1\r\n\r\n";
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| error.to_string())?;
    let mut head = [0; 64];
    let read = timeout(PATIENCE, stream.read(&mut head)).await;
    match read {
        Ok(Ok(length)) if head[..length].starts_with(b"HTTP/1.1 101") => Ok(stream),
        Ok(Ok(length)) => Err(format!(
            "the gateway answered the handshake with {:?}",
            String::from_utf8_lossy(&head[..length])
        )),
        Ok(Err(error)) => Err(format!("the gateway did not answer the handshake: {error}")),
        Err(_) => Err("the gateway did not answer the handshake".to_owned()),
    }
}

async fn closes(stream: &mut TcpStream, who: &str) -> Result<(), String> {
    let mut sink = [0; 512];
    let closed = async {
        // The end and an error both mean that it was closed.
        while matches!(stream.read(&mut sink).await, Ok(1..)) {}
    };
    timeout(PATIENCE, closed)
        .await
        .map_err(|_| format!("the gateway does not close the connection of {who}"))
}

/// A frame of a client, masked with zeros; payloads here are short.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![
        0x80 | opcode,
        0x80 | (payload.len() as u8 & 0x7f),
        0,
        0,
        0,
        0,
    ];
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_frame_has_the_form_of_rfc_6455() {
        assert_eq!(super::frame(0x1, b"hi"), b"\x81\x82\0\0\0\0hi");
    }
}
