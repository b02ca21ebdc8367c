//! Messages over a socket: four bytes of length, little-endian, then a value in postcard's format. It trusts no length
//! before the bytes are there.

use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No message is longer.
pub(super) const LONGEST: usize = 1 << 30;
/// Bytes that are read at a time.
const BLOCK: usize = 1 << 16;

/// A message as it goes over the socket.
///
/// # Errors
/// One that is too long.
pub(super) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut bytes = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
    match u32::try_from(bytes.len() - 4) {
        Ok(length) if length as usize <= LONGEST => bytes[..4].copy_from_slice(&length.to_le_bytes()),
        _ => return Err(io::Error::other("a message is too long")),
    }
    Ok(bytes)
}

/// Waits for the next message, and reads nothing beyond it; `None` once the other end is gone.
///
/// # Errors
/// What comes is no such message.
pub(super) fn receive<T: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = checked(length, LONGEST)?;
    let mut bytes = Vec::new();
    if stream.take(length as u64).read_to_end(&mut bytes)? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    decode(&bytes).map(Some)
}

/// Any bytes as what a child might say: each message that is read is one that can be sent.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(data: &[u8]) {
    let mut inbox = Inbox { bytes: data.to_vec(), read: 0 };
    while let Ok(Some(message)) = inbox.complete::<super::messages::Reply>(LONGEST) {
        assert!(encode(&message).is_ok(), "{message:?}");
    }
    let mut inbox = Inbox { bytes: data.to_vec(), read: 0 };
    while let Ok(Some(message)) = inbox.complete::<super::messages::Request>(LONGEST) {
        assert!(encode(&message).is_ok(), "{message:?}");
    }
}

/// Messages of each size and kind, as a child sends them.
#[cfg(test)]
pub(crate) fn examples() -> Vec<Vec<u8>> {
    use super::messages::{Failure, Reply};
    use vtp_engine::chunk::Sample;
    let failure = vtp_splitter::Error::Corrupt("not one picture can be decoded".to_owned());
    let replies = [
        Reply::Ready { missing: vec!["Landlock: off".to_owned()] },
        Reply::Alive,
        Reply::Hash([7; 32]),
        Reply::Sample { place: 1, sample: Sample { pts: -1, size: 5, sync: true }, bytes: b"bytes".to_vec() },
        Reply::Unit { track: 0, bytes: vec![0; 300] },
        Reply::SoundReached { seconds: 1.5 },
        Reply::Failed(Failure::Source(failure)),
    ];
    let all: Vec<Vec<u8>> = replies.iter().filter_map(|reply| encode(reply).ok()).collect();
    vec![all.concat()]
}

