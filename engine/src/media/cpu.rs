//! The CPU clocks of the calling thread and of its process. They measure; they report to nobody.

/// CPU seconds that the calling thread has used so far; zero where the system does not tell.
pub fn thread_seconds() -> f64 {
    seconds(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU seconds that all threads of this process have used so far; zero where the system does not tell.
pub fn process_seconds() -> f64 {
    seconds(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn seconds(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid `timespec` that the call may fill.
    let code = unsafe { libc::clock_gettime(clock, &mut time) };
    if code == 0 { time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_counts_work_and_not_sleep() {
        let before = super::thread_seconds();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(super::thread_seconds() - before < 0.04);
        let started = std::time::Instant::now();
        let mut sum = 0_u64;
        while super::thread_seconds() - before < 0.01 && started.elapsed().as_secs() < 10 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(super::thread_seconds() - before >= 0.01);
        assert!(super::process_seconds() >= super::thread_seconds());
    }
}
