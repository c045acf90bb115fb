//! The allocator's settings.

use std::ffi::c_long;

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

/// `mi_option_purge_delay` of mimalloc.h, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// Milliseconds after which freed pages go back by themselves: 20 days, which every system's type holds. Without a limit the
/// allocator would not know any more which they are.
const LATE: c_long = 20 * 24 * 60 * 60 * 1000;

/// Keeps freed pages until [`give_back`] instead of returning them to the system.
///
/// A training step frees and takes the same large blocks over and over; the page faults of giving
/// them back cost as much as a matrix product. Must run before the first large allocation.
#[allow(unsafe_code)]
pub(crate) fn keep_pages() {
    // SAFETY: sets an option of the allocator that is this process's own, before any thread starts.
    unsafe { mi_option_set(PURGE_DELAY, LATE) };
}

/// Returns the pages that are free to the system.
///
/// What comes after the first epoch needs less than what came before: loading is over, and the teachers may be gone.
/// Their pages lie apart from those that a step takes, and would stay unused.
#[allow(unsafe_code)]
pub(crate) fn give_back() {
    // SAFETY: only what nobody holds is returned.
    unsafe { mi_collect(true) };
}
