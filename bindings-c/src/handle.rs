//! Handles: what C holds instead of pointers into Rust.
//!
//! A handle looks like a pointer to C and is never dereferenced. It names a slot of a table, the generation of that slot, and
//! the kind of object. NULL, a foreign value, a handle of another kind and one that was freed are told apart from a live
//! one, so that each is answered with a status code. Slots are never deallocated, and a generation is never used again.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use wirespan::{Error, ErrorKind};

/// Bits of a handle: kind, generation, index. Together they fill a pointer.
const KIND_BITS: u32 = if usize::BITS == 64 { 8 } else { 4 };
const INDEX_BITS: u32 = if usize::BITS == 64 { 32 } else { 16 };
const GENERATION_BITS: u32 = usize::BITS - KIND_BITS - INDEX_BITS;
const MAX_GENERATION: u32 = ((1_u64 << GENERATION_BITS) - 1) as u32;
const MAX_INDEX: usize = ((1_u64 << INDEX_BITS) - 1) as usize;

/// Slots of the first chunk; each further one has twice as many as the one before it.
const FIRST_CHUNK: usize = 64;
const CHUNKS: usize = (INDEX_BITS - FIRST_CHUNK.trailing_zeros()) as usize;

/// Objects that C holds, over all tables.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The objects of one kind.
pub(crate) struct Table<T> {
    kind: u8,
    /// What C calls the objects, for error messages.
    name: &'static str,
    chunks: [OnceLock<Box<[Slot<T>]>>; CHUNKS],
    unused: Mutex<Unused>,
}

struct Unused {
    /// Slots that were freed. The oldest is used first, so that a stale handle stays recognisable for long.
    freed: VecDeque<u32>,
    next: usize,
}

struct Slot<T> {
    /// Generation of the live object; 0 where there is none.
    generation: AtomicU32,
    /// The thread that uses the object, by the address of something of its own; 0 for none.
    user: AtomicUsize,
    value: Mutex<Entry<T>>,
}

struct Entry<T> {
    value: Option<T>,
    last_generation: u32,
}

/// Number of objects that were made and not freed.
pub(crate) fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

impl<T> Table<T> {
    /// Makes an empty table. Every table has its own `kind`, which is not 0.
    pub(crate) const fn new(kind: u8, name: &'static str) -> Self {
        Self {
            kind,
            name,
            chunks: [const { OnceLock::new() }; CHUNKS],
            unused: Mutex::new(Unused {
                freed: VecDeque::new(),
                next: 0,
            }),
        }
    }

    /// Takes an object in and gives its handle.
    pub(crate) fn insert<H>(&self, value: T) -> Result<*mut H, Error> {
        let index = {
            let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
            match unused.freed.pop_front() {
                Some(index) => index as usize,
                None if unused.next > MAX_INDEX => {
                    return Err(Error::new(
                        ErrorKind::Limit,
                        format!(
                            "too many objects of type {} are alive: free some first",
                            self.name
                        ),
                    ));
                }
                None => {
                    unused.next += 1;
                    unused.next - 1
                }
            }
        };
        let (chunk, offset) = place(index);
        let slots = self.chunks[chunk]
            .get_or_init(|| (0..FIRST_CHUNK << chunk).map(|_| Slot::new()).collect());
        let slot = &slots[offset];
        let mut entry = slot.value.lock().unwrap_or_else(PoisonError::into_inner);
        entry.last_generation += 1;
        entry.value = Some(value);
        slot.generation
            .store(entry.last_generation, Ordering::Release);
        LIVE.fetch_add(1, Ordering::Relaxed);
        let handle = (usize::from(self.kind) << (GENERATION_BITS + INDEX_BITS))
            | ((entry.last_generation as usize) << INDEX_BITS)
            | index;
        Ok(std::ptr::without_provenance_mut(handle))
    }

