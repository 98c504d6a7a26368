//! The Node.js addon of Wirespan. It only translates: every decision is the core's.
//!
//! Functions are registered by hand, since what is called for each message must cost less than the message. A function gets
//! handles, keys and times as numbers and bytes as `Buffer`; it leaves offsets and ids in arrays that were registered once.
//! The JavaScript in `lib/` puts classes around this. Each environment (the main thread, each worker) has a state of its own.

mod connection;
mod convert;
mod envelope;
mod js;
mod message;
mod parts;
mod state;
mod told;
mod trace;

use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use napi::bindgen_prelude::{JsValue, Object};
use napi::{Env, sys};
use wirespan::{Error, ErrorKind};

use js::{Js, Value};
use state::State;

/// A function of the addon.
type Function = fn(&Js, &mut State) -> Result<Value, Error>;

/// Names functions, says where they find their arguments, and puts a guard around each.
macro_rules! functions {
    ($($name:literal => $function:path, $arguments:expr;)*) => {
        &[$(($name, {
            unsafe extern "C" fn raw(env: sys::napi_env, info: sys::napi_callback_info) -> Value {
                // SAFETY: Node.js calls this with the handles of the running callback.
                unsafe { guard(env, info, $arguments, $function) }
            }
            raw
        })),*]
    };
}

type Raw = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> Value;

/// Where a function finds its arguments.
#[derive(Clone, Copy)]
enum Arguments {
    /// In the call, the handle of its connection first, if it has one.
    Call,
    /// In the arrays, but for so many: these functions are called for each message.
    Arrays(usize),
}

const FUNCTIONS: &[(&str, Raw)] = functions! {
    "register" => register, Arguments::Call;
    "handles" => handles, Arguments::Call;
    "slab" => message::slab, Arguments::Call;
    "send" => message::send, Arguments::Arrays(4);
    "receive" => message::receive, Arguments::Arrays(1);
    "setContext" => message::set_context, Arguments::Call;
    "extras" => message::extras, Arguments::Call;
    "take" => message::take, Arguments::Call;
    "client" => connection::client, Arguments::Call;
    "server" => connection::server, Arguments::Call;
    "connectionFree" => connection::free, Arguments::Call;
    "requestNew" => connection::request_new, Arguments::Call;
    "requestInfo" => connection::request_info, Arguments::Call;
    "requestFree" => connection::request_free, Arguments::Call;
    "planHandshake" => connection::plan_handshake, Arguments::Call;
    "spanStarted" => connection::span_started, Arguments::Call;
    "request" => connection::request, Arguments::Call;
    "response" => connection::response, Arguments::Call;
    "openClient" => connection::open_client, Arguments::Call;
    "openServer" => connection::open_server, Arguments::Call;
    "failHandshake" => connection::fail_handshake, Arguments::Call;
    "planCall" => connection::plan_call, Arguments::Call;
    "planTransfer" => connection::plan_transfer, Arguments::Call;
    "end" => connection::end, Arguments::Call;
    "leave" => connection::leave, Arguments::Call;
    "cancel" => connection::cancel, Arguments::Call;
    "fail" => connection::fail, Arguments::Call;
    "onTime" => connection::on_time, Arguments::Call;
    "onSuperseded" => connection::on_superseded, Arguments::Call;
    "onClose" => connection::on_close, Arguments::Call;
    "pollEvent" => connection::poll_event, Arguments::Call;
    "spanEnd" => connection::span_end, Arguments::Call;
    "snapshot" => connection::snapshot, Arguments::Call;
    "counters" => connection::counters, Arguments::Call;
    "count" => connection::count, Arguments::Call;
    "setMethods" => connection::set_methods, Arguments::Call;
    "setPlainPolicy" => connection::set_plain_policy, Arguments::Call;
    "streamMetrics" => connection::stream_metrics, Arguments::Call;
    "registryNew" => parts::registry_new, Arguments::Call;
    "registrySize" => parts::registry_size, Arguments::Call;
    "registryFree" => parts::registry_free, Arguments::Call;
    "metricsNew" => parts::metrics_new, Arguments::Call;
    "metricsFree" => parts::metrics_free, Arguments::Call;
    "metricsStart" => parts::metrics_start, Arguments::Call;
    "recordChunk" => parts::record_chunk, Arguments::Call;
    "recordChunks" => parts::record_chunks, Arguments::Call;
    "metricsFinish" => parts::metrics_finish, Arguments::Call;
    "metricsMerge" => parts::metrics_merge, Arguments::Call;
    "metricsSummary" => parts::metrics_summary, Arguments::Call;
    "metricsAttributes" => parts::metrics_attributes, Arguments::Call;
    "carryToHeaders" => parts::carry_to_headers, Arguments::Call;
    "carryFromHeaders" => parts::carry_from_headers, Arguments::Call;
    "planSend" => parts::plan_send, Arguments::Call;
    "planProcess" => parts::plan_process, Arguments::Call;
    "hostsAllow" => parts::hosts_allow, Arguments::Call;
    "names" => parts::names, Arguments::Call;
    "extractContext" => trace::extract_context, Arguments::Call;
    "injectContext" => trace::inject_context, Arguments::Call;
    "parseTraceparent" => trace::parse_traceparent, Arguments::Call;
    "parseTracestate" => trace::parse_tracestate, Arguments::Call;
    "tracestateGet" => trace::tracestate_get, Arguments::Call;
    "tracestateSet" => trace::tracestate_set, Arguments::Call;
    "tracestateUnset" => trace::tracestate_unset, Arguments::Call;
    "tracestateTruncated" => trace::tracestate_truncated, Arguments::Call;
    "parseBaggage" => trace::parse_baggage, Arguments::Call;
    "formatBaggage" => trace::format_baggage, Arguments::Call;
    "envelopeUnwrap" => envelope::unwrap, Arguments::Call;
    "envelopeWrap" => envelope::wrap, Arguments::Call;
    "envelopeConvert" => envelope::convert, Arguments::Call;
    "envelopeCheck" => envelope::check, Arguments::Call;
    "classifyText" => envelope::classify_text, Arguments::Call;
    "isLookAlike" => envelope::is_look_alike, Arguments::Call;
};

