//! Zeros that take memory where they are written to.

use std::mem::MaybeUninit;

use burn_std::{AllocationController, AllocationProperty, Bytes};
use memmap2::MmapMut;

/// So many zero bytes, of which the system gives out a page when it is first written to; `None` where it does not
/// give any.
pub(super) fn zeros(bytes: usize) -> Option<Bytes> {
    let pages = MmapMut::map_anon(bytes).ok()?;
    // Whole pages of 2 MiB would be given out for one number. A system that knows no such pages refuses, and is right.
    #[cfg(target_os = "linux")]
    let _ = pages.advise(memmap2::Advice::NoHugePage);
    // SAFETY: the map has `bytes` bytes, and all of a new map are zero.
    #[expect(unsafe_code, reason = "the length is the map's")]
    Some(unsafe { Bytes::from_controller(Box::new(Pages(pages)), bytes) })
}

/// Memory of the system's.
struct Pages(MmapMut);

impl AllocationController for Pages {
    /// The largest that is promised; pages have more.
    fn alloc_align(&self) -> usize {
        align_of::<u128>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    #[expect(unsafe_code, reason = "the trait's signature")]
    unsafe fn memory_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        let bytes: &mut [u8] = &mut self.0;
        // SAFETY: both types have one layout, the borrow is the same, and the caller writes initialised bytes alone.
        unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) }
    }

    fn memory(&self) -> &[MaybeUninit<u8>] {
        let bytes: &[u8] = &self.0;
        // SAFETY: both types have one layout, the borrow is the same, and what is initialised may be taken for what
        // may not be.
        #[expect(unsafe_code, reason = "there is no safe cast of slices")]
        unsafe {
            &*(std::ptr::from_ref(bytes) as *const [MaybeUninit<u8>])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_zeros_that_can_be_written_cloned_and_read() {
        let mut bytes = zeros(3 << 20).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes[1 << 20] = 7;
        let copy = bytes.clone();
        bytes[5] = 1;
        assert_eq!((copy.len(), copy[1 << 20], copy[5]), (3 << 20, 7, 0));
        assert_eq!((bytes[1 << 20], bytes[5], bytes[6]), (7, 1, 0));
        // Not the allocator's: whoever wants a vector gets a copy.
        let bytes = bytes.try_into_vec::<f32>().unwrap_err();
        assert_eq!(bytes.len(), 3 << 20);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_not_written_takes_no_memory() {
        let resident = || {
            let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
            pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
        };
        let before = resident();
        let mut bytes = zeros(256 << 20).unwrap();
        assert_eq!(bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 0);
        bytes[100 << 20] = 1;
        // Other tests run meanwhile, and none takes as much.
        assert!(resident() < before + (200 << 20), "{} → {}", before, resident());
    }
}
