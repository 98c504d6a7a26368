//! From nothing to an open connection.

use std::ffi::c_char;

use wirespan::Error;
use wirespan::connection::{
    Accept, Connection, Endpoint, HandshakeResponse, RequestTarget, SpanKey, Vouch,
};
use wirespan::trace::Baggage;

use super::{CONNECTIONS, Side, wirespan_connection};
use crate::guard::guard;
use crate::options::{options_of, wirespan_options};
use crate::pointers::{self, EMPTY, no_such, require_out, show, write_out};
use crate::session::{registry_of, wirespan_registry, wirespan_request, with_request};
use crate::types::{
    wirespan_header, wirespan_plan, wirespan_span_context, wirespan_status, wirespan_str,
    wirespan_vouch,
};
use crate::views::Headers;

/// Where the server of a connection is; recorded as `server.address` and `server.port`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_endpoint {
    /// Host name or address; NULL if it is not known.
    pub address: *const c_char,
    /// Port; 0 if it is not known.
    pub port: u16,
}

/// What to add to a handshake request or response.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_additions {
    /// Headers to add.
    pub headers: *const wirespan_header,
    /// Number of headers.
    pub header_count: usize,
    /// Request: subprotocol to offer behind those of the application. Response: the one to select where the application selected
    /// none. Empty for none.
    pub subprotocol: wirespan_str,
    /// Request: parameter to add to the query of the URL. Empty for none.
    pub query: wirespan_str,
}

/// Makes the connecting side. `options` may be NULL for the defaults, `endpoint` NULL if it is not known. `entropy` is 16
/// random bytes for the session id; NULL takes them from the operating system. Free the connection with
/// `wirespan_connection_free`.
///
/// # Safety
///
/// `endpoint` is NULL or points to an endpoint; `entropy` is NULL or points to 16 bytes; `connection` points to memory for a
/// pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_client(
    options: *const wirespan_options,
    endpoint: *const wirespan_endpoint,
    entropy: *const u8,
    connection: *mut *mut wirespan_connection,
) -> wirespan_status {
    guard(|| {
        require_out("connection", connection)?;
        let options = options_of(options)?;
        // SAFETY: the caller vouches for the inputs.
        let (endpoint, entropy) = unsafe { (endpoint_of(endpoint)?, entropy_of(entropy)?) };
        let core = Connection::client(options, endpoint, entropy)?;
        let handle = CONNECTIONS.insert(Side::new(core))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(connection, handle) };
        Ok(())
    })
}

/// Makes the accepting side for a request. `registry` may be NULL: sessions are then neither continued nor guarded. `remote` is
/// the address of the client, which bounds how many sessions it can hold, or NULL; `vouch` is a `wirespan_vouch`. The others as
/// for `wirespan_connection_client`. Nothing that the client sent is an error.
///
/// # Safety
///
/// As for `wirespan_connection_client`; `remote` is NULL or ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_server(
    options: *const wirespan_options,
    request: *const wirespan_request,
    registry: *const wirespan_registry,
    remote: *const c_char,
    vouch: u32,
    endpoint: *const wirespan_endpoint,
    entropy: *const u8,
    connection: *mut *mut wirespan_connection,
) -> wirespan_status {
    guard(|| {
        require_out("connection", connection)?;
        let registry = registry_of(registry)?;
        let options = options_of(options)?;
        // SAFETY: the caller vouches for the inputs.
        let (endpoint, entropy, remote) = unsafe {
            (
                endpoint_of(endpoint)?,
                entropy_of(entropy)?,
                pointers::optional_text("remote", remote)?,
            )
        };
        let vouch = match vouch {
            v if v == wirespan_vouch::NoOpinion as u32 => Vouch::NoCallback,
            v if v == wirespan_vouch::Yes as u32 => Vouch::Yes,
            v if v == wirespan_vouch::No as u32 => Vouch::No,
            _ => return Err(no_such("vouch").into()),
        };
        let core = with_request(request, |request| {
            let mut accept = Accept::default();
            accept.registry = registry.as_ref();
            accept.remote = remote;
            accept.vouch = vouch;
            Connection::server(options, request, accept, endpoint, entropy)
        })?;
        let handle = CONNECTIONS.insert(Side::new(core))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(connection, handle) };
        Ok(())
    })
}