/// Takes the arrays for results and the function that makes errors: `register(words, numbers, makeError)`.
fn register(js: &Js, state: &mut State) -> Result<Value, Error> {
    if state.out.is_registered() {
        return Err(Error::invalid_state("the addon is registered already"));
    }
    state.make_error = state::reference(js, 2)?;
    state.out.register(js, 0, 1)?;
    Ok(js.undefined())
}

/// How many objects JavaScript holds, for tests of leaks.
fn handles(js: &Js, state: &mut State) -> Result<Value, Error> {
    let count = state.connections.len()
        + state.requests.len()
        + state.registries.len()
        + state.metrics.len();
    Ok(js.number(u32::try_from(count).unwrap_or(u32::MAX)))
}

/// Runs a function: its error is thrown, and a panic becomes an error of kind `panic`.
///
/// # Safety
///
/// `env` and `info` are those of the running callback of a function that [`napi_register_module_v1`] made.
unsafe fn guard(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    arguments: Arguments,
    function: Function,
) -> Value {
    let most = match arguments {
        Arguments::Call => js::MAX_ARGS,
        Arguments::Arrays(most) => most,
    };
    // SAFETY: as this function's own.
    let (js, data) = unsafe { Js::new(env, info, most) };
    // SAFETY: the data of each function is the state of its environment, which outlives it. Functions do not run inside one
    // another: none of them calls back into JavaScript while it holds the state.
    let state = unsafe { &mut *data.cast::<State>() };
    let error = match catch_unwind(AssertUnwindSafe(|| function(&js, state))) {
        Ok(Ok(value)) => return value,
        Ok(Err(error)) => error,
        Err(panic) => {
            // What panicked may be half changed: it is not used again.
            let handle = match arguments {
                Arguments::Call => js.u32(0, "handle").ok(),
                Arguments::Arrays(_) => Some(state.out.word(state::word::HANDLE)),
            };
            if let Some(handle) = handle {
                state.connections.remove(handle);
            }
            Error::new(ErrorKind::Panic, panic_message(panic.as_ref()))
        }
    };
    throw(&js, state.make_error, &error);
    ptr::null_mut()
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a defect of Wirespan: {}", text.unwrap_or_default())
}

fn throw(js: &Js, make_error: sys::napi_ref, error: &Error) {
    let text = error.to_string();
    let made = (|| {
        let args = [
            js.string(error.kind().name()).ok()?,
            js.string(&text).ok()?,
            js.optional_string(error.field()).ok()?,
            js.optional_string(error.reason().map(wirespan::Refusal::name))
                .ok()?,
            match error.offset() {
                Some(offset) => js.number(u32::try_from(offset).unwrap_or(u32::MAX)),
                None => js.undefined(),
            },
        ];
        // SAFETY: the reference was made for this environment, or is null, which Node.js refuses.
        unsafe { js.call(make_error, &args) }
    })();
    // SAFETY: the environment is that of the running callback; the strings end in NUL.
    unsafe {
        match made {
            Some(value) => sys::napi_throw(js.env(), value),
            None => sys::napi_throw_error(
                js.env(),
                ptr::null(),
                c"wirespan: an error could not be made".as_ptr(),
            ),
        };
    }
}

/// Fills the exports of the addon, once for each environment that loads it.
#[napi_derive::napi(module_exports)]
pub fn fill(exports: Object<'_>, env: Env) -> napi::Result<()> {
    let (env, exports) = (env.raw(), exports.raw());
    let state: *mut c_void = Box::into_raw(Box::<State>::default()).cast();
    // SAFETY: the handles are those that Node.js gave; `state` lives until `finalize`, after which no function is called.
    unsafe {
        sys::napi_set_instance_data(env, state, Some(state::finalize), ptr::null_mut());
        for (name, function) in FUNCTIONS {
            let length = isize::try_from(name.len()).unwrap_or(0);
            let mut value = ptr::null_mut();
            let status = sys::napi_create_function(
                env,
                name.as_ptr().cast(),
                length,
                Some(*function),
                state,
                &raw mut value,
            );
            let mut key = ptr::null_mut();
            if status == sys::Status::napi_ok
                && sys::napi_create_string_utf8(env, name.as_ptr().cast(), length, &raw mut key)
                    == sys::Status::napi_ok
            {
                sys::napi_set_property(env, exports, key, value);
            }
        }
    }
    Ok(())
}
