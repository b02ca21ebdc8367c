//! The hashes of blocks, and the whole that they make. Pure.
//!
//! A block is a subtree of BLAKE3's tree, so the hash of the whole comes from those of the blocks, and no byte is
//! hashed twice. (An object of a single block is its own whole.) How much of an object two sides have in common they
//! tell by one hash over the blocks' hashes.

use super::protocol::{BLOCK, HASH, Layout, Want};
use blake3::Hasher;
use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// The hash of a block or of an object.
pub type Hash = [u8; HASH];

/// The hash of a block of an object that is laid out so. All bytes at once, as that is several times as fast as in
/// pieces of odd sizes.
///
/// # Panics
/// If there are no bytes: no block is empty.
#[must_use]
pub fn block_hash(layout: Layout, block: u64, bytes: &[u8]) -> Hash {
    let mut hasher = Hasher::new();
    if !layout.is_single() {
        hasher.set_input_offset(block * BLOCK);
    }
    hasher.update(bytes);
    match layout.is_single() {
        true => hasher.finalize().into(),
        false => hasher.finalize_non_root(),
    }
}

/// The hashes of an object's first blocks, as far as they are known, in a few hundred bytes.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Whole subtrees to the left of `last`, the largest first.
    whole: Vec<Hash>,
    /// The latest block's: the only one that may yet turn out to be the root's child.
    last: Option<Hash>,
    blocks: u64,
    prefix: Box<Hasher>,
}

impl Tree {
    /// How many blocks it has.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Adds the next block's hash.
    pub fn push(&mut self, hash: Hash) {
        if let Some(mut subtree) = self.last.replace(hash) {
            // As many subtrees are complete with it as there are zeros at the end of their number.
            for _ in 0..self.blocks.trailing_zeros() {
                let Some(left) = self.whole.pop() else { break };
                subtree = merge_subtrees_non_root(&left, &subtree, Mode::Hash);
            }
            self.whole.push(subtree);
        }
        self.blocks += 1;
        self.prefix.update(&hash);
    }

    /// What a receiver that has these blocks asks for.
    #[must_use]
    pub fn want(&self) -> Want {
        Want { blocks: self.blocks, prefix: self.prefix.finalize().into() }
    }

    /// BLAKE3 of an object that has these blocks and no more.
    #[must_use]
    pub fn root(&self) -> Hash {
        let Some(last) = self.last else { return blake3::hash(&[]).into() };
        let Some((outermost, inner)) = self.whole.split_first() else { return last };
        let right = inner.iter().rev().fold(last, |right, left| merge_subtrees_non_root(left, &right, Mode::Hash));
        merge_subtrees_root(outermost, &right, Mode::Hash).into()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn tree_of(bytes: &Bytes, blocks: u64) -> Tree {
        let layout = Layout { length: bytes.len() as u64 };
        let mut tree = Tree::default();
        for block in 0..blocks {
            let (from, size) = (layout.offset(block) as usize, layout.size(block));
            tree.push(block_hash(layout, block, &bytes[from..from + size]));
        }
        tree
    }

    fn some_bytes(length: usize, seed: u64) -> Bytes {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0; length];
        random.fill(&mut bytes);
        bytes.into()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn the_blocks_make_the_plain_hash_of_the_whole(blocks in 0..18_u64, rest in 0..BLOCK, seed: u64) {
            let bytes = some_bytes((blocks * BLOCK + rest) as usize, seed);
            let tree = tree_of(&bytes, Layout { length: bytes.len() as u64 }.blocks());
            prop_assert_eq!(tree.root(), *blake3::hash(&bytes).as_bytes());
        }
    }

    #[test]
    fn whole_blocks_make_the_plain_hash_at_every_number_up_to_33() {
        let bytes = some_bytes(33 * BLOCK as usize, 7);
        for blocks in 0..=33 {
            let bytes = bytes.slice(..blocks * BLOCK as usize);
            assert_eq!(tree_of(&bytes, blocks as u64).root(), *blake3::hash(&bytes).as_bytes(), "{blocks}");
        }
    }

    #[test]
    fn a_prefix_is_told_from_one_that_differs_anywhere() {
        let bytes = some_bytes(5 * BLOCK as usize, 7);
        let mut other = bytes.to_vec();
        other[2 * BLOCK as usize] ^= 1;
        let other = Bytes::from(other);
        assert_eq!(tree_of(&bytes, 2).want(), tree_of(&other, 2).want());
        assert_ne!(tree_of(&bytes, 3).want(), tree_of(&other, 3).want());
        assert_ne!(tree_of(&bytes, 4).want(), tree_of(&other, 4).want());
        assert_ne!(tree_of(&bytes, 3).want(), tree_of(&bytes, 4).want());
    }
}
