//! A source as children are told of it: encoded once, however many there are.

use std::io;

use vtp_splitter::Source;

use super::input::Input;
use super::messages::Request;
use super::wire;

/// A source that children work on, ready to be told to them.
pub(crate) struct Adoption {
    pub(super) id: u64,
    pub(super) input: Input,
    /// What a child is told, encoded.
    pub(super) request: Vec<u8>,
}

impl Adoption {
    /// `id` tells sources apart.
    ///
    /// # Errors
    /// A source that is too large to be told.
    pub(super) fn new(id: u64, input: Input, source: &Source) -> io::Result<Self> {
        let request = Request::Adopt { given: input.given().clone(), source: Box::new(source.clone()) };
        Ok(Self { id, request: wire::encode(&request)?, input })
    }

    /// A chunk's packets, in an archive, in place of a source.
    ///
    /// # Errors
    /// A name that is too long.
    pub(super) fn of_chunk(id: u64, input: Input) -> io::Result<Self> {
        let request = Request::AdoptChunk { given: input.given().clone() };
        Ok(Self { id, request: wire::encode(&request)?, input })
    }
}
