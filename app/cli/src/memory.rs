//! What the allocator does with memory that is given back.

/// Keeps freed memory for what comes next. Layers ask for the same amounts again and again, and memory that went back to the system in
/// between comes as new pages, each cleared and mapped anew: six per cent of the time of compressing a small model. Blocks above 32 MiB,
/// the most that the allocator takes, go back as before.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const LARGEST: i32 = 32 << 20;
        // SAFETY: both set a number of the allocator, which takes its own lock; a number that it refuses changes nothing.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        }
    }
}
