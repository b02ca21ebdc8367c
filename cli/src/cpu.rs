//! CPU time of processes, as the system tells it (proc_pid_stat(5)).

/// Hundredths of a second is what the system counts in.
const TICKS_A_SECOND: f64 = 100.0;

/// CPU seconds in user and system mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CpuTime {
    /// Of the process itself.
    pub(crate) own_s: f64,
    /// Of its children that have ended and were waited for.
    pub(crate) children_s: f64,
}

impl CpuTime {
    /// That of the process of this number, or of `self`; `None` where the system does not tell.
    pub(crate) fn of(process: &str) -> Option<Self> {
        Self::read(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    fn read(stat: &str) -> Option<Self> {
        // The second field is a name in brackets that may hold anything; the times are the fields 14 to 17.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(4).filter_map(|it| it.parse().ok()).collect();
        let [user, system, of_children, system_of_children] = ticks[..] else { return None };
        Some(Self {
            own_s: (user + system) / TICKS_A_SECOND,
            children_s: (of_children + system_of_children) / TICKS_A_SECOND,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b ) R 1 7 7 0 -1 4194560 1 2 3 4 150 50 20 5 20 0 1 0 99";
        assert_eq!(CpuTime::read(stat), Some(CpuTime { own_s: 2.0, children_s: 0.25 }));
        assert_eq!(CpuTime::read("7 (vtp) R 1"), None);
    }

    #[test]
    fn the_cpu_of_this_process_is_known() {
        let mut sum = 0_u64;
        let started = std::time::Instant::now();
        while started.elapsed().as_millis() < 30 {
            sum = std::hint::black_box(sum + 1);
        }
        let own_s = CpuTime::of("self").unwrap().own_s;
        assert!(own_s > 0.0 && own_s < 1000.0, "{own_s} after {sum} steps");
    }
}