    /// Uses the object behind a handle. Other threads wait meanwhile.
    pub(crate) fn with<H, R>(
        &self,
        handle: *const H,
        run: impl FnOnce(&mut T) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let (slot, generation, _) = self.slot(handle.addr())?;
        let mut entry = self.lock(slot)?;
        if slot.generation.load(Ordering::Relaxed) != generation {
            return Err(self.freed());
        }
        let _use = Use::begin(&slot.user);
        match &mut entry.value {
            Some(value) => run(value),
            None => Err(self.freed()),
        }
    }

    /// Takes the object behind a handle out; from now on the handle is known to be freed.
    pub(crate) fn remove<H>(&self, handle: *mut H) -> Result<T, Error> {
        let (slot, generation, index) = self.slot(handle.addr())?;
        let value = {
            let mut entry = match self.lock(slot) {
                Ok(entry) => entry,
                // What a panic left behind can still be freed.
                Err(error) if error.kind() == ErrorKind::Panic => {
                    slot.value.clear_poison();
                    self.lock(slot)?
                }
                Err(error) => return Err(error),
            };
            if slot.generation.load(Ordering::Relaxed) != generation {
                return Err(self.freed());
            }
            slot.generation.store(0, Ordering::Release);
            entry.value.take()
        };
        if generation < MAX_GENERATION {
            let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
            // The index came out of a handle, whose bits it fits.
            unused.freed.push_back(index as u32);
        }
        LIVE.fetch_sub(1, Ordering::Relaxed);
        value.ok_or_else(|| self.freed())
    }

    fn lock<'a>(&self, slot: &'a Slot<T>) -> Result<MutexGuard<'a, Entry<T>>, Error> {
        match slot.value.try_lock() {
            Ok(entry) => Ok(entry),
            Err(TryLockError::Poisoned(_)) => Err(self.broken()),
            Err(TryLockError::WouldBlock) if slot.user.load(Ordering::Relaxed) == this_thread() => {
                Err(Error::invalid_state(
                    "the object is in use by this very thread: a callback must not use the object that called it",
                ))
            }
            Err(TryLockError::WouldBlock) => slot.value.lock().map_err(|_| self.broken()),
        }
    }

    fn slot(&self, handle: usize) -> Result<(&Slot<T>, u32, usize), Error> {
        if handle == 0 {
            return Err(Error::invalid_argument(self.name, "must not be NULL"));
        }
        let index = handle & MAX_INDEX;
        let generation = ((handle >> INDEX_BITS) as u32) & MAX_GENERATION;
        let kind = handle >> (GENERATION_BITS + INDEX_BITS);
        let (chunk, offset) = place(index);
        let slot = self
            .chunks
            .get(chunk)
            .and_then(OnceLock::get)
            .and_then(|slots| slots.get(offset));
        match slot {
            Some(slot) if kind == usize::from(self.kind) && generation != 0 => {
                if slot.generation.load(Ordering::Acquire) == generation {
                    Ok((slot, generation, index))
                } else {
                    Err(self.freed())
                }
            }
            _ => Err(Error::invalid_argument(
                self.name,
                "is no handle of this type: pass what its constructor gave",
            )),
        }
    }

    fn freed(&self) -> Error {
        Error::invalid_argument(self.name, "was freed before")
    }

    fn broken(&self) -> Error {
        Error::new(
            ErrorKind::Panic,
            "a defect of the library has left this object unusable: free it",
        )
        .with_field(self.name)
    }
}

impl<T> Slot<T> {
    fn new() -> Self {
        Self {
            generation: AtomicU32::new(0),
            user: AtomicUsize::new(0),
            value: Mutex::new(Entry {
                value: None,
                last_generation: 0,
            }),
        }
    }
}

/// Notes, as long as it lives, which thread uses an object.
struct Use<'a>(&'a AtomicUsize, PhantomData<*const ()>);

