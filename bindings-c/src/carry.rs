//! Carry: context that travels with an item through a queue.

use std::cell::RefCell;
use std::ffi::{c_char, c_void};

use wirespan::carry::{Carried, plan_process, plan_send};
use wirespan::connection::Plan;
use wirespan::trace::{AllowList, Context};
use wirespan::{Error, envelope};

use crate::guard::{Failure, guard};
use crate::handle::Table;
use crate::pointers::{self, EMPTY, NO_SPAN, require_out, show, show_span, write_out};
use crate::propagator::give_headers;
use crate::types::{
    wirespan_context, wirespan_header, wirespan_plan, wirespan_span_context, wirespan_status,
    wirespan_str,
};
use crate::views::{PlanView, parent_of};

/// What an item takes along through a queue: a context, the session, the time it left, and what else the application gives it.
pub struct wirespan_carry {
    _private: [u8; 0],
}

/// What an item brought along. The texts are valid until the carry is freed.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_carried {
    /// The context in which the item was sent.
    pub context: wirespan_context,
    /// The session in which it was sent; empty if it is not known.
    pub session_id: wirespan_str,
    /// How long it waited, in nanoseconds and never below 0; -1 if that is not known.
    pub wait_ns: i64,
    /// When the item left, Unix time in nanoseconds, for one that came in headers which say so.
    pub sent_unix_ns: u64,
    /// Whether that is known.
    pub has_sent: bool,
    /// Whether a context was there that is invalid.
    pub context_invalid: bool,
    /// What the application gave to `wirespan_carry_capture`.
    pub user_data: *mut c_void,
}

static CARRIES: Table<Item> = Table::new(8, "carry");

struct Item {
    carried: Carried,
    baggage: String,
    /// When it left, on the clock of the process; absent for one that came in headers.
    left_ns: Option<u64>,
    user_data: UserData,
}

/// Something of the application, with what frees it.
struct UserData {
    data: *mut c_void,
    free: Option<unsafe extern "C" fn(*mut c_void)>,
}

// SAFETY: by the contract of wirespan_carry_capture the data may move between threads and be freed on any.
unsafe impl Send for UserData {}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: the application vouches for its function, which is called once.
            unsafe { free(self.data) };
        }
    }
}

thread_local! {
    /// The plan that this thread was shown last.
    static PLAN: RefCell<Option<PlanView>> = const { RefCell::new(None) };
}

/// Captures what an item takes along inside the process. `context` may be NULL, `session_id` may be NULL; `now_ns` is a reading of a
/// monotonic clock. `user_data` goes along, such as a context object of another tracing library or an open span that the worker shall
/// end; `free_user_data` (which may be NULL) is called for it when the carry is freed, read or unread, on whatever thread.
///
/// # Safety
///
/// `context` is NULL or points to a context; `session_id` is NULL or ends with NUL; `free_user_data` may be called with `user_data`
/// once; `carry` points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_carry_capture(
    context: *const wirespan_context,
    session_id: *const c_char,
    user_data: *mut c_void,
    free_user_data: Option<unsafe extern "C" fn(user_data: *mut c_void)>,
    now_ns: u64,
    carry: *mut *mut wirespan_carry,
) -> wirespan_status {
    guard(|| {
        require_out("carry", carry)?;
        // SAFETY: the caller vouches for the inputs.
        let carried = unsafe { carried_of(context, session_id, None) }?;
        let user_data = UserData {
            data: user_data,
            free: free_user_data,
        };
        let item = Item::new(carried, Some(now_ns), user_data);
        let handle = CARRIES.insert(item)?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(carry, handle) };
        Ok(())
    })
}

/// Reads what an item brought along. For a carry that was captured in this process `now` is a reading of the same monotonic clock, for
/// one that came in headers it is Unix time; both in nanoseconds. Afterwards free the carry.
///
/// # Safety
///
/// `carried` points to memory for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_carry_restore(
    carry: *const wirespan_carry,
    now: u64,
    carried: *mut wirespan_carried,
) -> wirespan_status {
    guard(|| {
        require_out("carried", carried)?;
        let shown = CARRIES.with(carry, |item| Ok(item.show(now)))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(carried, shown) };
        Ok(())
    })
}

