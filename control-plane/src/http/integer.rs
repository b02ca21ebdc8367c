//! Whole numbers, also those that are written with a point: to JSON Schema 5.0 is an integer. It refuses fractions, and what a float
//! can't say exactly.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// Floats are exact below this.
const EXACT: f64 = (1_u64 << 53) as f64;

/// For `#[serde(deserialize_with)]` of whole numbers.
pub(crate) fn integer<'de, T: TryFrom<i128>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Whole(PhantomData))
}

/// The same for a list of them that may be absent.
pub(crate) fn integers<'de, T: TryFrom<i128>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let numbers = Vec::<Number<T>>::deserialize(deserializer)?;
    Ok(Some(numbers.into_iter().map(|Number(number)| number).collect()))
}

struct Number<T>(T);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        integer(deserializer).map(Self)
    }
}

struct Whole<T>(PhantomData<T>);

impl<T: TryFrom<i128>> Visitor<'_> for Whole<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number that is not too large")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::try_from(number.into()).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::try_from(number.into()).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        let whole = (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i128);
        let read = whole.and_then(|it| T::try_from(it).ok());
        read.ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }
}

#[cfg(test)]
mod tests {
    fn read(text: &str) -> Option<u64> {
        super::integer(&mut serde_json::Deserializer::from_str(text)).ok()
    }

    #[test]
    fn a_whole_number_may_have_a_point_and_a_fraction_is_none() {
        assert_eq!([read("5"), read("5.0"), read("5e2")], [Some(5), Some(5), Some(500)]);
        assert_eq!(read("18446744073709551615"), Some(u64::MAX));
        for bad in ["5.5", "-1", "-1.0", "1e30", "null", "\"5\"", "[5]", "true"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
