//! The few parts of Node-API that the addon uses, behind functions that cannot be misused from within this crate.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr;

use napi::sys;
use wirespan::{Error, ErrorKind};

/// A JavaScript value, valid as long as the call in which it was seen.
pub(crate) type Value = sys::napi_value;

/// The most arguments that a function of the addon takes.
pub(crate) const MAX_ARGS: usize = 10;

/// Strings that take no more are read in one go.
const SHORT_TEXT_BYTES: usize = 1536;

/// One call from JavaScript: its environment and its arguments. Absent arguments are `undefined`.
pub(crate) struct Js {
    env: sys::napi_env,
    args: [Value; MAX_ARGS],
}

/// The types of values that the addon tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// `undefined` or `null`.
    Absent,
    /// A string.
    Text,
    /// A number.
    Number,
    /// A bigint.
    BigInt,
    /// An object, such as a `Uint8Array`.
    Object,
    /// Anything else.
    Other,
}

impl Js {
    /// Reads the arguments of a call, up to a number of them, and the data that its function was made with.
    ///
    /// # Safety
    ///
    /// `env` and `info` are those of a callback that is running.
    pub(crate) unsafe fn new(
        env: sys::napi_env,
        info: sys::napi_callback_info,
        most: usize,
    ) -> (Self, *mut c_void) {
        let mut args = [ptr::null_mut(); MAX_ARGS];
        let mut count = most.min(MAX_ARGS);
        let mut data = ptr::null_mut();
        // SAFETY: the caller vouches for both handles; every pointer is to a live local of the size that is stated.
        unsafe {
            sys::napi_get_cb_info(
                env,
                info,
                &raw mut count,
                args.as_mut_ptr(),
                ptr::null_mut(),
                &raw mut data,
            );
        }
        (Self { env, args }, data)
    }

    /// The environment of the call.
    pub(crate) fn env(&self) -> sys::napi_env {
        self.env
    }

    /// The argument at a position.
    pub(crate) fn arg(&self, index: usize) -> Value {
        self.args[index]
    }

    /// The type of an argument.
    pub(crate) fn kind(&self, index: usize) -> Type {
        self.kind_of(self.args[index])
    }

    fn kind_of(&self, value: Value) -> Type {
        let mut kind = 0;
        // SAFETY: the value belongs to the running call; the pointer is to a live local.
        let status = unsafe { sys::napi_typeof(self.env, value, &raw mut kind) };
        match kind {
            _ if status != sys::Status::napi_ok => Type::Other,
            sys::ValueType::napi_undefined | sys::ValueType::napi_null => Type::Absent,
            sys::ValueType::napi_string => Type::Text,
            sys::ValueType::napi_number => Type::Number,
            sys::ValueType::napi_bigint => Type::BigInt,
            sys::ValueType::napi_object => Type::Object,
            _ => Type::Other,
        }
    }

    /// A number that fits 32 bits: a handle, a key, flags.
    pub(crate) fn u32(&self, index: usize, name: &'static str) -> Result<u32, Error> {
        let mut number = 0;
        // SAFETY: as in `kind_of`.
        let status =
            unsafe { sys::napi_get_value_uint32(self.env, self.args[index], &raw mut number) };
        if status == sys::Status::napi_ok {
            Ok(number)
        } else {
            Err(wrong(name, "must be a number"))
        }
    }

    /// A number or bigint of nanoseconds, or another whole number that is not negative.
    pub(crate) fn u64(&self, index: usize, name: &'static str) -> Result<u64, Error> {
        let mut number = 0.0;
        // SAFETY: as in `kind_of`.
        let status =
            unsafe { sys::napi_get_value_double(self.env, self.args[index], &raw mut number) };
        if status == sys::Status::napi_ok {
            // Beyond 2^64 the conversion stays at the largest value.
            return if number >= 0.0 {
                Ok(number as u64)
            } else {
                Err(wrong(name, NOT_NEGATIVE))
            };
        }
        let (mut number, mut lossless) = (0, false);
        // SAFETY: as in `kind_of`.
        let status = unsafe {
            sys::napi_get_value_bigint_uint64(
                self.env,
                self.args[index],
                &raw mut number,
                &raw mut lossless,
            )
        };
        if status == sys::Status::napi_ok && lossless {
            Ok(number)
        } else {
            Err(wrong(name, NOT_NEGATIVE))
        }
    }

