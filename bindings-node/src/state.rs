//! What the addon keeps for one environment: the main thread or one worker. Nothing is shared between environments.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr;

use napi::sys;
use rustc_hash::FxHashMap;
use wirespan::connection::{
    Attribute, Connection, ContextRef, Event, HandshakeRequest, SessionRegistry, SpanEnd,
};
use wirespan::envelope::Frame;
use wirespan::metrics::{StreamMetrics, Summary};
use wirespan::trace::{Baggage, TraceParent};
use wirespan::{Error, ErrorKind};

use crate::js::{Js, NOT_NEGATIVE, wrong};
use crate::told::{Place, Told, ToldPlan};

/// Everything of one environment.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) connections: Table<Held>,
    pub(crate) requests: Table<HandshakeRequest>,
    pub(crate) registries: Table<SessionRegistry>,
    pub(crate) metrics: Table<StreamMetrics>,
    pub(crate) out: Out,
    pub(crate) slab: Slab,
    /// The context that the next sending uses, if it says so.
    pub(crate) context: Context,
    /// What the last received message has beside its payload, as JSON, until it is fetched.
    pub(crate) extras: Option<String>,
    /// A body that came as a string, kept so that its memory is used again.
    pub(crate) text: Vec<u8>,
    /// Makes the error that is thrown.
    pub(crate) make_error: sys::napi_ref,
}

/// A connection and what its host has yet to take.
pub(crate) struct Held {
    pub(crate) core: Connection,
    /// The next event, taken ahead so that JavaScript is told whether there is one.
    pub(crate) next: Option<Event>,
    /// The end of a span that was polled last, for those who want its attributes.
    pub(crate) ended: Option<Box<SpanEnd>>,
    /// The plans and the attributes of ends that JavaScript has been told.
    pub(crate) plans: Told<ToldPlan>,
    pub(crate) ends: Told<Vec<Attribute>>,
}

impl Held {
    pub(crate) fn new(core: Connection) -> Self {
        Self {
            core,
            next: None,
            ended: None,
            plans: Told::default(),
            ends: Told::default(),
        }
    }
}

/// A context in the core's terms.
#[derive(Default)]
pub(crate) struct Context {
    pub(crate) trace_parent: Option<TraceParent>,
    pub(crate) trace_state: String,
    pub(crate) baggage: Option<Baggage>,
}

impl Context {
    /// The context as the core borrows it, or none.
    pub(crate) fn borrow(&self, wanted: bool) -> ContextRef<'_> {
        if wanted {
            ContextRef {
                trace_parent: self.trace_parent,
                trace_state: &self.trace_state,
                baggage: self.baggage.as_ref(),
            }
        } else {
            ContextRef::default()
        }
    }
}

/// Things that JavaScript names by a number. A number is not used again before four billion others were.
pub(crate) struct Table<T> {
    entries: FxHashMap<u32, T>,
    last: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            entries: FxHashMap::default(),
            last: 0,
        }
    }
}