/// Frees a carry, read or unread.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_carry_free(carry: *mut wirespan_carry) -> wirespan_status {
    guard(|| {
        drop(CARRIES.remove(carry)?);
        Ok(())
    })
}

/// Writes the headers to put beside the payload of an item that goes through a broker: `traceparent`, `tracestate`, `baggage`,
/// `session`, `sent`, those that there are. `headers` has room for five, `header_count` gets their number; their values stand in
/// `buffer`, of which `length` bytes are used. Baggage passes only under the names in `baggage_out` (`*` stands for all). `sent_unix_ns` points to
/// the time now, or is NULL to leave it out.
///
/// Returns `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `size` is too small; `length` then holds what is needed. `WIRESPAN_CONTEXT_BYTES` are
/// always enough.
///
/// # Safety
///
/// `context` is NULL or points to a context; `session_id` is NULL or ends with NUL; `sent_unix_ns` is NULL or points to a number; `baggage_out` points to `baggage_out_count` texts
/// that end with NUL; `buffer` points to `size` bytes, `headers` to memory for five headers, `header_count` and `length` to memory
/// for a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_carry_to_headers(
    context: *const wirespan_context,
    session_id: *const c_char,
    sent_unix_ns: *const u64,
    baggage_out: *const *const c_char,
    baggage_out_count: usize,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
    headers: *mut wirespan_header,
    header_count: *mut usize,
) -> wirespan_status {
    guard(|| {
        require_out("length", length)?;
        require_out("headers", headers)?;
        require_out("header_count", header_count)?;
        // SAFETY: the caller vouches for the inputs.
        let (carried, allowed) = unsafe {
            (
                carried_of(context, session_id, sent_unix_ns.as_ref().copied())?,
                pointers::names("baggage_out", baggage_out, baggage_out_count)?,
            )
        };
        let values = carried.to_headers(&AllowList::from_names(allowed));
        // SAFETY: the caller vouches for the outputs.
        unsafe { give_headers(&values, buffer, size, length, headers, header_count) }
    })
}

/// Reads the headers beside the payload of an item that came through a broker. Names compare without regard to ASCII case; what is
/// invalid or given twice counts as absent: an item without a usable context is delivered without one. Baggage passes only under the
/// names in `baggage_in` (`*` stands for all).
///
/// # Safety
///
/// `headers` points to `header_count` headers; `baggage_in` points to `baggage_in_count` texts that end with NUL; `carry` points to
/// memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_carry_from_headers(
    headers: *const wirespan_header,
    header_count: usize,
    baggage_in: *const *const c_char,
    baggage_in_count: usize,
    carry: *mut *mut wirespan_carry,
) -> wirespan_status {
    guard(|| {
        require_out("carry", carry)?;
        // SAFETY: the caller vouches for the inputs.
        let (headers, allowed) = unsafe {
            (
                pointers::raw_headers(headers, header_count)?,
                pointers::names("baggage_in", baggage_in, baggage_in_count)?,
            )
        };
        let carried = Carried::from_headers(headers, &AllowList::from_names(allowed));
        let nothing = UserData {
            data: std::ptr::null_mut(),
            free: None,
        };
        let handle = CARRIES.insert(Item::new(carried, None, nothing))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(carry, handle) };
        Ok(())
    })
}

/// Plans the span of sending an item to a broker: `send DESTINATION`, PRODUCER, child of `current`. `destination`, `session_id` and
/// `current` may be NULL. The plan is valid until this thread asks for another one by `wirespan_carry_plan_send` or
/// `wirespan_carry_plan_process`.
///
/// # Safety
///
/// Texts are NULL or end with NUL; `current` is NULL or points to a context; `plan` points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_carry_plan_send(
    destination: *const c_char,
    session_id: *const c_char,
    current: *const wirespan_span_context,
    plan: *mut *const wirespan_plan,
) -> wirespan_status {
    guard(|| {
        require_out("plan", plan)?;
        // SAFETY: the caller vouches for the inputs.
        let (destination, session_id, current) = unsafe {
            (
                pointers::optional_text("destination", destination)?,
                pointers::optional_text("session_id", session_id)?,
                pointers::span(current)?,
            )
        };
        let planned = plan_send(destination, session_id);
        let parent = parent_of(&planned, current, String::new());
        // SAFETY: the caller vouches for the output.
        unsafe { give_plan(planned, parent, plan) }
    })
}

