//! The receiving end: takes what comes in pieces of any size, and lands it. Believes nothing that is not verified,
//! and holds one block at most.

use std::future::Future;

use bytes::Bytes;

use super::Error;
use super::landing::{Landed, Landing};
use super::protocol::{HASH, HEAD, Message, ObjectId};
use super::spool::check_size;
use super::tree::Hash;

/// Where bytes come from.
pub trait Pieces: Send {
    /// The next bytes: at least one, at most `most`.
    ///
    /// # Errors
    /// There are no more, or they don't come.
    fn piece(&mut self, most: usize) -> impl Future<Output = Result<Bytes, Error>> + Send;
}

impl<P: Pieces> Pieces for &mut P {
    fn piece(&mut self, most: usize) -> impl Future<Output = Result<Bytes, Error>> + Send {
        P::piece(self, most)
    }
}

/// Reads a message.
///
/// # Errors
/// [`Error::Protocol`] for what is none, and what [`Pieces::piece`] fails with.
pub async fn message(pieces: &mut impl Pieces) -> Result<Message, Error> {
    let misspoken = |error: super::protocol::NoMessage| Error::Protocol(error.to_string());
    let mut head = [0; HEAD];
    fill(pieces, &mut head).await?;
    let mut body = vec![0; Message::length(head).map_err(misspoken)?];
    fill(pieces, &mut body).await?;
    Message::read(&body).map_err(misspoken)
}

/// Receives an object of at most `most` bytes that begins with a [`Message::Start`].
///
/// # Errors
/// All of [`Error`]; the landing keeps what was verified.
pub async fn receive(
    pieces: &mut impl Pieces,
    landing: &mut Landing,
    id: ObjectId,
    most: u64,
) -> Result<Landed, Error> {
    match message(pieces).await? {
        Message::Start { length, from } => {
            check_size(length, most)?;
            landing.begin(length, from).await?;
            blocks(pieces, landing).await
        }
        Message::Refused(refusal) => Err(Error::refused(refusal, id, 0)),
        other => Err(unexpected(&other)),
    }
}

/// Receives the blocks of an object, and their end.
pub(crate) async fn blocks(pieces: &mut impl Pieces, landing: &mut Landing) -> Result<Landed, Error> {
    let mut bytes = Vec::new();
    while let Some(size) = landing.next() {
        let mut hash: Hash = [0; HASH];
        fill(pieces, &mut hash).await?;
        bytes.resize(size, 0);
        fill(pieces, &mut bytes).await?;
        bytes = landing.take(bytes, hash).await?;
    }
    match message(pieces).await? {
        Message::End { root } => landing.finish(root).await,
        other => Err(unexpected(&other)),
    }
}

/// What is said where something else has to be said.
pub(crate) fn unexpected(message: &Message) -> Error {
    Error::Protocol(format!("{message:?} comes where it has no place"))
}

async fn fill(pieces: &mut impl Pieces, mut bytes: &mut [u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        let piece = some(pieces, bytes.len()).await?;
        let (filled, rest) = bytes.split_at_mut(piece.len());
        filled.copy_from_slice(&piece);
        bytes = rest;
    }
    Ok(())
}

/// A piece that is as its trait says.
async fn some(pieces: &mut impl Pieces, most: usize) -> Result<Bytes, Error> {
    let piece = pieces.piece(most).await?;
    match (1..=most).contains(&piece.len()) {
        true => Ok(piece),
        false => Err(Error::Protocol(format!("{} bytes where 1 to {most} were asked for", piece.len()))),
    }
}
