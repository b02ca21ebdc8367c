//! What follows from an answer to something that was sent, or from none: whether it has arrived, when it is sent again, and when an
//! address is told nothing any longer.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// The longest time that somebody may ask to be left alone.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long nothing arrives at an address that is told nothing any longer.
const PATIENCE: Duration = Duration::from_secs(5 * 24 * 3600);
/// As many deliveries in a row that were given up are enough, too.
const GIVEN_UP: i32 = 50;
/// The longest jitter, as a share of what is waited for.
const JITTER: f64 = 0.2;

/// What came of sending something.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// A status of HTTP, and after which time something may be sent again, if they say so.
    Status(u16, Option<Duration>),
    /// Nothing, or nothing in time.
    None,
}

/// What follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// It has arrived.
    Delivered,
    /// It is sent again, after so long.
    Again(Duration),
    /// It is given up.
    Failed,
    /// It is given up, and nothing is to be sent there any more.
    Gone,
}

/// What follows from an answer to the attempt of this number, from 1 on. `waits_s` are the seconds before the attempts after the
/// first; `chance`, from 0 to 1, spreads them.
pub fn next(attempt: u32, answer: &Answer, waits_s: &[u64], chance: f64) -> Next {
    let asked = match answer {
        Answer::Status(200..=299, _) => return Next::Delivered,
        Answer::Status(410, _) => return Next::Gone,
        // Redirections, too: whoever moves tells us so.
        Answer::Status(_, asked) => asked.unwrap_or_default().min(LONGEST),
        Answer::None => Duration::ZERO,
    };
    let wait = usize::try_from(attempt).ok().and_then(|it| waits_s.get(it.checked_sub(1)?));
    let Some(wait) = wait else { return Next::Failed };
    let wait = Duration::from_secs(*wait).mul_f64(1.0 + JITTER * chance.clamp(0.0, 1.0));
    Next::Again(wait.max(asked))
}

/// Whether an address is told nothing any longer at which nothing has arrived for so long, and so many deliveries in a row were given
/// up.
pub fn is_lost(failing_for: Duration, given_up: i32) -> bool {
    given_up >= GIVEN_UP || (given_up > 0 && failing_for >= PATIENCE)
}

/// What a header `Retry-After` asks for (RFC 9110, 10.2.3): seconds, or a date.
pub fn retry_after(text: &str, now: OffsetDateTime) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let when = OffsetDateTime::parse(text.trim(), &Rfc2822).ok()?;
    Some(Duration::try_from(when - now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WAITS: [u64; 3] = [5, 300, 1800];

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_not_taken_is_sent_again_after_longer_and_longer_until_it_is_given_up() {
        let next = |attempt| next(attempt, &Answer::Status(500, None), &WAITS, 0.0);
        let expected = [Next::Again(s(5)), Next::Again(s(300)), Next::Again(s(1800)), Next::Failed, Next::Failed];
        assert_eq!([1, 2, 3, 4, 5].map(next), expected);
    }

    #[test]
    fn only_2xx_is_taken_and_a_redirection_is_not_followed() {
        let of = |status| next(1, &Answer::Status(status, None), &WAITS, 0.0);
        assert!([200, 202, 204, 299].iter().all(|status| of(*status) == Next::Delivered));
        assert!([301, 302, 307, 400, 404, 429, 500, 503].iter().all(|status| of(*status) == Next::Again(s(5))));
        assert_eq!((of(410), next(4, &Answer::None, &WAITS, 0.0)), (Next::Gone, Next::Failed));
    }

    #[test]
    fn whoever_asks_to_be_left_alone_is_but_for_no_more_than_a_day() {
        let asked = |seconds| next(1, &Answer::Status(503, Some(s(seconds))), &WAITS, 0.0);
        assert_eq!([asked(1), asked(60), asked(1 << 40)].map(|it| it), [5, 60, 86400].map(|it| Next::Again(s(it))));
        let now = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        assert_eq!(retry_after(" 120 ", now), Some(s(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(s(30)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:07 GMT", now), Some(s(0)), "it is over");
        assert_eq!((retry_after("soon", now), retry_after("-5", now)), (None, None));
    }

    #[test]
    fn an_address_at_which_nothing_arrives_is_told_nothing_any_longer() {
        let (day, days) = (s(24 * 3600), s(5 * 24 * 3600));
        assert_eq!(
            [(day, 49), (day, 50), (days, 0), (days, 1)].map(|(it, up)| is_lost(it, up)),
            [false, true, false, true]
        );
    }

    proptest! {
        #[test]
        fn whatever_is_answered_it_ends_and_never_comes_sooner_than_was_agreed(
            attempt in 1_u32..20, status in 100_u16..600, asked in prop::option::of(0_u64..200_000),
            waits in prop::collection::vec(0_u64..100_000, 0..10), chance in 0.0..=1.0,
        ) {
            let answer = Answer::Status(status, asked.map(s));
            match next(attempt, &answer, &waits, chance) {
                Next::Delivered => prop_assert!((200..300).contains(&status)),
                Next::Gone => prop_assert_eq!(status, 410),
                Next::Failed => prop_assert!(attempt as usize > waits.len()),
                Next::Again(wait) => {
                    let agreed = s(waits[attempt as usize - 1]);
                    prop_assert!(wait >= agreed && wait >= asked.map_or(Duration::ZERO, s).min(LONGEST));
                    prop_assert!(wait <= agreed.mul_f64(1.0 + JITTER).max(LONGEST));
                }
            }
        }
    }
}
