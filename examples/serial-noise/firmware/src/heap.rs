//! The heap: a fixed array, and how much of it was ever in use.
#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, RefCell};
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};

use example_serial_firmware::{HEAP, HeapUse};
use linked_list_allocator::Heap;

static mut MEMORY: [MaybeUninit<u8>; HEAP] = [MaybeUninit::uninit(); HEAP];

/// An allocator that counts.
pub(crate) struct Counted {
    heap: RefCell<Heap>,
    peak: Cell<usize>,
}

// SAFETY: the program has one thread, and no interrupt that allocates. A board with such has a critical section
// here, as `embedded-alloc` does.
unsafe impl Sync for Counted {}

impl Counted {
    pub(crate) const fn new() -> Self {
        Self { heap: RefCell::new(Heap::empty()), peak: Cell::new(0) }
    }

    /// Gives it its memory. Called once, before anything is allocated.
    pub(crate) fn init(&self) {
        // SAFETY: nobody else takes the array, and this is called once.
        unsafe { self.heap.borrow_mut().init((&raw mut MEMORY).cast(), HEAP) };
    }

    pub(crate) fn used(&self) -> HeapUse {
        HeapUse { now: self.heap.borrow().used(), peak: self.peak.get() }
    }
}

// SAFETY: the heap hands out what is free, as the layout asks, and takes back what it handed out.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut heap = self.heap.borrow_mut();
        let allocated = heap.allocate_first_fit(layout);
        self.peak.set(self.peak.get().max(heap.used()));
        allocated.map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if let Some(at) = NonNull::new(at) {
            // SAFETY: the caller gives back what it was given, with its layout.
            unsafe { self.heap.borrow_mut().deallocate(at, layout) };
        }
    }
}