    /// As [`Js::u64`], or nothing.
    pub(crate) fn optional_u64(
        &self,
        index: usize,
        name: &'static str,
    ) -> Result<Option<u64>, Error> {
        if self.kind(index) == Type::Absent {
            Ok(None)
        } else {
            self.u64(index, name).map(Some)
        }
    }

    /// As [`Js::u32`], or nothing.
    pub(crate) fn optional_u32(
        &self,
        index: usize,
        name: &'static str,
    ) -> Result<Option<u32>, Error> {
        if self.kind(index) == Type::Absent {
            Ok(None)
        } else {
            self.u32(index, name).map(Some)
        }
    }

    /// Whether an argument is `true`.
    pub(crate) fn flag(&self, index: usize) -> bool {
        let mut flag = false;
        // SAFETY: as in `kind_of`.
        let status = unsafe { sys::napi_get_value_bool(self.env, self.args[index], &raw mut flag) };
        status == sys::Status::napi_ok && flag
    }

    /// A string.
    pub(crate) fn text(&self, index: usize, name: &'static str) -> Result<String, Error> {
        self.text_of(self.args[index], name)
    }

    /// A string, or nothing.
    pub(crate) fn optional_text(
        &self,
        index: usize,
        name: &'static str,
    ) -> Result<Option<String>, Error> {
        if self.kind(index) == Type::Absent {
            Ok(None)
        } else {
            self.text(index, name).map(Some)
        }
    }

    fn text_of(&self, value: Value, name: &'static str) -> Result<String, Error> {
        let mut bytes = Vec::new();
        self.read_text(value, name, &mut bytes)?;
        String::from_utf8(bytes).map_err(|_| wrong(name, "must be text"))
    }

    /// Writes a string as UTF-8 into a buffer that is kept, and lends it. A lone surrogate becomes U+FFFD.
    pub(crate) fn text_into<'b>(
        &self,
        index: usize,
        name: &'static str,
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b str, Error> {
        self.read_text(self.args[index], name, buffer)?;
        std::str::from_utf8(buffer).map_err(|_| wrong(name, "must be text"))
    }

