//! Bodies of requests and answers: protobuf and JSON, plain and gzip.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How a message is written in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    /// The encoding that `content-type` names; parameters after `;` do not matter.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/x-protobuf") {
            Some(Self::Protobuf)
        } else if essence.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else {
            None
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    pub(super) fn decode<M: Message + Default + DeserializeOwned>(
        self,
        bytes: &[u8],
    ) -> Result<M, Refusal> {
        match self {
            Self::Protobuf => M::decode(bytes).map_err(|error| {
                Refusal::bad_request(format!("no valid protobuf message: {error}"))
            }),
            Self::Json => serde_json::from_slice(bytes)
                .map_err(|error| Refusal::bad_request(format!("no valid OTLP JSON: {error}"))),
        }
    }

    pub(super) fn encode<M: Message + Serialize>(self, message: &M) -> Vec<u8> {
        match self {
            Self::Protobuf => message.encode_to_vec(),
            // Writing into memory fails only for maps with keys that are no strings, which OTLP does not have.
            Self::Json => serde_json::to_vec(message).unwrap_or_default(),
        }
    }
}

/// Why a request is not taken.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    fn bad_request(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn too_large(max_bytes: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is over {max_bytes} bytes"),
        )
    }

    /// The body of the answer: `google.rpc.Status`, as OTLP asks for.
    pub(super) fn encode(&self, encoding: Encoding) -> Vec<u8> {
        let code = if self.status.is_client_error() {
            INVALID_ARGUMENT
        } else {
            INTERNAL
        };
        encoding.encode(&RpcStatus {
            code,
            message: self.message.clone(),
        })
    }
}

/// `google.rpc.Code.INVALID_ARGUMENT`.
const INVALID_ARGUMENT: i32 = 3;
/// `google.rpc.Code.INTERNAL`.
const INTERNAL: i32 = 13;

/// `google.rpc.Status` without details.
#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

/// Undoes `content-encoding`, never beyond the limit.
pub(super) fn inflate(
    headers: &HeaderMap,
    bytes: &[u8],
    max_bytes: usize,
) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(value) = headers.get(CONTENT_ENCODING) else {
        return Ok(None);
    };
    let coding = value.to_str().unwrap_or_default().trim();
    if coding.eq_ignore_ascii_case("identity") {
        return Ok(None);
    }
    if !coding.eq_ignore_ascii_case("gzip") {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-encoding is neither gzip nor identity",
        ));
    }
    let mut plain = Vec::new();
    let read = MultiGzDecoder::new(bytes)
        .take(max_bytes as u64 + 1)
        .read_to_end(&mut plain);
    if plain.len() > max_bytes {
        return Err(Refusal::too_large(max_bytes));
    }
    read.map_err(|error| Refusal::bad_request(format!("no valid gzip data: {error}")))?;
    Ok(Some(plain))
}