fn checked(length: [u8; 4], longest: usize) -> io::Result<usize> {
    match u32::from_le_bytes(length) as usize {
        length if length <= longest => Ok(length),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long")),
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a message with something behind it")),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

/// Sends a descriptor with one byte.
///
/// # Errors
/// The other end is gone.
pub(super) fn send_descriptor(stream: &UnixStream, descriptor: &impl AsFd) -> io::Result<()> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(stream, &[io::IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for a descriptor.
///
/// # Errors
/// Something else comes.
pub(super) fn receive_descriptor(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(stream, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptor = rights.next().and_then(|mut descriptors| descriptors.next());
    descriptor.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no descriptor came"))
}

/// Messages that come in while somebody waits for no longer than they may.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// Those of `bytes` that were read.
    read: usize,
}

/// What waiting for a message came to.
#[derive(Debug)]
pub(super) enum Came<T> {
    Message(T),
    /// Nothing, in that time.
    Nothing,
    /// The other end is gone.
    End,
}

impl Inbox {
    /// The next message, of so many bytes at most, if it comes within `wait`.
    ///
    /// # Errors
    /// What comes is no such message.
    pub(super) fn next<T: DeserializeOwned>(
        &mut self,
        mut stream: &UnixStream,
        wait: Duration,
        longest: usize,
    ) -> io::Result<Came<T>> {
        loop {
            if let Some(message) = self.complete(longest)? {
                return Ok(Came::Message(message));
            }
            // Once for many messages, as they come in blocks.
            self.bytes.drain(..std::mem::take(&mut self.read));
            stream.set_read_timeout(Some(wait))?;
            let start = self.bytes.len();
            self.bytes.resize(start + BLOCK, 0);
            let read = stream.read(&mut self.bytes[start..]);
            self.bytes.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Ok(Came::End),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(Came::Nothing);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Came::End),
                Err(error) => return Err(error),
            }
        }
    }

    fn complete<T: DeserializeOwned>(&mut self, longest: usize) -> io::Result<Option<T>> {
        let unread = &self.bytes[self.read..];
        let Some(length) = unread.first_chunk::<4>() else { return Ok(None) };
        let end = 4 + checked(*length, longest)?;
        let Some(message) = unread.get(4..end) else { return Ok(None) };
        let message = decode(message)?;
        self.read += end;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    fn send(mut stream: &UnixStream, message: &str) -> io::Result<()> {
        stream.write_all(&encode(&message)?)
    }

    const SHORT: Duration = Duration::from_millis(10);

    #[test]
    fn messages_arrive_in_order_however_they_are_cut() {
        let (here, there) = UnixStream::pair().unwrap();
        let bytes = [encode(&"one").unwrap(), encode(&"two".repeat(50_000)).unwrap(), encode(&"three").unwrap()];
        let sender = std::thread::spawn(move || {
            for part in bytes.concat().chunks(7_777) {
                (&there).write_all(part).unwrap();
            }
        });
        let mut inbox = Inbox::default();
        let mut texts = Vec::new();
        loop {
            match inbox.next::<String>(&here, SHORT, LONGEST).unwrap() {
                Came::Message(text) => texts.push(text),
                Came::Nothing => {}
                Came::End => break,
            }
        }
        sender.join().unwrap();
        assert_eq!(texts, ["one".to_owned(), "two".repeat(50_000), "three".to_owned()]);
    }

    #[test]
    fn silence_and_the_end_are_told_apart() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut inbox = Inbox::default();
        assert!(matches!(inbox.next::<String>(&here, SHORT, LONGEST).unwrap(), Came::Nothing));
        (&there).write_all(&encode(&"one").unwrap()[..5]).unwrap();
        assert!(matches!(inbox.next::<String>(&here, SHORT, LONGEST).unwrap(), Came::Nothing));
        drop(there);
        assert!(matches!(inbox.next::<String>(&here, SHORT, LONGEST).unwrap(), Came::End));
    }

    #[test]
    fn nonsense_is_refused_and_no_memory_is_spent_on_a_length() {
        for nonsense in [&[0xFF; 8][..], &[2, 0, 0, 0, 0xFF, 0xFF], &[3, 0, 0, 0, 1, b'a', b'b']] {
            let (here, there) = UnixStream::pair().unwrap();
            (&there).write_all(nonsense).unwrap();
            assert!(Inbox::default().next::<String>(&here, SHORT, LONGEST).is_err(), "{nonsense:?}");
            assert!(receive::<String>(&here).is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn a_message_that_is_longer_than_may_come_is_refused_before_it_is_there() {
        let (here, there) = UnixStream::pair().unwrap();
        let message = encode(&"four").unwrap();
        (&there).write_all(&message).unwrap();
        let longest = message.len() - 4;
        assert!(matches!(Inbox::default().next::<String>(&here, SHORT, longest).unwrap(), Came::Message(_)));
        (&there).write_all(&message[..4]).unwrap();
        assert!(Inbox::default().next::<String>(&here, SHORT, longest - 1).is_err());
    }

    #[test]
    fn a_descriptor_follows_its_message() {
        let (here, there) = UnixStream::pair().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "seen").unwrap();
        send(&there, "take this").unwrap();
        send_descriptor(&there, file.as_file()).unwrap();
        send(&there, "and go on").unwrap();
        assert_eq!(receive::<String>(&here).unwrap().unwrap(), "take this");
        let mut text = String::new();
        File::from(receive_descriptor(&here).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "seen");
        assert_eq!(receive::<String>(&here).unwrap().unwrap(), "and go on");
        drop(there);
        assert_eq!(receive::<String>(&here).unwrap(), None);
    }
}
