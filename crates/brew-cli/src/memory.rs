//! The allocator's settings.

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// `mi_option_purge_delay` of mimalloc.h, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// Keeps freed pages instead of returning them to the system.
///
/// A training step frees and takes the same large blocks over and over; the page faults of giving
/// them back cost as much as a matrix product. Must run before the first large allocation.
#[allow(unsafe_code)]
pub(crate) fn keep_pages() {
    // SAFETY: sets an option of the allocator that is this process's own, before any thread starts.
    unsafe { mi_option_set(PURGE_DELAY, -1) };
}
