//! Damage done to the bytes of a file, all of it chosen by a generator of random numbers: the same numbers, the same
//! bytes.

use std::ops::Range;

use fastrand::Rng;

use super::boxes::{Place, boxes};

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    FewBits,
    ManyBits,
    Overwritten,
    Truncated,
    CutOut,
    Doubled,
    Spliced,
    Swapped,
    /// Only where there are boxes, as the next.
    BoxSize,
    BoxValue,
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::FewBits,
        Self::ManyBits,
        Self::Overwritten,
        Self::Truncated,
        Self::CutOut,
        Self::Doubled,
        Self::Spliced,
        Self::Swapped,
        Self::BoxSize,
        Self::BoxValue,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FewBits => "1 to 8 bits flipped",
            Self::ManyBits => "many bits flipped",
            Self::Overwritten => "bytes overwritten",
            Self::Truncated => "truncated",
            Self::CutOut => "a slice cut out",
            Self::Doubled => "a slice doubled",
            Self::Spliced => "a slice of another file put in",
            Self::Swapped => "two blocks swapped",
            Self::BoxSize => "the size of a box",
            Self::BoxValue => "numbers in a box",
        }
    }

    fn needs_boxes(self) -> bool {
        matches!(self, Self::BoxSize | Self::BoxValue)
    }

    /// One that can be done to `file`.
    pub(super) fn choose(file: &[u8], random: &mut Rng) -> Self {
        let has_boxes = !boxes(file).is_empty();
        let fit = Self::ALL.into_iter().filter(|kind| has_boxes || !kind.needs_boxes());
        random.choice(fit.collect::<Vec<_>>()).unwrap_or(Self::FewBits)
    }
}

/// `file`, which is not empty, with damage of this kind; `donor` is what slices of another file are taken from. It
/// always differs.
pub(super) fn damaged(kind: Kind, file: &[u8], donor: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = file.to_vec();
    match kind {
        Kind::FewBits => {
            let count = random.usize(1..=8);
            flip(&mut bytes, count, random);
        }
        Kind::ManyBits => {
            // From one byte in some thousands to one in ten.
            let count = exponential(file.len() / 10 + 1, random) + 8;
            flip(&mut bytes, count, random);
        }
        Kind::Overwritten => (0..random.usize(1..=4)).for_each(|_| {
            let run = slice(file.len(), random);
            bytes[run].fill_with(|| random.u8(..));
        }),
        Kind::Truncated => bytes.truncate(place(file.len(), random)),
        Kind::CutOut => drop(bytes.drain(slice(file.len(), random))),
        Kind::Doubled => {
            let run = slice(file.len(), random);
            let copy = file[run.clone()].to_vec();
            bytes.splice(run.end..run.end, copy);
        }
        Kind::Spliced => splice(&mut bytes, donor, random),
        Kind::Swapped => swap(&mut bytes, random),
        Kind::BoxSize => resize(&mut bytes, random),
        Kind::BoxValue => revalue(&mut bytes, random),
    }
    if bytes == file {
        flip(&mut bytes, 1, random);
    }
    bytes
}

/// A number below `limit`, which is above zero; small ones are as likely as large ones of more digits.
fn exponential(limit: usize, random: &mut Rng) -> usize {
    let bits = usize::BITS - limit.leading_zeros();
    let most = usize::MAX >> (usize::BITS - random.u32(1..=bits));
    random.usize(..=most).min(limit - 1)
}

/// A place in `length` bytes, half of the time near one of their ends: what steers a file is there.
fn place(length: usize, random: &mut Rng) -> usize {
    match random.u8(..4) {
        0 => exponential(length, random),
        1 => length - 1 - exponential(length, random),
        _ => random.usize(..length),
    }
}

/// A slice of `length` bytes of which there is at least one, mostly a short one.
fn slice(length: usize, random: &mut Rng) -> Range<usize> {
    let start = place(length, random);
    start..start + 1 + exponential(length - start, random)
}

fn flip(bytes: &mut [u8], count: usize, random: &mut Rng) {
    for _ in 0..count {
        let at = place(bytes.len(), random);
        bytes[at] ^= 1 << random.u8(..8);
    }
}

/// A box or a slice of `donor` comes in, half of the time in place of as many bytes.
fn splice(bytes: &mut Vec<u8>, donor: &[u8], random: &mut Rng) {
    let whole = boxes(donor).into_iter().map(|it| it.whole).collect::<Vec<_>>();
    let run = match random.choice(&whole).filter(|_| random.bool()) {
        Some(whole) => whole.clone(),
        None => slice(donor.len(), random),
    };
    // At the start of a box, where there are any.
    let starts = boxes(bytes).into_iter().map(|it| it.whole.start).collect::<Vec<_>>();
    let at = random.choice(&starts).copied().unwrap_or_else(|| place(bytes.len(), random));
    let end = if random.bool() { bytes.len().min(at + run.len()) } else { at };
    bytes.splice(at..end, donor[run].iter().copied());
}

