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

/// Names functions and puts a guard around each.
macro_rules! functions {
    ($arguments:ident: $($name:literal => $function:path,)*) => {
        &[$(($name, {
            unsafe extern "C" fn raw(env: sys::napi_env, info: sys::napi_callback_info) -> Value {
                // SAFETY: Node.js calls this with the handles of the running callback.
                unsafe { guard(env, info, Arguments::$arguments, $function) }
            }
            raw
        })),*]
    };
}

type Raw = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> Value;

/// Where a function finds the handle of its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arguments {
    /// It is the first argument, if it has one.
    Own,
    /// It is among the words: these functions are called for each message, with four arguments at most.
    Words,
}

const MESSAGE_FUNCTIONS: &[(&str, Raw)] = functions! { Words:
    "send" => message::send,
    "receive" => message::receive,
};

const FUNCTIONS: &[(&str, Raw)] = functions! { Own:
    "register" => register,
    "handles" => handles,
    "slab" => message::slab,
    "setContext" => message::set_context,
    "extras" => message::extras,
    "take" => message::take,
    "client" => connection::client,
    "server" => connection::server,
    "connectionFree" => connection::free,
    "requestNew" => connection::request_new,
    "requestInfo" => connection::request_info,
    "requestFree" => connection::request_free,
    "planHandshake" => connection::plan_handshake,
    "spanStarted" => connection::span_started,
    "request" => connection::request,
    "response" => connection::response,
    "openClient" => connection::open_client,
    "openServer" => connection::open_server,
    "failHandshake" => connection::fail_handshake,
    "planCall" => connection::plan_call,
    "planTransfer" => connection::plan_transfer,
    "end" => connection::end,
    "leave" => connection::leave,
    "cancel" => connection::cancel,
    "fail" => connection::fail,
    "onTime" => connection::on_time,
    "onSuperseded" => connection::on_superseded,
    "onClose" => connection::on_close,
    "pollEvent" => connection::poll_event,
    "spanEnd" => connection::span_end,
    "snapshot" => connection::snapshot,
    "counters" => connection::counters,
    "count" => connection::count,
    "setMethods" => connection::set_methods,
    "setPlainPolicy" => connection::set_plain_policy,
    "streamMetrics" => connection::stream_metrics,
    "registryNew" => parts::registry_new,
    "registrySize" => parts::registry_size,
    "registryFree" => parts::registry_free,
    "metricsNew" => parts::metrics_new,
    "metricsFree" => parts::metrics_free,
    "metricsStart" => parts::metrics_start,
    "recordChunk" => parts::record_chunk,
    "recordChunks" => parts::record_chunks,
    "metricsFinish" => parts::metrics_finish,
    "metricsMerge" => parts::metrics_merge,
    "metricsSummary" => parts::metrics_summary,
    "metricsAttributes" => parts::metrics_attributes,
    "carryToHeaders" => parts::carry_to_headers,
    "carryFromHeaders" => parts::carry_from_headers,
    "planSend" => parts::plan_send,
    "planProcess" => parts::plan_process,
    "hostsAllow" => parts::hosts_allow,
    "names" => parts::names,
    "extractContext" => trace::extract_context,
    "injectContext" => trace::inject_context,
    "parseTraceparent" => trace::parse_traceparent,
    "parseTracestate" => trace::parse_tracestate,
    "tracestateGet" => trace::tracestate_get,
    "tracestateSet" => trace::tracestate_set,
    "tracestateUnset" => trace::tracestate_unset,
    "tracestateTruncated" => trace::tracestate_truncated,
    "parseBaggage" => trace::parse_baggage,
    "formatBaggage" => trace::format_baggage,
    "envelopeUnwrap" => envelope::unwrap,
    "envelopeWrap" => envelope::wrap,
    "envelopeConvert" => envelope::convert,
    "envelopeCheck" => envelope::check,
    "classifyText" => envelope::classify_text,
    "isLookAlike" => envelope::is_look_alike,
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
        Arguments::Own => js::MAX_ARGS,
        Arguments::Words => 4,
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
                Arguments::Own => js.u32(0, "handle").ok(),
                Arguments::Words => Some(state.out.word(state::word::HANDLE)),
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
        for (name, function) in MESSAGE_FUNCTIONS.iter().chain(FUNCTIONS) {
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
