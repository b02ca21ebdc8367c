//! The generic cell rate algorithm (ITU-T I.371), as arithmetic: a quota, when it will be unused again, and now say whether a
//! request passes. It reads no clock and keeps nothing; `db/rate_limits.rs` says the same in SQL.

use std::time::Duration;

/// A time in microseconds, on whichever clock.
pub type Micros = i64;

/// Microseconds of a minute.
const MINUTE: Micros = 60_000_000;
/// The most requests a minute, and at once, that a quota may allow.
pub const MOST: u32 = 1_000_000;

/// So many requests at once, and so many a minute after that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    per_minute: u32,
    burst: u32,
}

impl Quota {
    /// A quota; `None` if one of both is 0 or more than [`MOST`].
    pub fn new(per_minute: u32, burst: u32) -> Option<Self> {
        let is_one = |number| (1..=MOST).contains(&number);
        (is_one(per_minute) && is_one(burst)).then_some(Self { per_minute, burst })
    }

    /// Requests a minute.
    pub fn per_minute(self) -> u32 {
        self.per_minute
    }

    /// Requests at once, where nothing is used.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// After how long a request that was used is there again; rounded so that no more than the quota passes.
    pub fn interval(self) -> Micros {
        let rate = Micros::from(self.per_minute);
        (MINUTE + rate - 1) / rate
    }

    /// After how long all of it is there again.
    pub fn whole(self) -> Micros {
        self.interval() * Micros::from(self.burst)
    }
}

/// Whether a request passes, and what it leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// It passes.
    pub is_allowed: bool,
    /// When the quota is unused again.
    pub tat: Micros,
}

/// Whether a request passes `now`, where the quota was to be unused again at `tat`, if it was used at all.
///
/// A `tat` beyond what this quota can come to is of another quota, or of a clock that was set back: it counts as all used up.
pub fn decide(quota: Quota, tat: Option<Micros>, now: Micros) -> Verdict {
    let latest = now.saturating_add(quota.whole());
    let used = tat.unwrap_or(now).clamp(now, latest);
    let next = used.saturating_add(quota.interval());
    match next <= latest {
        true => Verdict { is_allowed: true, tat: next },
        false => Verdict { is_allowed: false, tat: used },
    }
}

/// What is left of a quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Requests that pass at once.
    pub requests: u32,
    /// In how many microseconds it is one more: where none passes, when the next does.
    pub next: Micros,
}

/// What is left `now` of a quota that is unused again at `tat`.
pub fn left(quota: Quota, tat: Micros, now: Micros) -> Left {
    let used = tat.saturating_sub(now).clamp(0, quota.whole());
    let requests = (quota.whole() - used) / quota.interval();
    let next = used - quota.whole() + (requests + 1) * quota.interval();
    Left { requests: u32::try_from(requests).unwrap_or(quota.burst), next }
}

/// Whole seconds, rounded up: who waits so long has waited long enough.
pub fn seconds(time: Micros) -> u64 {
    let time = Duration::from_micros(u64::try_from(time).unwrap_or_default());
    time.as_secs() + u64::from(time.subsec_micros() > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quotas() -> impl Strategy<Value = Quota> {
        (1u32..5000, 1u32..50).prop_map(|(per_minute, burst)| Quota::new(per_minute, burst).unwrap())
    }

    /// Some requests at times that go on, with pauses of up to a few intervals.
    fn arrivals() -> impl Strategy<Value = (Quota, Vec<Micros>)> {
        let pauses = prop::collection::vec(0.0f64..2.5, 1..200);
        (quotas(), pauses).prop_map(|(quota, pauses)| {
            let mut now = 1_000_000;
            let times = pauses.into_iter().map(|pause| {
                // Many come at once.
                now += (quota.interval() as f64 * (pause - 1.5).max(0.0)) as Micros;
                now
            });
            (quota, times.collect())
        })
    }

    /// When those passed that passed.
    fn passed(quota: Quota, times: &[Micros]) -> Vec<Micros> {
        let mut tat = None;
        let allowed = times.iter().copied().filter(|now| {
            let verdict = decide(quota, tat, *now);
            tat = Some(verdict.tat);
            verdict.is_allowed
        });
        allowed.collect()
    }

    proptest! {
        #[test]
        fn in_no_window_pass_more_than_a_burst_and_the_rate((quota, times) in arrivals()) {
            let passed = passed(quota, &times);
            for (first, from) in passed.iter().enumerate() {
                for (last, until) in passed.iter().enumerate().skip(first) {
                    let most = f64::from(quota.burst()) + (until - from) as f64 * f64::from(quota.per_minute()) / MINUTE as f64;
                    prop_assert!((last - first + 1) as f64 <= most, "{} in {} us", last - first + 1, until - from);
                }
            }
        }

        #[test]
        fn who_was_refused_passes_after_just_the_time_that_was_told((quota, times) in arrivals()) {
            let mut tat = None;
            for now in times {
                let verdict = decide(quota, tat, now);
                let left = left(quota, verdict.tat, now);
                prop_assert!(left.next > 0 && left.next <= quota.interval());
                prop_assert!(left.requests < quota.burst());
                if !verdict.is_allowed {
                    prop_assert_eq!(left.requests, 0);
                    prop_assert!(decide(quota, Some(verdict.tat), now + left.next).is_allowed);
                    prop_assert!(!decide(quota, Some(verdict.tat), now + left.next - 1).is_allowed);
                }
                tat = Some(verdict.tat);
            }
        }

        #[test]
        fn as_many_pass_at_once_as_are_said_to_be_left((quota, times) in arrivals(), later in 0i64..10_000_000) {
            let mut tat = None;
            for now in &times {
                tat = Some(decide(quota, tat, *now).tat);
            }
            let now = times.last().unwrap() + later;
            let told = left(quota, tat.unwrap(), now).requests;
            let mut count = 0;
            while let Verdict { is_allowed: true, tat: next } = decide(quota, tat, now) {
                (tat, count) = (Some(next), count + 1);
            }
            prop_assert_eq!(count, told);
        }

        #[test]
        fn nobody_who_keeps_to_the_rate_is_refused(quota in quotas(), count in 1usize..200) {
            let times: Vec<Micros> = (0..count).map(|number| number as Micros * quota.interval()).collect();
            prop_assert_eq!(passed(quota, &times), times);
        }

        #[test]
        fn a_time_of_another_quota_or_clock_costs_no_more_than_all_of_this_one(quota in quotas(), far in 0i64..i64::MAX / 2) {
            let verdict = decide(quota, Some(far), 0);
            prop_assert!(verdict.tat <= quota.whole());
            prop_assert!(decide(quota, Some(far), far).is_allowed);
        }
    }

    #[test]
    fn a_quota_is_never_rounded_up_and_none_of_nothing() {
        let seven = Quota::new(7, 3).unwrap();
        assert_eq!((seven.interval(), seven.whole()), (8_571_429, 25_714_287));
        assert!(Quota::new(0, 1).is_none() && Quota::new(1, 0).is_none() && Quota::new(MOST + 1, 1).is_none());
        assert_eq!([0, 1, 1_000_000, 1_000_001].map(seconds), [0, 1, 1, 2]);
    }
}
