//! The sending end: reads an object block by block, hashes each, and says what has to be said around them.

use bytes::Bytes;

use super::Error;
use super::object::Object;
use super::protocol::{Layout, Message, Want};
use super::tree::{Tree, block_hash};

/// An object on its way out. It holds one block at most.
#[derive(Debug)]
pub struct Sending<O> {
    object: O,
    layout: Layout,
    tree: Tree,
    from: u64,
}

impl<O: Object> Sending<O> {
    /// Prepares for a receiver that has what `want` says. What it has is read and hashed here again, not sent; if it is
    /// not what this object begins with, everything is sent.
    ///
    /// # Errors
    /// [`Error::Reading`].
    pub async fn new(object: O, want: Want) -> Result<Self, Error> {
        let layout = Layout { length: object.length() };
        let mut sending = Self { object, layout, tree: Tree::default(), from: 0 };
        if want.blocks > 0 && want.blocks <= layout.blocks() && !layout.is_single() {
            while sending.tree.blocks() < want.blocks {
                sending.read().await?;
            }
            match sending.tree.want() == want {
                true => sending.from = want.blocks,
                false => sending.tree = Tree::default(),
            }
        }
        Ok(sending)
    }

    /// What comes before the blocks.
    #[must_use]
    pub const fn start(&self) -> Message {
        Message::Start { length: self.layout.length, from: self.from }
    }

    /// The next block's hash and bytes; `None` behind the last.
    ///
    /// # Errors
    /// [`Error::Reading`].
    pub async fn next(&mut self) -> Result<Option<[Bytes; 2]>, Error> {
        if self.tree.blocks() == self.layout.blocks() {
            return Ok(None);
        }
        let (hash, bytes) = self.read().await?;
        Ok(Some([Bytes::copy_from_slice(&hash), bytes]))
    }

    /// What comes behind the blocks.
    #[must_use]
    pub fn end(&self) -> Message {
        Message::End { root: self.tree.root() }
    }

    async fn read(&mut self) -> Result<([u8; 32], Bytes), Error> {
        let block = self.tree.blocks();
        let (offset, size) = (self.layout.offset(block), self.layout.size(block));
        let bytes = self.object.read(offset, size).await.map_err(Error::Reading)?;
        if bytes.len() != size {
            return Err(Error::Reading(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let hash = block_hash(self.layout, block, &bytes);
        self.tree.push(hash);
        Ok((hash, bytes))
    }
}
