//! Streams of QUIC as what the two ends of a transfer want, and QUIC's errors as ours.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quinn::{ConnectionError, ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::time::timeout;

use crate::transfer::Error;
use crate::transfer::object::Object;
use crate::transfer::protocol::Message;
use crate::transfer::receiving::Pieces;
use crate::transfer::sending::Sending;

/// Closes a connection whose peer may not do what it came for; the reason says why.
pub(super) const FORBIDDEN: VarInt = VarInt::from_u32(1);
/// Resets a stream that can't go on at present.
pub(super) const UNABLE: VarInt = VarInt::from_u32(2);
/// Closes a connection that is not needed any more.
pub(super) const DONE: VarInt = VarInt::from_u32(0);

/// What has been sent and received, in bytes, counted as it is handed to QUIC or taken from it.
#[derive(Debug, Default)]
pub struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
    /// Bytes of blocks that were sent, without hashes and messages.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes that were received, all included.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// The receiving half of a stream.
pub(super) struct Reader<'a> {
    pub(super) stream: RecvStream,
    pub(super) stall: Duration,
    pub(super) traffic: &'a Traffic,
}

impl Pieces for Reader<'_> {
    async fn piece(&mut self, most: usize) -> Result<Bytes, Error> {
        let chunk = timeout(self.stall, self.stream.read_chunk(most, true)).await;
        match chunk.map_err(|_| Error::Stalled(self.stall))? {
            Ok(Some(chunk)) => {
                self.traffic.received.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
                Ok(chunk.bytes)
            }
            Ok(None) => Err(Error::Lost("the stream ended early".to_owned())),
            Err(error) => Err(reading(error)),
        }
    }
}

/// The sending half of a stream.
pub(super) struct Writer<'a> {
    pub(super) stream: SendStream,
    pub(super) stall: Duration,
    pub(super) traffic: &'a Traffic,
}

impl Writer<'_> {
    pub(super) async fn say(&mut self, message: Message) -> Result<(), Error> {
        self.write(&mut [message.bytes()]).await
    }

    /// Sends an object: its start, its blocks, its end.
    pub(super) async fn send<O: Object>(&mut self, sending: &mut Sending<O>) -> Result<(), Error> {
        self.say(sending.start()).await?;
        while let Some(mut block) = sending.next().await? {
            let [_, bytes] = &block;
            let size = bytes.len() as u64;
            self.write(&mut block).await?;
            self.traffic.sent.fetch_add(size, Ordering::Relaxed);
        }
        self.say(sending.end()).await?;
        // It is open still, or has just been reset by the peer, which the next look at the stream tells.
        let _ = self.stream.finish();
        Ok(())
    }

    /// Writes all of it; what must not take too long is that some of it is taken.
    async fn write(&mut self, mut bytes: &mut [Bytes]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let written = timeout(self.stall, self.stream.write_chunks(bytes)).await;
            let written = written.map_err(|_| Error::Stalled(self.stall))?.map_err(writing)?;
            bytes = &mut bytes[written.chunks..];
        }
        Ok(())
    }
}

pub(super) fn lost(error: ConnectionError) -> Error {
    match error {
        ConnectionError::ApplicationClosed(close) if close.error_code == FORBIDDEN => {
            Error::Forbidden(String::from_utf8_lossy(&close.reason).into_owned())
        }
        ConnectionError::TransportError(error) if is_handshake(error.code.into()) => {
            Error::Forbidden(format!("the peer is not accepted: {}", error.reason))
        }
        ConnectionError::ConnectionClosed(close) if is_handshake(close.error_code.into()) => {
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            Error::Forbidden(format!("the peer does not accept this one: {reason}"))
        }
        other => Error::Lost(other.to_string()),
    }
}

/// Whether a connection ended with an alert of TLS (RFC 9001, 4.8).
fn is_handshake(code: u64) -> bool {
    (0x100..0x200).contains(&code)
}

fn reading(error: ReadError) -> Error {
    match error {
        ReadError::ConnectionLost(error) => lost(error),
        ReadError::Reset(UNABLE) => Error::Unable,
        other => Error::Lost(other.to_string()),
    }
}

fn writing(error: WriteError) -> Error {
    match error {
        WriteError::ConnectionLost(error) => lost(error),
        other => Error::Lost(other.to_string()),
    }
}
