//! How the bytes of an upload, as they come, fall into its parts: each but the last has `chunk` bytes. In memory is the one that is not
//! whole.

use bytes::{Bytes, BytesMut};

use super::Refusal;

/// A part, or its beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its number, from 0.
    pub number: u32,
    /// Its bytes.
    pub bytes: Bytes,
    /// Bytes of the upload up to its end.
    pub end: u64,
}

/// What comes of an upload.
#[derive(Clone, Debug)]
pub struct Pieces {
    chunk: u64,
    length: u64,
    received: u64,
    begun: BytesMut,
}

impl Pieces {
    /// An upload of `length` bytes in parts of `chunk` bytes, of which so many are there; the last of them that make no whole part
    /// are `rest`. The last part is whole at the end, however short it is.
    pub fn new(chunk: u64, length: u64, received: u64, rest: Bytes) -> Self {
        debug_assert!(
            received == length || received % chunk == rest.len() as u64,
            "of {received} bytes {} make no whole part",
            rest.len()
        );
        Self { chunk, length, received, begun: rest.into() }
    }

    /// Bytes that are there.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes what comes next; the parts that are whole by it.
    ///
    /// # Errors
    /// [`Refusal::TooLong`]; nothing of it is taken.
    pub fn push(&mut self, mut bytes: Bytes) -> Result<Vec<Piece>, Refusal> {
        if bytes.len() as u64 > self.length - self.received {
            return Err(Refusal::TooLong(self.length));
        }
        let mut whole = Vec::new();
        while !bytes.is_empty() {
            let start = self.received - self.begun.len() as u64;
            let wanted = self.chunk.min(self.length - start) - self.begun.len() as u64;
            let taken = bytes.split_to(usize::try_from(wanted).unwrap_or(usize::MAX).min(bytes.len()));
            self.begun.extend_from_slice(&taken);
            self.received += taken.len() as u64;
            if taken.len() as u64 == wanted {
                whole.extend(self.take());
            }
        }
        Ok(whole)
    }

    /// The beginning of the part that is not whole, if there is one.
    pub fn rest(mut self) -> Option<Piece> {
        self.take()
    }

    fn take(&mut self) -> Option<Piece> {
        let bytes = self.begun.split().freeze();
        let start = self.received - bytes.len() as u64;
        // The number of parts was bounded when it was begun.
        let number = u32::try_from(start / self.chunk).ok()?;
        (!bytes.is_empty()).then_some(Piece { number, bytes, end: self.received })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends a film in requests that break off at these places, and frames of these sizes; the parts, and what was left of each.
    fn send(film: &[u8], chunk: u64, requests: &[usize], frame: usize) -> Vec<Vec<u8>> {
        let length = film.len() as u64;
        let (mut parts, mut received, mut rest) = (Vec::new(), 0, Bytes::new());
        for end in requests.iter().copied().chain([film.len()]) {
            let end = end.min(film.len()).max(received);
            let mut pieces = Pieces::new(chunk, length, received as u64, rest.clone());
            for bytes in film[received..end].chunks(frame) {
                for piece in pieces.push(Bytes::copy_from_slice(bytes)).unwrap() {
                    assert_eq!((piece.number as usize, piece.end), (parts.len(), piece.end));
                    parts.push(piece.bytes.to_vec());
                }
            }
            received = usize::try_from(pieces.received()).unwrap();
            assert_eq!(received, end);
            rest = pieces.rest().map(|it| it.bytes).unwrap_or_default();
        }
        assert!(rest.is_empty(), "the last part is whole at the end");
        parts
    }

    proptest! {
        #[test]
        fn however_it_comes_and_breaks_off_the_parts_are_the_same(
            film in prop::collection::vec(any::<u8>(), 1..400),
            chunk in 1_u64..100,
            mut requests in prop::collection::vec(0_usize..400, 0..8),
            frame in 1_usize..150,
        ) {
            requests.sort_unstable();
            let parts = send(&film, chunk, &requests, frame);
            let expected: Vec<Vec<u8>> = film.chunks(usize::try_from(chunk).unwrap()).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(parts, expected);
        }
    }

    #[test]
    fn what_goes_beyond_the_end_is_not_taken() {
        let mut pieces = Pieces::new(4, 6, 5, Bytes::from_static(b"5"));
        assert_eq!(pieces.push(Bytes::from_static(b"67")), Err(Refusal::TooLong(6)));
        let last = pieces.push(Bytes::from_static(b"6")).unwrap();
        assert_eq!(last, [Piece { number: 1, bytes: Bytes::from_static(b"56"), end: 6 }]);
        assert_eq!(pieces.rest(), None);
    }
}