impl<'a> Use<'a> {
    fn begin(user: &'a AtomicUsize) -> Self {
        user.store(this_thread(), Ordering::Relaxed);
        Self(user, PhantomData)
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Something that no other living thread has: the address of a variable of its own.
fn this_thread() -> usize {
    thread_local!(static MARK: u8 = const { 0 });
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

/// The chunk that holds an index, and where in it.
fn place(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, index - FIRST_CHUNK * ((1 << chunk) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Opaque;

    fn kind_of(error: Error) -> (ErrorKind, String) {
        (error.kind(), error.message().to_owned())
    }

    #[test]
    fn places_are_dense_and_in_range() {
        let mut last = (0, 0);
        assert_eq!(place(0), (0, 0));
        for index in 1..10_000 {
            let (chunk, offset) = place(index);
            assert!(offset < FIRST_CHUNK << chunk);
            assert!((chunk, offset) == (last.0, last.1 + 1) || (chunk, offset) == (last.0 + 1, 0));
            last = (chunk, offset);
        }
        assert!(place(MAX_INDEX).0 <= CHUNKS);
    }

    #[test]
    fn a_wrong_handle_is_told_from_a_live_one() {
        let table: Table<u32> = Table::new(1, "number");
        let other: Table<u32> = Table::new(2, "other");
        let handle: *mut Opaque = table.insert(7).unwrap();
        assert_eq!(table.with(handle, |value| Ok(*value)), Ok(7));
        let null: *const Opaque = std::ptr::null();
        assert_eq!(
            kind_of(table.with(null, |_| Ok(())).unwrap_err()).1,
            "must not be NULL"
        );
        let foreign: *const Opaque = other.insert(1).unwrap();
        assert!(
            kind_of(table.with(foreign, |_| Ok(())).unwrap_err())
                .1
                .starts_with("is no handle")
        );
        let random: *const Opaque = std::ptr::without_provenance(0x7fff_1234_5678);
        assert!(
            kind_of(table.with(random, |_| Ok(())).unwrap_err())
                .1
                .starts_with("is no handle")
        );
        assert_eq!(table.remove(handle).unwrap(), 7);
        assert_eq!(
            kind_of(table.remove(handle).unwrap_err()).1,
            "was freed before"
        );
        // The slot is used again; the old handle does not reach the new object.
        let again: *mut Opaque = table.insert(8).unwrap();
        assert_ne!(handle, again);
        assert_eq!(
            kind_of(table.with(handle, |_| Ok(())).unwrap_err()).1,
            "was freed before"
        );
        assert_eq!(table.with(again, |value| Ok(*value)), Ok(8));
    }

    #[test]
    fn a_callback_that_uses_its_own_object_does_not_hang() {
        let table: Table<u32> = Table::new(1, "number");
        let handle: *mut Opaque = table.insert(7).unwrap();
        let inner = table
            .with(handle, |_| Ok(table.with(handle, |_| Ok(()))))
            .unwrap();
        assert_eq!(inner.unwrap_err().kind(), ErrorKind::InvalidState);
        assert_eq!(table.with(handle, |value| Ok(*value)), Ok(7));
    }

    #[test]
    fn after_a_panic_the_object_can_only_be_freed() {
        let table: Table<u32> = Table::new(1, "number");
        let handle: *mut Opaque = table.insert(7).unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _: Result<(), Error> = table.with(handle, |_| panic!("on purpose"));
        }));
        assert!(caught.is_err());
        assert_eq!(
            table.with(handle, |_| Ok(())).unwrap_err().kind(),
            ErrorKind::Panic
        );
        assert_eq!(table.remove(handle).unwrap(), 7);
        assert_eq!(
            kind_of(table.remove(handle).unwrap_err()).1,
            "was freed before"
        );
    }

    #[test]
    fn threads_wait_for_each_other() {
        static TABLE: Table<u64> = Table::new(1, "number");
        let handle: *mut Opaque = TABLE.insert(0).unwrap();
        let handle = handle.addr();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                std::thread::spawn(move || {
                    let handle: *mut Opaque = std::ptr::without_provenance_mut(handle);
                    for _ in 0..1000 {
                        TABLE
                            .with(handle, |value| {
                                *value += 1;
                                Ok(())
                            })
                            .unwrap();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let handle: *mut Opaque = std::ptr::without_provenance_mut(handle);
        assert_eq!(TABLE.remove(handle).unwrap(), 8000);
    }
}