/// Plans the span of processing what came out of a broker: `process DESTINATION`, CONSUMER. One item is linked and, where
/// `continue_trace` asks for it, also the parent; a batch is linked only, each item once, and counted. `now_unix_ns` is the time now.
/// The plan is valid as for `wirespan_carry_plan_send`.
///
/// # Safety
///
/// `destination` is NULL or ends with NUL; `carries` points to `carry_count` handles; `plan` points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_carry_plan_process(
    destination: *const c_char,
    carries: *const *const wirespan_carry,
    carry_count: usize,
    continue_trace: bool,
    now_unix_ns: u64,
    plan: *mut *const wirespan_plan,
) -> wirespan_status {
    guard(|| {
        require_out("plan", plan)?;
        // SAFETY: the caller vouches for the inputs.
        let (destination, carries) = unsafe {
            (
                pointers::optional_text("destination", destination)?,
                pointers::slice("carries", carries, carry_count)?,
            )
        };
        let items: Vec<Carried> = carries
            .iter()
            .map(|carry| CARRIES.with(*carry, |item| Ok(item.carried.clone())))
            .collect::<Result<_, _>>()?;
        let planned = plan_process(destination, &items, continue_trace, now_unix_ns);
        let parent = parent_of(&planned, None, String::new());
        // SAFETY: the caller vouches for the output.
        unsafe { give_plan(planned, parent, plan) }
    })
}

/// Shows a plan until this thread shows another one.
///
/// # Safety
///
/// `out` points to memory for a pointer.
unsafe fn give_plan(
    plan: Plan,
    parent: crate::views::ParentView,
    out: *mut *const wirespan_plan,
) -> Result<(), Failure> {
    let view = PlanView::new(plan, parent);
    let shown = view.shown();
    PLAN.try_with(|last| last.replace(Some(view)))
        .map_err(|_| Error::invalid_state("this thread is about to end: plan on another one"))?;
    // SAFETY: as this function's.
    unsafe { write_out(out, shown) };
    Ok(())
}

/// Reads what an item shall take along.
///
/// # Safety
///
/// `context` is NULL or points to a context, `session_id` is NULL or ends with NUL.
unsafe fn carried_of(
    context: *const wirespan_context,
    session_id: *const c_char,
    sent_unix_ns: Option<u64>,
) -> Result<Carried, Error> {
    // SAFETY: as this function's.
    let (context, session_id) = unsafe {
        (
            pointers::context(context)?,
            pointers::optional_text("session_id", session_id)?,
        )
    };
    if session_id.is_some_and(|id| !envelope::is_session_id(id)) {
        return Err(Error::invalid_argument(
            "session_id",
            "must be 1 to 128 characters of A-Z a-z 0-9 . _ ~ -",
        ));
    }
    let context = Context {
        span: context.span.map(|span| span.to_span()),
        baggage: context.baggage.unwrap_or_default(),
    };
    Ok(Carried::new(
        context,
        session_id.map(str::to_owned),
        sent_unix_ns,
    ))
}

impl Item {
    fn new(carried: Carried, left_ns: Option<u64>, user_data: UserData) -> Self {
        let baggage = &carried.context.baggage;
        let baggage = if baggage.is_empty() {
            String::new()
        } else {
            baggage.to_header()
        };
        Self {
            carried,
            baggage,
            left_ns,
            user_data,
        }
    }

    fn show(&self, now: u64) -> wirespan_carried {
        let wait = match self.left_ns {
            Some(left_ns) => Some(now.saturating_sub(left_ns)),
            None => self.carried.wait_ns(now),
        };
        wirespan_carried {
            context: wirespan_context {
                span: self
                    .carried
                    .context
                    .span
                    .as_ref()
                    .map_or(NO_SPAN, |span| show_span(span, self.left_ns.is_none())),
                baggage: show(&self.baggage),
            },
            session_id: self.carried.session_id.as_deref().map_or(EMPTY, show),
            wait_ns: wait.map_or(-1, |wait| i64::try_from(wait).unwrap_or(i64::MAX)),
            sent_unix_ns: self.carried.sent_unix_ns.unwrap_or(0),
            has_sent: self.carried.sent_unix_ns.is_some(),
            context_invalid: self.carried.context_invalid,
            user_data: self.user_data.data,
        }
    }
}
