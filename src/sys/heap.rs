//! Where memory comes from in the static program. The allocator of musl asks the kernel for few pages at a time and gives them back at
//! once: a third of all system calls of a container's start were its.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::{Allocator, Dlmalloc};

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: Heap = Heap::new();

/// Memory that is asked of the kernel at once: at first little, for a supervisor needs no more; then as much as was needed before.
const LEAST: usize = 64 << 10;
const MOST: usize = 256 << 10;

/// The heap of dlmalloc behind a lock that costs two instructions where nobody else wants it; that of its own crate is musl's, and was a
/// tenth of all that an interpreter takes to be made.
struct Heap(Mutex<Dlmalloc<Pages>>);

impl Heap {
    const fn new() -> Heap {
        Heap(Mutex::new(Dlmalloc::new_with_allocator(Pages {
            taken: AtomicUsize::new(0),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Dlmalloc<Pages>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: each call is one of dlmalloc, which has the same contract, made while nobody else makes one.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any layout may be asked for.
        unsafe { self.lock().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any layout may be asked for.
        unsafe { self.lock().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller has the memory from here, by this layout.
        unsafe { self.lock().free(memory, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller has the memory from here, by this layout.
        unsafe { self.lock().realloc(memory, layout.size(), layout.align(), size) }
    }
}

/// Pages of the kernel's.
struct Pages {
    /// Bytes that were ever asked for.
    taken: AtomicUsize,
}

// SAFETY: what is given is mapped memory that nobody else has, as long as it says, and what is taken back was given.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let before = self.taken.load(Ordering::Relaxed);
        let size = size.max(before.clamp(LEAST, MOST));
        self.taken.store(before.saturating_add(size), Ordering::Relaxed);
        // Who has needed so much will need this; to be given it at once costs less than a fault for each page.
        let populate = if before >= MOST && size <= MOST {
            libc::MAP_POPULATE
        } else {
            0
        };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | populate;
        // SAFETY: a new mapping at no particular place takes nothing from anybody.
        let memory = unsafe { libc::mmap(null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        match memory == libc::MAP_FAILED {
            true => (null_mut(), 0, 0),
            false => (memory.cast(), size, 0),
        }
    }

    fn remap(&self, memory: *mut u8, size: usize, new_size: usize, can_move: bool) -> *mut u8 {
        let flags = if can_move { libc::MREMAP_MAYMOVE } else { 0 };
        // SAFETY: dlmalloc gives what it had from `alloc`, and uses no address of it after it was moved.
        let moved = unsafe { libc::mremap(memory.cast(), size, new_size, flags) };
        match moved == libc::MAP_FAILED {
            true => null_mut(),
            false => moved.cast(),
        }
    }

    fn free_part(&self, memory: *mut u8, size: usize, new_size: usize) -> bool {
        // SAFETY: dlmalloc gives up the end of what it had from `alloc`.
        unsafe { libc::munmap(memory.add(new_size).cast(), size - new_size) == 0 }
    }

    fn free(&self, memory: *mut u8, size: usize) -> bool {
        // SAFETY: dlmalloc gives up what it had from `alloc`.
        unsafe { libc::munmap(memory.cast(), size) == 0 }
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        // SAFETY: asks for a number.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).unwrap_or(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills memory with its own number, and looks for it later.
    fn exercise(heap: &Heap, number: u8) {
        let mut held = Vec::new();
        for round in 0..2_000usize {
            let size = (round * 7919) % (if round % 100 == 0 { 3 << 20 } else { 3_000 }) + 1;
            let align = 1 << (round % 8);
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the layout has a size; what is written lies in it.
            let memory = unsafe {
                let memory = heap.alloc_zeroed(layout);
                assert!(!memory.is_null() && (memory as usize).is_multiple_of(align));
                assert!(std::slice::from_raw_parts(memory, size).iter().all(|byte| *byte == 0));
                memory.write_bytes(number, size);
                memory
            };
            held.push((memory as usize, layout));
            if round % 3 == 0 {
                let (memory, layout) = held.swap_remove((round * 31) % held.len());
                let memory = memory as *mut u8;
                // SAFETY: the memory is of this heap and layout, and nobody else's.
                unsafe {
                    let longer = heap.realloc(memory, layout, layout.size() + 1000);
                    let kept = std::slice::from_raw_parts(longer, layout.size());
                    assert!(kept.iter().all(|byte| *byte == number));
                    let layout = Layout::from_size_align(layout.size() + 1000, layout.align()).unwrap();
                    heap.dealloc(longer, layout);
                }
            }
        }
        for (memory, layout) in held {
            let memory = memory as *mut u8;
            // SAFETY: the memory is of this heap and layout, and nobody else's.
            unsafe {
                let kept = std::slice::from_raw_parts(memory, layout.size());
                assert!(kept.iter().all(|byte| *byte == number));
                heap.dealloc(memory, layout);
            }
        }
    }

    #[test]
    fn what_one_thread_has_no_other_gets() {
        let heap = Heap::new();
        std::thread::scope(|scope| {
            for number in 1..5 {
                let heap = &heap;
                scope.spawn(move || exercise(heap, number));
            }
        });
    }

    #[test]
    fn who_needs_little_asks_for_little() {
        let pages = Pages {
            taken: AtomicUsize::new(0),
        };
        let sizes = [1, 2, 3, 4, 5].map(|_| pages.alloc(LEAST).1);
        assert_eq!(sizes, [LEAST, LEAST, 2 * LEAST, MOST, MOST]);
        assert_eq!(pages.alloc(10 * MOST).1, 10 * MOST);
    }
}