/// Two blocks of one size that don't overlap change places.
fn swap(bytes: &mut [u8], random: &mut Rng) {
    let size = 1 + exponential(bytes.len() / 2 + 1, random).min((bytes.len() / 2).saturating_sub(1));
    let Some(room) = bytes.len().checked_sub(2 * size) else { return };
    let first = place(room + 1, random);
    let second = first + size + random.usize(..=room - first);
    let (before, after) = bytes.split_at_mut(second);
    before[first..first + size].swap_with_slice(&mut after[..size]);
}

fn resize(bytes: &mut [u8], random: &mut Rng) {
    let Some(Place { whole, .. }) = random.choice(boxes(bytes)) else { return };
    let size = u32::try_from(whole.len()).unwrap_or(u32::MAX);
    let near = random.u32(1..=64);
    let sizes = [0, 1, 7, 8, u32::MAX, i32::MAX.cast_unsigned(), size.wrapping_add(near), size.wrapping_sub(near)];
    let wrong = random.choice(sizes).unwrap_or(0);
    bytes[whole.start..whole.start + 4].copy_from_slice(&wrong.to_be_bytes());
}

/// Some numbers of one box become extreme ones: not in samples, for which other kinds are enough.
fn revalue(bytes: &mut [u8], random: &mut Rng) {
    let filled = |it: &Place| it.kind != *b"mdat" && it.payload().len() >= 4;
    let Some(place) = random.choice(boxes(bytes).into_iter().filter(filled).collect::<Vec<_>>()) else { return };
    let payload = &mut bytes[place.payload()];
    for _ in 0..random.usize(1..=4) {
        let width = random.choice([2, 4, 4, 8]).unwrap_or(4).min(payload.len());
        let at = exponential(payload.len() - width + 1, random) / 2 * 2;
        let value = match random.u8(..6) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => u64::MAX >> 1,
            4 => 1 << 63,
            _ => random.u64(..) >> random.u32(..64),
        };
        payload[at..at + width].copy_from_slice(&value.to_be_bytes()[..width]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file with boxes.
    fn film() -> Vec<u8> {
        let boxed = |kind: &[u8; 4], payload: &[u8]| {
            let size = u32::try_from(payload.len() + 8).unwrap();
            [&size.to_be_bytes(), kind.as_slice(), payload].concat()
        };
        let moov = boxed(b"moov", &boxed(b"trak", &boxed(b"tkhd", &[7; 84])));
        [boxed(b"ftyp", b"isom"), moov, boxed(b"mdat", &(0..=255).collect::<Vec<u8>>())].concat()
    }

    #[test]
    fn each_kind_changes_the_bytes_and_the_same_seed_changes_them_alike() {
        let (film, donor) = (film(), (0..200).rev().collect::<Vec<u8>>());
        for kind in Kind::ALL {
            let made = |seed| damaged(kind, &film, &donor, &mut fastrand::Rng::with_seed(seed));
            for seed in 0..200 {
                assert_ne!(made(seed), film, "{kind:?}, seed {seed}");
                assert_eq!(made(seed), made(seed), "{kind:?}, seed {seed}");
            }
            assert!((1..200).any(|seed| made(seed) != made(0)), "{kind:?}");
        }
    }

    #[test]
    fn the_size_of_a_box_is_damaged_at_its_start_and_nowhere_else() {
        let film = film();
        let starts: Vec<usize> = boxes(&film).into_iter().map(|it| it.whole.start).collect();
        for seed in 0..100 {
            let made = damaged(Kind::BoxSize, &film, &film, &mut fastrand::Rng::with_seed(seed));
            let changed: Vec<usize> = (0..film.len()).filter(|&at| made[at] != film[at]).collect();
            let is_size = |at: &usize| starts.iter().any(|start| (*start..start + 4).contains(at));
            assert!(made.len() == film.len() && changed.iter().all(is_size), "{changed:?}");
        }
    }

    #[test]
    fn only_files_with_boxes_get_their_boxes_damaged() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut chosen = |file: &[u8]| (0..500).any(|_| Kind::choose(file, &mut random).needs_boxes());
        assert!(chosen(&film()) && !chosen(&[0x47; 400]));
    }

    proptest! {
        #[test]
        fn any_file_that_is_not_empty_can_be_damaged(
            file in proptest::collection::vec(any::<u8>(), 1..300),
            donor in proptest::collection::vec(any::<u8>(), 1..300),
            seed in any::<u64>(),
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            for kind in Kind::ALL {
                prop_assert_ne!(&damaged(kind, &file, &donor, &mut random), &file);
            }
        }
    }
}
