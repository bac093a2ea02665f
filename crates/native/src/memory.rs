//! Giving memory back to the system when a process has come to rest.
use std::ffi::c_void;

use rustix::mm::{Advice, madvise};

/// Where the program's code is: the start and length of each mapping that can be executed.
fn code() -> Vec<(usize, usize)> {
    // Without the list nothing is given back, which costs only memory.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let executable = |line: &str| {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next()?, words.next()?);
        let named = words.nth(3).is_some_and(|path| path.starts_with('/'));
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        (named && rights == "r-xp").then_some((start, end.checked_sub(start)?))
    };
    maps.lines().filter_map(executable).collect()
}

/// Returns freed memory of the allocator, and lets go of code that only the start (or a burst)
/// needed; what is needed again comes back from the page cache.
pub fn trim() {
    // SAFETY: it takes no pointers, and works on the heap of the thread that calls it.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
    for (start, length) in code() {
        // SAFETY: the range is a private mapping of a file that is never written to (`r-xp`), so
        // its pages equal the file's and are read from there when they are touched again.
        #[allow(unsafe_code)]
        let told = unsafe { madvise(start as *mut c_void, length, Advice::LinuxDontNeed) };
        // A kernel that does not want to only costs memory.
        let _ = told;
    }
}
