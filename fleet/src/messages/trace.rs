//! Which trace something belongs to, and below which of its spans: the context of [W3C Trace Context], as it travels in messages
//! and as text. What becomes of spans is not its concern.
//!
//! [W3C Trace Context]: https://www.w3.org/TR/trace-context/

use std::fmt;
use std::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

/// A span of a trace, for whoever begins another below it. Without one, [`NONE`](Self::NONE), nothing is traced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Archive, Serialize, Deserialize)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

/// The flag of spans that are recorded.
const SAMPLED: u8 = 1;

/// A text that is no `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "no traceparent: it is 00-, 32 digits, -, 16 digits, -, 2 digits, in lower case hexadecimal and not all of them 0"
)]
pub struct NoTraceContext;

impl TraceContext {
    /// No trace.
    pub const NONE: Self = Self { trace: [0; 16], span: [0; 8], flags: 0 };

    /// The span of this number in the trace of this number. A number of 0 names nothing.
    pub fn new(trace: u128, span: u64, sampled: bool) -> Self {
        if trace == 0 || span == 0 {
            return Self::NONE;
        }
        let flags = if sampled { SAMPLED } else { 0 };
        Self { trace: trace.to_be_bytes(), span: span.to_be_bytes(), flags }
    }

    /// The trace's number.
    pub fn trace(self) -> u128 {
        u128::from_be_bytes(self.trace)
    }

    /// The span's number.
    pub fn span(self) -> u64 {
        u64::from_be_bytes(self.span)
    }

    /// Whether it names no span.
    pub fn is_none(self) -> bool {
        self.trace() == 0 || self.span() == 0
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(self) -> bool {
        !self.is_none() && self.flags & SAMPLED != 0
    }

    /// The span called `name` below this one. Its number follows from both, so whoever is started again names the same span.
    pub fn below(self, name: &str) -> Self {
        if self.is_none() {
            return Self::NONE;
        }
        let hash = blake3::hash(&[&self.trace[..], &self.span, name.as_bytes()].concat());
        let mut span = [0; 8];
        span.copy_from_slice(&hash.as_bytes()[..8]);
        // One of 2^64 would name nothing.
        span[7] |= u8::from(span == [0; 8]);
        Self { span, ..self }
    }
}

/// As in the header `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace(), self.span(), self.flags)
    }
}

/// Version 00, and later ones as far as that goes.
impl FromStr for TraceContext {
    type Err = NoTraceContext;

    fn from_str(text: &str) -> Result<Self, NoTraceContext> {
        let digits = |range: std::ops::Range<usize>| {
            let part = text.get(range).ok_or(NoTraceContext)?;
            let is_hex = part.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
            if is_hex { u128::from_str_radix(part, 16).map_err(|_| NoTraceContext) } else { Err(NoTraceContext) }
        };
        let (version, trace, span, flags) = (digits(0..2)?, digits(3..35)?, digits(36..52)?, digits(53..55)?);
        let dashes = [2, 35, 52].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
        let end = match version {
            0 => text.len() == 55,
            255 => false,
            _ => text.len() == 55 || text.as_bytes().get(55) == Some(&b'-'),
        };
        let span = u64::try_from(span).map_err(|_| NoTraceContext)?;
        let context = Self::new(trace, span, flags & u128::from(SAMPLED) != 0);
        if dashes && end && !context.is_none() { Ok(context) } else { Err(NoTraceContext) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_told_as_the_standard_has_it() {
        let context: TraceContext = TEXT.parse().expect("it is the standard's example");
        assert_eq!(context.trace(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.span(), 0x00f0_67aa_0ba9_02b7);
        assert!(context.is_sampled() && !context.is_none());
        assert_eq!(context.to_string(), TEXT);
        let unsampled: TraceContext = TEXT.replace("-01", "-00").parse().expect("it is valid");
        assert!(!unsampled.is_sampled() && !unsampled.is_none());
    }

    #[test]
    fn what_is_no_context_is_refused() {
        let zeros = |digits: usize| "0".repeat(digits);
        for text in [
            "",
            "00",
            &TEXT.to_uppercase(),
            &TEXT[1..],
            &format!("{TEXT}-"),
            &format!("{TEXT}0"),
            &TEXT.replace('-', "_"),
            &TEXT.replacen("00-", "ff-", 1),
            &TEXT.replace("4bf", "+bf"),
            &TEXT.replace("00f067aa0ba902b7", &zeros(16)),
            &TEXT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &zeros(32)),
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(NoTraceContext), "{text}");
        }
        let later = format!("{}-more", TEXT.replacen("00-", "01-", 1));
        assert_eq!(later.parse(), TEXT.parse::<TraceContext>(), "a later version may say more");
    }

    #[test]
    fn a_span_below_another_has_the_same_number_each_time_and_another_by_another_name() {
        let context: TraceContext = TEXT.parse().expect("it is valid");
        let below = context.below("job 7");
        assert_eq!(below, context.below("job 7"));
        assert_eq!((below.trace(), below.is_sampled()), (context.trace(), true));
        assert_ne!(below.span(), context.span());
        assert_ne!(below.span(), context.below("job 8").span());
        assert_ne!(below.below("1").span(), context.below("1").span());
        assert_eq!(TraceContext::NONE.below("job 7"), TraceContext::NONE);
        assert!(TraceContext::new(0, 1, true).is_none() && TraceContext::new(1, 0, true).is_none());
    }

    proptest! {
        #[test]
        fn what_is_told_is_understood(trace in 1u128.., span in 1u64.., sampled: bool) {
            let context = TraceContext::new(trace, span, sampled);
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }

        #[test]
        fn any_text_is_understood_or_refused(text: String) {
            let _ = text.parse::<TraceContext>();
        }
    }
}
