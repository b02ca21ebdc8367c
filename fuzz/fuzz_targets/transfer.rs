//! Any bytes as what one peer of a fleet says to another. What is understood can be said again.

#![no_main]

use vtp_fleet::transfer::protocol::{HEAD, Message};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<HEAD>() else { return };
    let Ok(length) = Message::length(*head) else { return };
    let Some(Ok(message)) = rest.get(..length).map(Message::read) else { return };
    assert_eq!(Message::read(&message.bytes()[HEAD..]), Ok(message));
});