/// Plans the spans of the connection and its handshake, none to two. `http_span` is the span of an HTTP instrumentation that is
/// current, else NULL; `current` is any other current span, else NULL.
///
/// With callbacks or a tracer the spans have been started when this returns. Otherwise the application starts them and calls
/// `wirespan_connection_span_started` for each.
///
/// # Safety
///
/// `http_span` and `current` are NULL or point to a context; `plans` and `plan_count` are NULL or point to memory for an array
/// of pointers and its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_plan_handshake(
    connection: *mut wirespan_connection,
    http_span: *const wirespan_span_context,
    current: *const wirespan_span_context,
    plans: *mut *const *const wirespan_plan,
    plan_count: *mut usize,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the inputs.
        let (http_span, current) =
            unsafe { (pointers::span(http_span)?, pointers::span(current)?) };
        let (first, count) = CONNECTIONS.with(connection, |side| {
            let http = http_span.map(|span| span.to_span());
            let planned = side.core.plan_handshake(http.as_ref(), current.is_some());
            side.show_plans(planned, http_span.or(current), &Baggage::default());
            Ok((side.plan_pointers.as_ptr(), side.plan_pointers.len()))
        })?;
        // SAFETY: the caller vouches for the outputs.
        unsafe {
            // A plan pointer is nothing but a pointer.
            write_out(plans, first.cast::<*const wirespan_plan>());
            write_out(plan_count, count);
        }
        Ok(())
    })
}

/// Says that the application has started the span `WIRESPAN_SPAN_CONNECTION` or `WIRESPAN_SPAN_HANDSHAKE`, so that calls and
/// later connections can link it. Not needed with callbacks or a tracer.
///
/// # Safety
///
/// `context` points to a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_span_started(
    connection: *mut wirespan_connection,
    span: u32,
    context: *const wirespan_span_context,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the input.
        let context = unsafe { pointers::span(context) }?;
        let key = [SpanKey::CONNECTION, SpanKey::HANDSHAKE]
            .into_iter()
            .find(|key| key.number() == span);
        let key = key.ok_or_else(|| no_such("span"))?;
        Ok(CONNECTIONS.with(connection, |side| {
            // A span that is not valid, as without an SDK, is none.
            if let Some(context) = context.map(|context| context.to_span()) {
                if key == SpanKey::CONNECTION {
                    side.spans.note_connection(&context);
                }
                side.core.span_started(key, &context);
            }
            Ok(())
        })?)
    })
}

/// Gives what a client adds to its request. `host` is the host of the URL; `has_subprotocol` says that the application offers one
/// of its own, `has_trace_context` that an HTTP instrumentation puts the trace context into the request. The context in the request is
/// that of the handshake's span, where one was started; else that of `current`, the span that is current, or none with NULL.
///
/// # Safety
///
/// `host` ends with NUL; `current` is NULL or points to a context; `additions` points to memory for additions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_request(
    connection: *mut wirespan_connection,
    host: *const c_char,
    has_subprotocol: bool,
    has_trace_context: bool,
    current: *const wirespan_span_context,
    additions: *mut wirespan_additions,
) -> wirespan_status {
    guard(|| {
        require_out("additions", additions)?;
        // SAFETY: the caller vouches for the inputs.
        let (host, current) = unsafe { (pointers::text("host", host)?, pointers::span(current)?) };
        let shown = CONNECTIONS.with(connection, |side| {
            let current = current.map(|span| span.to_span());
            let mut target = RequestTarget::new(host);
            target.has_subprotocol = has_subprotocol;
            target.has_trace_context = has_trace_context;
            let additions = side.core.request(target, current.as_ref());
            Ok(side.show_additions(additions.headers, additions.subprotocol, additions.query))
        })?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(additions, shown) };
        Ok(())
    })
}

