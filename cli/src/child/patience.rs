//! How often work that a child died at is given to another.

use super::death::Death;

/// So many children may be killed by somebody else before that counts as a failure of what they work on.
const MOST_KILLS: u32 = 8;
/// So often work is begun that children don't live through: as often as the coordinator has a chunk made.
const MOST_ATTEMPTS: u32 = 3;

/// What children have died of that worked on the same.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    kills: u32,
    deaths: u32,
}

impl Patience {
    /// Whether another child is to go on after this death, which was somebody else's doing: that costs time and no attempt.
    pub(super) fn outlasts_kill(&mut self, death: &Death) -> bool {
        if death.cause.is_own() {
            return false;
        }
        self.kills += 1;
        self.kills <= MOST_KILLS
    }

    /// The same of any death, where nobody else counts attempts.
    pub(crate) fn outlasts(&mut self, death: &Death) -> bool {
        if !death.cause.is_own() {
            return self.outlasts_kill(death);
        }
        self.deaths += 1;
        self.deaths < MOST_ATTEMPTS
    }
}

#[cfg(test)]
mod tests {
    use super::super::death::Cause;
    use super::*;

    fn died_of(signal: i32) -> Death {
        Death { cause: Cause::Signal(signal), said: Vec::new() }
    }

    #[test]
    fn work_is_begun_three_times_and_kills_do_not_count() {
        let mut patience = Patience::default();
        let deaths = [11, 9, 9, 11, 15, 11].map(|signal| patience.outlasts(&died_of(signal)));
        assert_eq!(deaths, [true, true, true, true, true, false]);
        let mut patience = Patience::default();
        assert!((0..MOST_KILLS).all(|_| patience.outlasts(&died_of(9))) && !patience.outlasts(&died_of(9)));
    }

    #[test]
    fn where_others_count_attempts_only_kills_cost_none() {
        let mut patience = Patience::default();
        assert!(patience.outlasts_kill(&died_of(9)) && !patience.outlasts_kill(&died_of(11)));
    }
}
