//! Counts what a thread takes from the heap.
#![allow(unsafe_code)] // `GlobalAlloc` cannot be implemented without.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came; the counter is a plain thread-local without a
// destructor, so touching it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.with(|taken| taken.set(taken.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

/// How often this thread took memory so far.
pub fn taken() -> u64 {
    TAKEN.with(Cell::get)
}

#[test]
fn the_counter_counts() {
    let before = taken();
    drop(Box::new(1));
    assert_eq!(taken(), before + 1);
}
