//! The allocator of the whole process: mimalloc, asked without a word about alignment where its
//! plain functions give that alignment anyway.
//!
//! A request makes a few dozen small allocations, a plugin more: it answers them from the
//! thread's own lists. The functions that take an alignment look for more room than was asked
//! for as soon as such a list is empty.
#![allow(unsafe_code)] // The trait is unsafe as a whole.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as mi;

/// What C aligns any allocation to that has room for such a value: `max_align_t`.
const PLAIN_ALIGN_MAX: usize = 16;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Allocator;

/// Whether `malloc` may stand for an allocation of `bytes`: it aligns to what could be in there.
fn is_plain(bytes: usize, align: usize) -> bool {
    align <= PLAIN_ALIGN_MAX && align <= bytes
}

// SAFETY: all blocks are mimalloc's, which frees and resizes them however they were made; none
// of its functions unwinds; `is_plain` asks no more of `malloc` than C promises.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (bytes, align) = (layout.size(), layout.align());
        if is_plain(bytes, align) {
            // SAFETY: any size may be asked for.
            return unsafe { mi::mi_malloc(bytes) }.cast();
        }
        // SAFETY: a layout's alignment is a power of two.
        unsafe { mi::mi_malloc_aligned(bytes, align) }.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (bytes, align) = (layout.size(), layout.align());
        if is_plain(bytes, align) {
            // SAFETY: any size may be asked for.
            return unsafe { mi::mi_zalloc(bytes) }.cast();
        }
        // SAFETY: a layout's alignment is a power of two.
        unsafe { mi::mi_zalloc_aligned(bytes, align) }.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller has it from here.
        unsafe { mi::mi_free(block.cast()) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let align = layout.align();
        if is_plain(bytes, align) {
            // SAFETY: the caller has it from here.
            return unsafe { mi::mi_realloc(block.cast(), bytes) }.cast();
        }
        // SAFETY: the caller has it from here; a layout's alignment is a power of two.
        unsafe { mi::mi_realloc_aligned(block.cast(), bytes, align) }.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_aligned_and_keeps_its_bytes() {
        for align in [1, 2, 4, 8, 16, 32, 64, 4096] {
            for bytes in (1..600).chain([1000, 4095, 5000, 70_000, 3_000_000]) {
                let layout = Layout::from_size_align(bytes, align).unwrap();
                // SAFETY: the size is not 0.
                let block = unsafe { Allocator.alloc(layout) };
                assert!(!block.is_null() && block.addr() % align == 0, "{layout:?}");
                // SAFETY: it has that size.
                unsafe { block.write_bytes(b'x', bytes) };
                let (more, less) = (bytes * 2 + 1, bytes / 2 + 1);
                // SAFETY: it is a block of this layout.
                let block = unsafe { Allocator.realloc(block, layout, more) };
                assert!(!block.is_null() && block.addr() % align == 0, "{layout:?} grown");
                // SAFETY: it has more than that, and these were written.
                let kept = unsafe { std::slice::from_raw_parts(block, bytes) };
                assert!(kept.iter().all(|byte| *byte == b'x'));
                let grown = Layout::from_size_align(more, align).unwrap();
                // SAFETY: it is a block of this layout.
                let block = unsafe { Allocator.realloc(block, grown, less) };
                assert!(!block.is_null() && block.addr() % align == 0, "{layout:?} shrunk");
                // SAFETY: it is a block of this layout.
                unsafe { Allocator.dealloc(block, Layout::from_size_align(less, align).unwrap()) };
            }
        }
    }

    #[test]
    fn zeroed_is_zeroed() {
        for (bytes, align) in [(1, 1), (8, 16), (24, 8), (4096, 64), (1_000_000, 16)] {
            let layout = Layout::from_size_align(bytes, align).unwrap();
            for _ in 0..3 {
                // SAFETY: the size is not 0.
                let block = unsafe { Allocator.alloc_zeroed(layout) };
                assert!(!block.is_null() && block.addr() % align == 0);
                // SAFETY: it has that size and is zeroed, which is what is asked here.
                let all = unsafe { std::slice::from_raw_parts_mut(block, bytes) };
                assert!(all.iter().all(|byte| *byte == 0));
                all.fill(1);
                // SAFETY: it is a block of this layout.
                unsafe { Allocator.dealloc(block, layout) };
            }
        }
    }
}
