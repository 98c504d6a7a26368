//! What belongs to no object: the version, names of status codes, a clock.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;
use std::time::Instant;

use crate::guard::guard;
use crate::handle;
use crate::types::wirespan_status;

/// Stands for messages outside every stream.
pub const WIRESPAN_STREAM_PLAIN: u32 = 0;
/// The span that is as long as the connection.
pub const WIRESPAN_SPAN_CONNECTION: u32 = 0;
/// The span of the handshake.
pub const WIRESPAN_SPAN_HANDSHAKE: u32 = 1;
/// A span that belongs to no connection, such as that of a queue.
pub const WIRESPAN_SPAN_DETACHED: u32 = u32::MAX;
/// The most that an envelope adds to a body that is binary or JSON, in bytes.
pub const WIRESPAN_MAX_OVERHEAD: usize = 16 * 1024 + 1;
/// The room that the texts of any context need, in bytes.
pub const WIRESPAN_CONTEXT_BYTES: usize = 16 * 1024 + 256;

/// The version as C shows it.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// Gives the version of the library, such as `0.1.0`. It lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_version() -> *const c_char {
    let mut version = std::ptr::null();
    guard(|| {
        version = VERSION.as_ptr();
        Ok(())
    });
    version
}

/// Gives the name of a status code, such as `invalid_argument`; `unknown` for a number that is none. It lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_status_name(status: u32) -> *const c_char {
    let mut name = c"unknown".as_ptr();
    guard(|| {
        if let Some(known) = wirespan_status::ALL
            .into_iter()
            .find(|known| *known as u32 == status)
        {
            name = known.name().as_ptr();
        }
        Ok(())
    });
    name
}

/// Gives a reading of a monotonic clock in nanoseconds, for applications that have none at hand. Readings of this clock and of
/// another one must not be mixed on one connection.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_clock_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let mut now_ns = 0;
    guard(|| {
        let elapsed = START.get_or_init(Instant::now).elapsed();
        // Starts at a second, so that subtracting something small does not reach below 0.
        now_ns = u64::try_from(elapsed.as_nanos())
            .unwrap_or(u64::MAX)
            .saturating_add(1_000_000_000);
        Ok(())
    });
    now_ns
}

/// Gives the number of objects that were made and not freed, for tests that look for leaks.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_live_objects() -> usize {
    let mut count = 0;
    guard(|| {
        count = handle::live();
        Ok(())
    });
    count
}