impl<T> Table<T> {
    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.entries.contains_key(&self.last) {
                break;
            }
        }
        self.entries.insert(self.last, entry);
        self.last
    }

    pub(crate) fn get(&mut self, handle: u32) -> Result<&mut T, Error> {
        self.entries.get_mut(&handle).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidState,
                "this object was freed: make a new one",
            )
        })
    }

    pub(crate) fn remove(&mut self, handle: u32) -> Option<T> {
        self.entries.remove(&handle)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Where functions that are called for each message find their numbers and leave their results: two arrays that JavaScript
/// registered once.
pub(crate) struct Out {
    words: *mut u32,
    numbers: *mut f64,
    /// Keep the arrays alive.
    references: Vec<sys::napi_ref>,
}

impl Default for Out {
    fn default() -> Self {
        Self {
            words: ptr::null_mut(),
            numbers: ptr::null_mut(),
            references: Vec::new(),
        }
    }
}

/// Places in the array of words.
pub(crate) mod word {
    /// 1 if events wait to be polled.
    pub(crate) const EVENTS: usize = 0;
    /// Form of a frame: 0 text, 1 binary.
    pub(crate) const FORM: usize = 1;
    /// Stream of a received message.
    pub(crate) const STREAM: usize = 2;
    /// Payload: 0 nothing, 1 a range of the message, 2 the string that was returned.
    pub(crate) const PAYLOAD: usize = 3;
    pub(crate) const START: usize = 4;
    pub(crate) const END: usize = 5;
    /// Bits of what else came: see [`super::flag`].
    pub(crate) const FLAGS: usize = 6;
    pub(crate) const TRACE_FLAGS: usize = 7;
    /// The 24 bytes of a trace id and a span id.
    pub(crate) const IDS: usize = 8;
    /// Arguments of the functions that are called for each message: an element of an array costs a fraction of what an argument
    /// of a call does. The connection's handle, the stream, and flags.
    pub(crate) const HANDLE: usize = 14;
    pub(crate) const KEY: usize = 15;
    pub(crate) const GIVEN: usize = 16;
    /// What was polled: see [`super::event`]. What it is about is in the word of the stream.
    pub(crate) const EVENT: usize = 17;
    /// How a stream ended: 0 unless it did, otherwise its place among the outcomes, from 1.
    pub(crate) const OUTCOME: usize = 18;
    /// Where a plan or attributes are remembered, from 1; 0 if they are not.
    pub(crate) const PLACE: usize = 19;
    /// Number of words.
    pub(crate) const COUNT: usize = 20;
}

/// Bits of what came with a received message.
pub(crate) mod flag {
    /// It has a context.
    pub(crate) const CONTEXT: u32 = 1;
    /// The context is to be linked, not continued.
    pub(crate) const LINKED: u32 = 2;
    /// There are extras to fetch.
    pub(crate) const EXTRAS: u32 = 4;
    /// What it opens is known but for its numbers.
    pub(crate) const KNOWN: u32 = 8;
}

/// What was polled.
pub(crate) mod event {
    /// Nothing.
    pub(crate) const NONE: u32 = 0;
    /// The frame that was returned.
    pub(crate) const FRAME: u32 = 1;
    /// The JSON that was returned.
    pub(crate) const JSON: u32 = 2;
    /// The reader of a stream has got everything.
    pub(crate) const READ_COMPLETE: u32 = 3;
    /// The span of a stream ends without an error.
    pub(crate) const STREAM_END: u32 = 4;
}

/// Places in the array of numbers.
pub(crate) mod number {
    /// When the connection wants to be woken; infinite if never.
    pub(crate) const DEADLINE: usize = 0;
    /// The summary of what was sent, or the only one.
    pub(crate) const SUMMARY: usize = 1;
    /// Numbers of a summary.
    pub(crate) const SUMMARY_LEN: usize = 19;
    /// The summary of what was received.
    pub(crate) const RECEIVED: usize = SUMMARY + SUMMARY_LEN;
    /// A stall: when, how long, which chunk.
    pub(crate) const STALL: usize = RECEIVED + SUMMARY_LEN;
    /// Arguments of the functions that are called for each message: the time, and where bytes are in their memory. The length is
    /// that in UTF-16 units where a string is given.
    pub(crate) const NOW: usize = STALL + 3;
    pub(crate) const OFFSET: usize = NOW + 1;
    pub(crate) const LENGTH: usize = NOW + 2;
    /// Numbers of attributes, in their order; there is none where text stands.
    pub(crate) const ATTRIBUTES: usize = NOW + 3;
    pub(crate) const MAX_ATTRIBUTES: usize = 32;
    /// Number of numbers.
    pub(crate) const COUNT: usize = ATTRIBUTES + MAX_ATTRIBUTES;
}

impl Out {
    /// Takes the two arrays, which JavaScript never gives to anybody else.
    pub(crate) fn register(&mut self, js: &Js, words: usize, numbers: usize) -> Result<(), Error> {
        let (word_memory, word_count) =
            js.memory(js.arg(words), sys::TypedarrayType::uint32_array, "words")?;
        let (number_memory, number_count) = js.memory(
            js.arg(numbers),
            sys::TypedarrayType::float64_array,
            "numbers",
        )?;
        if word_count != word::COUNT || number_count != number::COUNT {
            return Err(wrong(
                "words",
                "must have the lengths that this addon was built for",
            ));
        }
        for index in [words, numbers] {
            self.references.push(reference(js, index)?);
        }
        (self.words, self.numbers) = (word_memory.cast(), number_memory.cast());
        Ok(())
    }

    pub(crate) fn is_registered(&self) -> bool {
        !self.words.is_null() && !self.numbers.is_null()
    }

    pub(crate) fn set(&mut self, place: usize, value: u32) {
        assert!(place < word::COUNT, "a place of the table above");
        if !self.words.is_null() {
            // SAFETY: the array has `COUNT` words and is kept alive by its reference; V8 does not move it.
            unsafe { self.words.add(place).write(value) };
        }
    }

    pub(crate) fn set_number(&mut self, place: usize, value: f64) {
        assert!(place < number::COUNT, "a place of the table above");
        if !self.numbers.is_null() {
            // SAFETY: as in `set`.
            unsafe { self.numbers.add(place).write(value) };
        }
    }

    /// A word that JavaScript gave.
    pub(crate) fn word(&self, place: usize) -> u32 {
        assert!(place < word::COUNT, "a place of the table above");
        if self.words.is_null() {
            return 0;
        }
        // SAFETY: as in `set`.
        unsafe { self.words.add(place).read() }
    }

    /// A number that JavaScript gave, if it is one that is not negative. What is beyond 2^64 stays at the largest value.
    pub(crate) fn number(&self, place: usize, name: &'static str) -> Result<u64, Error> {
        assert!(place < number::COUNT, "a place of the table above");
        let number = if self.numbers.is_null() {
            f64::NAN
        } else {
            // SAFETY: as in `set`.
            unsafe { self.numbers.add(place).read() }
        };
        if number >= 0.0 {
            Ok(number as u64)
        } else {
            Err(wrong(name, NOT_NEGATIVE))
        }
    }

    pub(crate) fn set_ids(&mut self, trace_parent: &TraceParent) {
        if !self.words.is_null() {
            // SAFETY: the six words from `IDS` on are within the array, see `set`.
            unsafe {
                let place = self.words.add(word::IDS).cast::<u8>();
                ptr::copy_nonoverlapping(trace_parent.trace_id.as_ptr(), place, 16);
                ptr::copy_nonoverlapping(trace_parent.span_id.as_ptr(), place.add(16), 8);
            }
        }
    }

    /// Writes where something is remembered, and says whether JavaScript knows it.
    pub(crate) fn set_place(&mut self, place: Option<Place>) -> bool {
        let (at, is_known) = match place {
            None => (None, false),
            Some(Place::Known(at)) => (Some(at), true),
            Some(Place::New(at)) => (Some(at), false),
        };
        // There are a few places.
        self.set(word::PLACE, at.map_or(0, |at| at as u32 + 1));
        is_known
    }

    /// Writes a summary; what is absent is NaN.
    pub(crate) fn set_summary(&mut self, place: usize, summary: &Summary) {
        let count = |number: u64| number as f64;
        let time = |ns: Option<u64>| ns.map_or(f64::NAN, |ns| ns as f64);
        let exact = |ns: Option<f64>| ns.unwrap_or(f64::NAN);
        let values: [f64; number::SUMMARY_LEN] = [
            count(summary.chunks),
            count(summary.bytes),
            time(summary.time_to_first_chunk_ns),
            time(summary.time_to_last_chunk_ns),
            time(summary.duration_ns),
            exact(summary.rate),
            count(summary.intervals),
            exact(summary.interval_avg_ns),
            time(summary.interval_min_ns),
            time(summary.interval_max_ns),
            exact(summary.interval_p50_ns),
            exact(summary.interval_p90_ns),
            exact(summary.interval_p95_ns),
            exact(summary.interval_p99_ns),
            summary.relative_error,
            count(summary.stalls),
            count(summary.stall_time_ns),
            f64::from(summary.clock_back),
            // Absent outcomes are at no place.
            f64::from(crate::convert::outcome_number(summary.outcome)) - 1.0,
        ];
        for (index, value) in values.into_iter().enumerate() {
            self.set_number(place + index, value);
        }
    }
}

/// Memory of JavaScript into which short frames are written one behind the other. When it is full JavaScript brings another, and
/// leaves this one to the garbage collector, which waits for the frames.
pub(crate) struct Slab {
    start: *mut u8,
    length: usize,
    used: usize,
    /// Keeps the memory alive.
    reference: sys::napi_ref,
}

impl Default for Slab {
    fn default() -> Self {
        Self {
            start: ptr::null_mut(),
            length: 0,
            used: 0,
            reference: ptr::null_mut(),
        }
    }
}

impl Slab {
    /// Takes the `Uint8Array` of an argument.
    pub(crate) fn replace(&mut self, js: &Js, index: usize) -> Result<(), Error> {
        let (memory, length) =
            js.memory(js.arg(index), sys::TypedarrayType::uint8_array, "slab")?;
        let reference = reference(js, index)?;
        if !self.reference.is_null() {
            // SAFETY: it was made for this environment, and nothing uses it any more.
            unsafe { sys::napi_delete_reference(js.env(), self.reference) };
        }
        *self = Self {
            start: memory.cast(),
            length: length.min(u32::MAX as usize),
            used: 0,
            reference,
        };
        Ok(())
    }

    /// Writes a frame behind the earlier ones and says where; `None` if it does not fit.
    pub(crate) fn write(&mut self, frame: &Frame<'_>, body: &[u8]) -> Option<Range<usize>> {
        let length = frame.len();
        let place = self.used..self.used.checked_add(length)?;
        if place.end > self.length || self.overlaps(body, &place) {
            return None;
        }
        // SAFETY: the slab is alive by its reference and has `length` bytes; JavaScript has seen before the call that its memory is
        // still there, and does not run during the call. The part behind `used` was not given to anybody as a frame; who has
        // reached it through the memory of an earlier frame and sends it as a body is refused above.
        let target = unsafe { std::slice::from_raw_parts_mut(self.start.add(place.start), length) };
        frame.copy_to(target)?;
        self.used = place.end;
        Some(place)
    }

    /// Whether a body lies where its frame would be written.
    fn overlaps(&self, body: &[u8], place: &Range<usize>) -> bool {
        let (start, body) = (self.start.addr(), body.as_ptr_range());
        body.start.addr() < start + place.end && start + place.start < body.end.addr()
    }
}

/// A reference that keeps an argument alive for as long as the environment.
pub(crate) fn reference(js: &Js, index: usize) -> Result<sys::napi_ref, Error> {
    let mut made = ptr::null_mut();
    // SAFETY: the value belongs to the running call; the pointer is to a live local.
    let status = unsafe { sys::napi_create_reference(js.env(), js.arg(index), 1, &raw mut made) };
    if status == sys::Status::napi_ok {
        Ok(made)
    } else {
        Err(wrong("reference", "must be an object"))
    }
}

/// Frees the state when its environment ends.
pub(crate) unsafe extern "C" fn finalize(
    _env: sys::napi_env,
    data: *mut c_void,
    _hint: *mut c_void,
) {
    // SAFETY: `data` is the state that was made for this environment, whose functions can no longer be called.
    drop(unsafe { Box::from_raw(data.cast::<State>()) });
}
