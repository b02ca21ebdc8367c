//! Any bytes as what the bus of a fleet brings. What is understood can be said again.

#![no_main]

use vtp_fleet::messages::{self, Control, Ended, Found, Lookup, Offer, Reply, Report, Request};

macro_rules! each {
    ($data:ident: $($message:ty),+) => {
        $(if let Ok(message) = messages::decode::<$message>($data) {
            let again = messages::encode(&message).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(messages::decode::<$message>(&again), Ok(message));
        })+
    };
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    each!(data: Offer, Report, Control, Request, Reply, Ended, Lookup, Found);
});