    /// A short string, read into a buffer on the stack; `None` if it is no string or does not fit.
    pub(crate) fn short_text<'b>(
        &self,
        index: usize,
        buffer: &'b mut [u8; 64],
    ) -> Option<&'b [u8]> {
        let mut written = 0;
        // SAFETY: the buffer has the size that is stated; Node.js writes at most that, with a NUL at the end.
        let status = unsafe {
            sys::napi_get_value_string_utf8(
                self.env,
                self.args[index],
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut written,
            )
        };
        // A string that comes near the end of the buffer may be longer than it.
        (status == sys::Status::napi_ok && written < buffer.len() - 4).then(|| &buffer[..written])
    }

    /// A string of ASCII that fills a place; `None` if it does not. It is read as UTF-16: that is a copy to V8, whereas it counts on
    /// the way to UTF-8, and drops half of each unit on the way to Latin-1.
    pub(crate) fn ascii(&self, index: usize, place: &mut [u8]) -> Option<()> {
        let mut buffer = [0_u16; 40];
        let mut written = 0;
        // SAFETY: the buffer has the size that is stated; Node.js writes at most that, with a NUL at the end.
        let status = unsafe {
            sys::napi_get_value_string_utf16(
                self.env,
                self.args[index],
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut written,
            )
        };
        let units = buffer.get(..written)?;
        if status != sys::Status::napi_ok || units.len() != place.len() {
            return None;
        }
        let mut all = 0;
        for (byte, unit) in place.iter_mut().zip(units) {
            *byte = *unit as u8;
            all |= *unit;
        }
        (all < 0x80).then_some(())
    }

    /// A string of a known length in UTF-16 units, as [`Js::text_into`]. Where it is short, one conversion is less than asking first
    /// what it is made of.
    pub(crate) fn text_of_length<'b>(
        &self,
        index: usize,
        units: usize,
        name: &'static str,
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b str, Error> {
        // A unit becomes three bytes at most.
        let room = units.saturating_mul(3).saturating_add(1);
        if room > SHORT_TEXT_BYTES {
            return self.text_into(index, name, buffer);
        }
        buffer.clear();
        buffer.reserve(room);
        let mut written = 0;
        // SAFETY: the buffer has that room, which Node.js keeps to whatever the length really is.
        let status = unsafe {
            let status = sys::napi_get_value_string_utf8(
                self.env,
                self.args[index],
                buffer.as_mut_ptr().cast(),
                room,
                &raw mut written,
            );
            buffer.set_len(written);
            status
        };
        if status != sys::Status::napi_ok {
            return Err(wrong(name, "must be a string"));
        }
        std::str::from_utf8(buffer).map_err(|_| wrong(name, "must be text"))
    }

    fn read_text(
        &self,
        value: Value,
        name: &'static str,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        buffer.clear();
        let mut units = 0;
        // SAFETY: as in `kind_of`; without a buffer only the length is asked for, which V8 knows.
        let status = unsafe {
            sys::napi_get_value_string_utf16(self.env, value, ptr::null_mut(), 0, &raw mut units)
        };
        if status != sys::Status::napi_ok {
            return Err(wrong(name, "must be a string"));
        }
        let mut bytes = 0;
        // SAFETY: as above.
        unsafe {
            sys::napi_get_value_string_utf8(self.env, value, ptr::null_mut(), 0, &raw mut bytes);
        }
        buffer.reserve(bytes + 1);
        // Text that is as long in UTF-8 as in UTF-16 is ASCII, and that is copied at once.
        let read = if bytes == units {
            sys::napi_get_value_string_latin1
        } else {
            sys::napi_get_value_string_utf8
        };
        let mut written = 0;
        // SAFETY: the buffer has room for the text and the NUL behind it; `written` is at most that room minus one.
        unsafe {
            let start = buffer.as_mut_ptr().cast();
            read(self.env, value, start, bytes + 1, &raw mut written);
            buffer.set_len(written);
        }
        Ok(())
    }

    /// The strings of an array; absent means none.
    pub(crate) fn texts(&self, index: usize, name: &'static str) -> Result<Vec<String>, Error> {
        match self.kind(index) {
            Type::Absent => Ok(Vec::new()),
            Type::Text => Ok(vec![self.text(index, name)?]),
            _ => self.elements(index, name, |element| self.text_of(element, name)),
        }
    }

    /// The values of header fields: an array of strings, which are taken as UTF-8, and of bytes; one of either by itself; or
    /// nothing.
    pub(crate) fn values(&self, index: usize, name: &'static str) -> Result<Vec<Vec<u8>>, Error> {
        let value_of = |value: Value| match self.kind_of(value) {
            Type::Object => self.bytes_of(value, name).map(<[u8]>::to_vec),
            _ => self.text_of(value, name).map(String::into_bytes),
        };
        match self.kind(index) {
            Type::Absent => Ok(Vec::new()),
            Type::Object if !self.is_typed_array(self.args[index]) => {
                self.elements(index, name, value_of)
            }
            _ => Ok(vec![value_of(self.args[index])?]),
        }
    }

    fn elements<T>(
        &self,
        index: usize,
        name: &'static str,
        read: impl Fn(Value) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let array = self.args[index];
        let mut length = 0;
        // SAFETY: as in `kind_of`.
        let status = unsafe { sys::napi_get_array_length(self.env, array, &raw mut length) };
        if status != sys::Status::napi_ok {
            return Err(wrong(name, "must be an array of strings"));
        }
        (0..length)
            .map(|at| {
                let mut element = ptr::null_mut();
                // SAFETY: as in `kind_of`.
                let status =
                    unsafe { sys::napi_get_element(self.env, array, at, &raw mut element) };
                if status != sys::Status::napi_ok {
                    return Err(wrong(name, "must be an array of strings"));
                }
                read(element)
            })
            .collect()
    }

    fn is_typed_array(&self, value: Value) -> bool {
        let mut typed = false;
        // SAFETY: as in `kind_of`.
        let status = unsafe { sys::napi_is_typedarray(self.env, value, &raw mut typed) };
        status == sys::Status::napi_ok && typed
    }

    /// The bytes of a `Uint8Array` or `Buffer`, for as long as the call lasts.
    pub(crate) fn bytes(&self, index: usize, name: &'static str) -> Result<&[u8], Error> {
        self.bytes_of(self.args[index], name)
    }

    fn bytes_of(&self, array: Value, name: &'static str) -> Result<&[u8], Error> {
        let (data, length) = self.memory(array, sys::TypedarrayType::uint8_array, name)?;
        if length == 0 {
            return Ok(&[]);
        }
        // SAFETY: V8 keeps the memory of an array in place while a call holds it, and no JavaScript runs during the call.
        // The JavaScript side copies arrays that share their memory with other threads.
        Ok(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), length) })
    }

    /// Bytes within an `ArrayBuffer`, for as long as the call lasts. Looking into the memory is a third of looking at an array.
    pub(crate) fn bytes_within(
        &self,
        index: usize,
        place: Range<usize>,
        name: &'static str,
    ) -> Result<&[u8], Error> {
        let data = self.memory_within(index, &place, name)?;
        if place.is_empty() {
            return Ok(&[]);
        }
        // SAFETY: as in `bytes_of`; `memory_within` has found that the place is there.
        Ok(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), place.len()) })
    }

    /// Where a place within an `ArrayBuffer` is in memory. A buffer that is detached, or too short for the place, is refused.
    pub(crate) fn memory_within(
        &self,
        index: usize,
        place: &Range<usize>,
        name: &'static str,
    ) -> Result<*mut c_void, Error> {
        let (buffer, mut data, mut length) = (self.args[index], ptr::null_mut::<c_void>(), 0);
        // SAFETY: as in `kind_of`.
        let status = unsafe {
            sys::napi_get_arraybuffer_info(self.env, buffer, &raw mut data, &raw mut length)
        };
        if status != sys::Status::napi_ok {
            return Err(wrong(name, "must be a Buffer or Uint8Array"));
        }
        let mut detached = false;
        if length == 0 {
            // SAFETY: as in `kind_of`.
            unsafe { sys::napi_is_detached_arraybuffer(self.env, buffer, &raw mut detached) };
        }
        if detached || place.start > place.end || place.end > length {
            return Err(wrong(
                name,
                "is detached: its memory was transferred elsewhere",
            ));
        }
        Ok(data.cast::<u8>().wrapping_add(place.start).cast())
    }

    /// The numbers of a `Float64Array`, for as long as the call lasts.
    pub(crate) fn doubles(&self, index: usize, name: &'static str) -> Result<&[f64], Error> {
        let expected = sys::TypedarrayType::float64_array;
        let (data, length) = self.memory(self.args[index], expected, name)?;
        if length == 0 {
            return Ok(&[]);
        }
        // SAFETY: as in `bytes_of`; JavaScript aligns arrays of numbers.
        Ok(unsafe { std::slice::from_raw_parts(data.cast::<f64>(), length) })
    }

    /// Where the memory of a typed array is, and how many elements it has. One that is detached is refused.
    pub(crate) fn memory(
        &self,
        array: Value,
        expected: sys::napi_typedarray_type,
        name: &'static str,
    ) -> Result<(*mut c_void, usize), Error> {
        let (mut kind, mut length, mut data) = (0, 0, ptr::null_mut());
        // SAFETY: as in `kind_of`; what is not asked for is null.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                self.env,
                array,
                &raw mut kind,
                &raw mut length,
                &raw mut data,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        if status != sys::Status::napi_ok || kind != expected {
            return Err(wrong(name, "must be a Buffer or Uint8Array"));
        }
        if length == 0 && self.is_detached(array) {
            return Err(wrong(
                name,
                "is detached: its memory was transferred elsewhere",
            ));
        }
        Ok((data, length))
    }

    fn is_detached(&self, array: Value) -> bool {
        let (mut buffer, mut detached) = (ptr::null_mut(), false);
        // SAFETY: as in `kind_of`; `array` was found to be a typed array.
        unsafe {
            let status = sys::napi_get_typedarray_info(
                self.env,
                array,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut buffer,
                ptr::null_mut(),
            );
            status == sys::Status::napi_ok
                && sys::napi_is_detached_arraybuffer(self.env, buffer, &raw mut detached)
                    == sys::Status::napi_ok
                && detached
        }
    }

    /// `undefined`.
    pub(crate) fn undefined(&self) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: as in `kind_of`.
        unsafe { sys::napi_get_undefined(self.env, &raw mut value) };
        value
    }

    /// A number.
    pub(crate) fn number(&self, number: u32) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: as in `kind_of`.
        unsafe { sys::napi_create_uint32(self.env, number, &raw mut value) };
        value
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, flag: bool) -> Value {
        let mut value = ptr::null_mut();
        // SAFETY: as in `kind_of`.
        unsafe { sys::napi_get_boolean(self.env, flag, &raw mut value) };
        value
    }

    /// A string.
    pub(crate) fn string(&self, text: &str) -> Result<Value, Error> {
        let mut value = ptr::null_mut();
        // SAFETY: the pointer and the length are those of `text`, which lives through the call.
        let status = unsafe {
            sys::napi_create_string_utf8(
                self.env,
                text.as_ptr().cast(),
                length_of(text),
                &raw mut value,
            )
        };
        made(status, value, "a string")
    }

    /// A string, or `undefined`.
    pub(crate) fn optional_string(&self, text: Option<&str>) -> Result<Value, Error> {
        text.map_or_else(|| Ok(self.undefined()), |text| self.string(text))
    }

    /// A new `Buffer` of this length, filled by `fill`.
    pub(crate) fn buffer(
        &self,
        length: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Value, Error> {
        let (mut value, mut data) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: as in `kind_of`.
        let status =
            unsafe { sys::napi_create_buffer(self.env, length, &raw mut data, &raw mut value) };
        let value = made(status, value, "a Buffer")?;
        if length > 0 {
            // SAFETY: a new buffer of `length` bytes that nobody else knows yet. Its memory comes from Node.js, which lets
            // scripts read it: to this side it holds some bytes, not undefined ones.
            fill(unsafe { std::slice::from_raw_parts_mut(data.cast::<u8>(), length) });
        }
        Ok(value)
    }

    /// Calls a function with strings and numbers; gives what it returns.
    ///
    /// # Safety
    ///
    /// `function` refers to a function of this environment.
    pub(crate) unsafe fn call(&self, function: sys::napi_ref, args: &[Value]) -> Option<Value> {
        let (mut target, mut result) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the caller vouches for the reference; the arguments belong to the running call.
        unsafe {
            if sys::napi_get_reference_value(self.env, function, &raw mut target)
                != sys::Status::napi_ok
            {
                return None;
            }
            let status = sys::napi_call_function(
                self.env,
                self.undefined(),
                target,
                args.len(),
                args.as_ptr(),
                &raw mut result,
            );
            (status == sys::Status::napi_ok).then_some(result)
        }
    }
}

/// What is wrong with an argument.
pub(crate) fn wrong(name: &'static str, message: &'static str) -> Error {
    Error::invalid_argument(name, message)
}

fn made(status: sys::napi_status, value: Value, what: &str) -> Result<Value, Error> {
    if status == sys::Status::napi_ok {
        Ok(value)
    } else {
        Err(Error::new(
            ErrorKind::Limit,
            format!("Node.js could not make {what}: it may be too large"),
        ))
    }
}

fn length_of(text: &str) -> isize {
    // No string in memory is longer.
    isize::try_from(text.len()).unwrap_or(isize::MAX)
}

pub(crate) const NOT_NEGATIVE: &str = "must be a number or bigint that is not negative";
