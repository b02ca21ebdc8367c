//! What is told of limits with an answer: `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers, in structured
//! fields (RFC 9651). A quota that comes back bit by bit is told so: `q` are the requests at once and `w` the seconds in which all of
//! them come back; `r` are those that are left and `t` the seconds until it is one more, which is `Retry-After` where none is.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::gcra::{self, Left, Quota};
use super::rules::Policy;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A limit, and what is left of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) policy: Policy,
    pub(super) quota: Quota,
    pub(super) left: Left,
}

/// Tells of these limits, if there are any.
pub(super) fn tell(told: &[Told], headers: &mut HeaderMap) {
    let policy = |it: &Told| {
        let (q, w) = (it.quota.burst(), gcra::seconds(it.quota.whole()));
        format!("\"{}\";q={q};w={w}", it.policy.name())
    };
    let limit = |it: &Told| {
        let (r, t) = (it.left.requests, gcra::seconds(it.left.next));
        format!("\"{}\";r={r};t={t}", it.policy.name())
    };
    let all = |one: &dyn Fn(&Told) -> String| told.iter().map(one).collect::<Vec<_>>().join(", ");
    for (name, text) in [(POLICY, all(&policy)), (LIMIT, all(&limit))] {
        // Of names and numbers any text is a header.
        if let (false, Ok(value)) = (told.is_empty(), HeaderValue::from_str(&text)) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_as_quotas_that_come_back_bit_by_bit() {
        let told = |policy, (per_minute, burst), tat| {
            let quota = Quota::new(per_minute, burst).unwrap();
            Told { policy, quota, left: gcra::left(quota, tat, 0) }
        };
        let mut headers = HeaderMap::new();
        tell(&[], &mut headers);
        assert!(headers.is_empty());
        // Three of 20 were used, of which one comes back each 6 s; and one of 100.
        let all = [told(Policy::Transcode, (10, 20), 17_000_000), told(Policy::User, (100, 100), 600_000)];
        tell(&all, &mut headers);
        assert_eq!(headers[POLICY], "\"transcode\";q=20;w=120, \"user\";q=100;w=60");
        assert_eq!(headers[LIMIT], "\"transcode\";r=17;t=5, \"user\";r=99;t=1");
    }
}
