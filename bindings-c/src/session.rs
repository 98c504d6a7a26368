//! The accepting side's sessions, and the request that it answers.

use std::ffi::c_char;

use wirespan::Error;
use wirespan::connection::{HandshakeRequest, SessionRegistry};

use crate::guard::guard;
use crate::handle::Table;
use crate::pointers::{self, EMPTY, give_text, require_out, show, write_out};
use crate::types::{wirespan_header, wirespan_status, wirespan_str};

/// The sessions of a server: which are live, and which spans earlier connections had. It may be used on any thread.
pub struct wirespan_registry {
    _private: [u8; 0],
}

/// The opening handshake request that a server answers, as far as it concerns Wirespan.
pub struct wirespan_request {
    _private: [u8; 0],
}

static REGISTRIES: Table<SessionRegistry> = Table::new(4, "registry");
static REQUESTS: Table<HandshakeRequest> = Table::new(5, "request");

/// The registry behind a handle; NULL means none.
pub(crate) fn registry_of(
    registry: *const wirespan_registry,
) -> Result<Option<SessionRegistry>, Error> {
    if registry.is_null() {
        return Ok(None);
    }
    REGISTRIES.with(registry, |registry| Ok(Some(registry.clone())))
}

/// Uses the request behind a handle.
pub(crate) fn with_request<R>(
    request: *const wirespan_request,
    run: impl FnOnce(&HandshakeRequest) -> Result<R, Error>,
) -> Result<R, Error> {
    REQUESTS.with(request, |request| run(request))
}

/// Makes a registry that holds at most `max_sessions`, of them at most `max_per_remote` for one remote address; 0 stands for
/// the largest value, 100,000 and 10,000. Free it with `wirespan_registry_free`.
///
/// # Safety
///
/// `registry` points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_registry_new(
    max_sessions: usize,
    max_per_remote: usize,
    registry: *mut *mut wirespan_registry,
) -> wirespan_status {
    guard(|| {
        require_out("registry", registry)?;
        let or_largest = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let made =
            SessionRegistry::with_limits(or_largest(max_sessions), or_largest(max_per_remote));
        let handle = REGISTRIES.insert(made)?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(registry, handle) };
        Ok(())
    })
}

/// Gives the number of sessions that are live or remembered.
///
/// # Safety
///
/// `count` points to memory for a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_registry_length(
    registry: *const wirespan_registry,
    count: *mut usize,
) -> wirespan_status {
    guard(|| {
        require_out("count", count)?;
        let length = REGISTRIES.with(registry, |registry| Ok(registry.len()))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(count, length) };
        Ok(())
    })
}

/// Frees a registry. Connections made with it keep it alive among themselves.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_registry_free(registry: *mut wirespan_registry) -> wirespan_status {
    guard(|| {
        REGISTRIES.remove(registry)?;
        Ok(())
    })
}

/// Reads an opening handshake request: its headers, all of them or those that concern Wirespan (`wirespan`, `traceparent`,
/// `tracestate`, `sec-websocket-protocol`), in their order, and the query of its URL without the question mark (NULL for none).
/// What a peer sends is never an error. Free the request with `wirespan_request_free`.
///
/// # Safety
///
/// `headers` points to `header_count` headers; `query` is NULL or ends with NUL; `request` points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_request_new(
    headers: *const wirespan_header,
    header_count: usize,
    query: *const c_char,
    request: *mut *mut wirespan_request,
) -> wirespan_status {
    guard(|| {
        require_out("request", request)?;
        // SAFETY: the caller vouches for the headers.
        let headers = unsafe { pointers::raw_headers(headers, header_count) }?;
        let mut made = HandshakeRequest::from_headers(headers);
        // SAFETY: the caller vouches for the text. A peer chose it, so one that is no UTF-8 is none.
        if let Ok(Some(query)) = unsafe { pointers::optional_text("query", query) } {
            made = made.with_query(query);
        }
        let handle = REQUESTS.insert(made)?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(request, handle) };
        Ok(())
    })
}

/// Copies the session id that the client proposes into `buffer`, with a NUL behind it; empty if it proposes none. A server
/// that can tell who may continue which session decides by it what it passes as `vouch` to `wirespan_connection_server`.
///
/// Returns `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `size` is not above the length, which is then in `length`; 129 bytes always do.
///
/// # Safety
///
/// `buffer` points to `size` bytes; `length` is NULL or points to memory for a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_request_proposed_session(
    request: *const wirespan_request,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> wirespan_status {
    guard(|| {
        let proposed = with_request(request, |request| {
            Ok(request.proposed_session().unwrap_or_default())
        })?;
        // SAFETY: the caller vouches for the buffer.
        unsafe { give_text(&proposed, buffer, size, length) }
    })
}

/// Gives the subprotocol that the client offers for the application at position `index`, without Wirespan's own; empty
/// behind the last one. The text is valid until the request is freed.
///
/// # Safety
///
/// `subprotocol` points to memory for a `wirespan_str`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_request_subprotocol(
    request: *const wirespan_request,
    index: usize,
    subprotocol: *mut wirespan_str,
) -> wirespan_status {
    guard(|| {
        require_out("subprotocol", subprotocol)?;
        let shown = with_request(request, |request| {
            Ok(request
                .application_subprotocols()
                .get(index)
                .map_or(EMPTY, |name| show(name)))
        })?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(subprotocol, shown) };
        Ok(())
    })
}

/// Frees a request.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_request_free(request: *mut wirespan_request) -> wirespan_status {
    guard(|| {
        REQUESTS.remove(request)?;
        Ok(())
    })
}
