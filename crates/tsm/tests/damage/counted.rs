//! An allocator that counts, for each thread, the bytes it has asked for.
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes asked for and not given back; memory that another thread gives back stays counted here.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    /// The most that `LIVE` has been.
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// What `work` returns, and the most memory it held at a time, in bytes asked of the allocator and beyond what was held
/// before. While a block of memory grows, the old and the new one count.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let start = LIVE.get();
    PEAK.set(start);
    let result = work();
    (result, usize::try_from(PEAK.get() - start).expect("the peak is not below the start"))
}

fn took(layout: Layout) {
    let live = LIVE.get() + layout.size().cast_signed();
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

fn gave_back(layout: Layout) {
    LIVE.set(LIVE.get() - layout.size().cast_signed());
}

// SAFETY: every call goes to the system's allocator with the arguments it came with; what is counted beside it is in
// thread-locals that need neither memory nor a destructor. `realloc` and `alloc_zeroed` stay with the trait's own, which
// call these two.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout);
        // SAFETY: the caller promises a layout that has a size.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        gave_back(layout);
        // SAFETY: the caller promises memory that `alloc` returned for this layout, and `alloc` had it from the system.
        unsafe { System.dealloc(memory, layout) }
    }
}
