//! What an hour of a core costs, if somebody has said so: `0.04 EUR` in the settings.

use std::fmt;
use std::str::FromStr;

use serde_with::{DeserializeFromStr, SerializeDisplay};

/// An amount of money for an hour of a core.
#[derive(Clone, PartialEq, Debug, SerializeDisplay, DeserializeFromStr)]
pub struct Price {
    amount: f64,
    currency: String,
}

/// What is no price.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no price: an amount and a currency (ISO 4217), as in \"0.04 EUR\"")]
pub struct NoPrice(String);

impl Price {
    /// How much.
    pub fn amount(&self) -> f64 {
        self.amount
    }

    /// Of what (ISO 4217).
    pub fn currency(&self) -> &str {
        &self.currency
    }
}

impl FromStr for Price {
    type Err = NoPrice;

    fn from_str(text: &str) -> Result<Self, NoPrice> {
        let refused = || NoPrice(text.to_owned());
        let (amount, currency) = text.trim().split_once(' ').ok_or_else(refused)?;
        let amount: f64 = amount.parse().map_err(|_| refused())?;
        let is_currency = currency.len() == 3 && currency.bytes().all(|it| it.is_ascii_uppercase());
        match amount.is_finite() && amount >= 0.0 && is_currency {
            true => Ok(Self { amount, currency: currency.to_owned() }),
            false => Err(refused()),
        }
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_an_amount_and_a_currency() {
        let price: Price = "0.04 EUR".parse().unwrap();
        assert_eq!((price.amount(), price.currency(), price.to_string()), (0.04, "EUR", "0.04 EUR".to_owned()));
        for bad in ["0.04", "EUR", "-1 EUR", "x EUR", "1 euro", "inf EUR", "1 eur", "", "1  EUR"] {
            assert!(bad.parse::<Price>().is_err(), "{bad}");
        }
    }
}