/// Gives what a server adds to its response. `selected` is the subprotocol that the application selected, or NULL.
///
/// # Safety
///
/// `selected` is NULL or ends with NUL; `additions` points to memory for additions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_response(
    connection: *mut wirespan_connection,
    request: *const wirespan_request,
    selected: *const c_char,
    additions: *mut wirespan_additions,
) -> wirespan_status {
    guard(|| {
        require_out("additions", additions)?;
        // SAFETY: the caller vouches for the text.
        let selected = unsafe { pointers::optional_text("selected", selected) }?;
        let shown = CONNECTIONS.with(connection, |side| {
            let additions =
                with_request(request, |request| Ok(side.core.response(request, selected)))?;
            Ok(side.show_additions(additions.headers, additions.subprotocol, None))
        })?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(additions, shown) };
        Ok(())
    })
}

/// Opens the connecting side: the upgrade was answered with these headers, all of them or those named `wirespan`.
///
/// Returns `WIRESPAN_STATUS_INVALID_STATE` if it was opened before or is the accepting side, `WIRESPAN_STATUS_CLOSED` if it was
/// closed.
///
/// # Safety
///
/// `headers` points to `header_count` headers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_open_client(
    connection: *mut wirespan_connection,
    headers: *const wirespan_header,
    header_count: usize,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the headers.
        let headers = unsafe { pointers::raw_headers(headers, header_count) }?;
        let response = HandshakeResponse::from_headers(headers);
        Ok(CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            side.core.open_client(&response, now_ns)
        })?)
    })
}

/// Opens the accepting side: the upgrade was sent.
///
/// Returns as `wirespan_connection_open_client`.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_connection_open_server(
    connection: *mut wirespan_connection,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        Ok(CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            side.core.open_server(now_ns)
        })?)
    })
}

/// Says that the handshake failed: its spans end with this error type, such as `io` or the status of the response, and the
/// connection is closed. After the handshake this does nothing.
///
/// # Safety
///
/// `error_type` ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_fail_handshake(
    connection: *mut wirespan_connection,
    error_type: *const c_char,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the text.
        let error_type = unsafe { pointers::text("error_type", error_type) }?;
        Ok(CONNECTIONS.with(connection, |side| {
            side.core.fail_handshake(error_type);
            Ok(())
        })?)
    })
}

impl Side {
    fn show_additions(
        &mut self,
        headers: Vec<(&'static str, String)>,
        subprotocol: Option<String>,
        query: Option<String>,
    ) -> wirespan_additions {
        self.headers = Headers::new(
            headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        );
        self.texts = vec![subprotocol.unwrap_or_default(), query.unwrap_or_default()];
        let text = |index: usize| self.texts.get(index).map_or(EMPTY, |text| show(text));
        wirespan_additions {
            headers: self.headers.as_slice().as_ptr(),
            header_count: self.headers.as_slice().len(),
            subprotocol: text(0),
            query: text(1),
        }
    }
}

/// Reads an endpoint.
///
/// # Safety
///
/// `endpoint` is NULL or points to an endpoint whose address is NULL or ends with NUL.
unsafe fn endpoint_of(endpoint: *const wirespan_endpoint) -> Result<Endpoint, Error> {
    // SAFETY: as this function's.
    let Some(endpoint) = (unsafe { endpoint.as_ref() }) else {
        return Ok(Endpoint::default());
    };
    // SAFETY: as this function's.
    let address = unsafe { pointers::optional_text("address", endpoint.address) }?;
    Ok(Endpoint {
        address: address.map(Into::into),
        port: (endpoint.port != 0).then_some(endpoint.port),
    })
}

/// Reads entropy, or takes some from the operating system.
///
/// # Safety
///
/// `entropy` is NULL or points to 16 bytes.
unsafe fn entropy_of(entropy: *const u8) -> Result<[u8; 16], Error> {
    let mut bytes = [0; 16];
    if entropy.is_null() {
        getrandom::fill(&mut bytes).map_err(|error| {
            Error::new(
                wirespan::ErrorKind::Io,
                format!("the operating system gave no entropy ({error}): pass some"),
            )
        })?;
    } else {
        // SAFETY: not NULL; the caller vouches for 16 bytes.
        bytes.copy_from_slice(unsafe { pointers::slice("entropy", entropy, 16) }?);
    }
    Ok(bytes)
}
