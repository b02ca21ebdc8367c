//! The wall around FFmpeg: handles that own and drop, verbs of the domain, and no raw error integers above it.
//!
//! Everything here works on untrusted bytes; nothing here decides what to do with the result.

pub mod audio;
mod codecs;
pub mod condition;
pub mod cpu;
pub mod decode;
pub mod demux;
pub mod diagnose;
pub mod encode;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub mod motion;
pub mod picture;
pub mod scale;
#[cfg(test)]
pub(crate) mod testing;
pub mod tone;
pub mod trace;
pub mod vmaf;

pub use demux::Demuxer;
pub use error::{Error, Kind};
pub use picture::Picture;

/// Has the allocator give picture buffers back to the system when they are freed.
///
/// Left alone, glibc raises its threshold for that with every large buffer that is freed, and then keeps the buffers
/// of finished encoders in the heaps of their threads, where they fit the next ones badly: memory grows with the
/// number of chunks. Call it once, before other threads start. Other allocators are left as they are.
pub fn give_large_buffers_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const MEBIBYTE: i32 = 1 << 20;
        // SAFETY: the call changes where later allocations come from, and nothing else; a refusal changes nothing.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MEBIBYTE) };
    }
}

/// Has encoders tell of errors only, where they write to the standard error stream by themselves. Call it before other
/// threads start: once there are any, it changes nothing.
pub fn silence_encoders() {
    if is_alone() {
        // SAFETY: both strings end in a zero byte and are copied; there is no other thread that could look at the
        // environment meanwhile.
        unsafe { libc::setenv(c"SVT_LOG".as_ptr(), c"1".as_ptr(), 0) };
    }
}

/// Whether the calling thread is the only one of its process, as far as the system tells.
fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// Has FFmpeg tell of errors on the standard error stream.
pub fn log_errors() {
    ffmpeg_next::util::log::set_level(ffmpeg_next::util::log::Level::Error);
}

/// Quietens FFmpeg's own log: what matters comes back as errors and counts.
pub fn silence_log() {
    ffmpeg_next::util::log::set_level(ffmpeg_next::util::log::Level::Fatal);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_environment_is_left_alone_where_there_are_other_threads() {
        let (done, waits) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || waits.recv());
        assert!(!super::is_alone());
        drop(done);
        assert!(other.join().unwrap().is_err());
    }
}
