//! The memory of this process.

/// Lets go of the pages of this program's code, which come back from the page cache one by one as they are needed: for a process that is
/// about to sleep for long. Where the kernel does not tell which they are, they stay.
pub fn leave_code() {
    let Ok(program) = std::fs::read_link("/proc/self/exe") else {
        return;
    };
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines().filter(|line| line.ends_with(&*program.to_string_lossy())) {
        let mut words = line.split_whitespace();
        let (Some((start, end)), Some("r-xp")) = (words.next().and_then(|range| range.split_once('-')), words.next())
        else {
            continue;
        };
        if let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16)) {
            // SAFETY: the range is a mapping of the program's file that nobody writes to, as the kernel has just said; its pages are the
            // file's, which cannot change while it runs (ETXTBSY), and are mapped again when they are touched.
            let _ = unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
        }
    }
}
