//! Whether what was encoded shows the source at all. Pure. A score may be low because bits are scarce; that is the
//! gate's business. Here it is about encoders that are broken: pictures at another's time, or of other colours. VMAF
//! hardly sees these: it compares structure, not levels, and where little moves the next picture is as good.

/// A measured frame as it came out of the decoder, against its reference and the references beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// How much brighter each plane became, in levels of 255.
    pub levels: [f64; 3],
    /// Mean difference of luma to the frame's own reference, in levels of 255.
    pub own: f64,
    /// To the reference before it; `None` where that is not known.
    pub before: Option<Neighbour>,
    /// To the reference after it.
    pub after: Option<Neighbour>,
}

/// The reference beside a frame's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Mean difference of what came out of the decoder to it.
    pub distance: f64,
    /// Mean difference of the frame's own reference to it: how much moves.
    pub motion: f64,
}

/// How an encoder is broken.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// All frames became brighter or darker, or were tinted.
    #[error("its pictures differ from the source in plane {plane} by {by:+.1} of 255 levels")]
    Levels {
        /// 0 is luma, 1 and 2 chroma.
        plane: usize,
        /// Mean difference.
        by: f64,
    },
    /// Frames show what belongs before or after them.
    #[error("{count} of {of} of its pictures show the source's picture {} theirs", if *.late { "before" } else { "after" })]
    Shifted {
        /// Whether they come late, and so show an earlier picture.
        late: bool,
        /// How many of the measured frames in which something moves.
        count: usize,
        /// How many these are.
        of: usize,
    },
}

/// Levels that the mean of a plane may be off, besides what a coarse quantizer does to it.
const MOST_LEVELS: f64 = 3.0;

/// Mean fidelity below which nothing is said of levels: so coarse an encode shifts them, too (by 4 levels at a rate
/// factor of 46), and the gate sees to it.
const LEAST_FIDELITY: f64 = 60.0;

/// Mean difference between neighbours, in levels, from which on something moves.
const MOVES: f64 = 1.0;

/// A frame shows its neighbour's picture if it is that much nearer to it than to its own.
const NEARER: f64 = 0.6;

/// The share of moving frames that show a neighbour's picture in a broken encode. Starved encoders copy some, too.
const MOST_SHIFTED: f64 = 0.3;

/// Frames that must move before anything is said of shifts.
const LEAST_MOVING: usize = 3;

/// What is wrong with an encode at the rate factor `crf` whose measured frames these are, with this mean fidelity, if it
/// is broken.
pub fn fault(frames: &[Likeness], crf: f64, fidelity: f64) -> Option<Fault> {
    levels(frames, crf, fidelity).or_else(|| shift(frames, true)).or_else(|| shift(frames, false))
}

fn levels(frames: &[Likeness], crf: f64, fidelity: f64) -> Option<Fault> {
    if fidelity < LEAST_FIDELITY {
        return None;
    }
    // Half a step of the quantizer (ITU-T H.264, 8.5.9: it doubles every six) in the mean of an 8x8 block.
    let most = MOST_LEVELS + 0.625 * (crf / 6.0).exp2() / 16.0;
    let mean = |plane: usize| frames.iter().map(|it| it.levels[plane]).sum::<f64>() / frames.len().max(1) as f64;
    (0..3).map(|plane| Fault::Levels { plane, by: mean(plane) }).find(|fault| match fault {
        Fault::Levels { by, .. } => by.abs() > most,
        Fault::Shifted { .. } => false,
    })
}

fn shift(frames: &[Likeness], late: bool) -> Option<Fault> {
    let side = |it: &Likeness| Some((it.own, if late { it.before } else { it.after }?));
    let moving: Vec<_> = frames.iter().filter_map(side).filter(|(_, beside)| beside.motion >= MOVES).collect();
    let shifted = moving.iter().filter(|(own, beside)| beside.distance < NEARER * own).count();
    let is_broken = moving.len() >= LEAST_MOVING && shifted as f64 > MOST_SHIFTED * moving.len() as f64;
    is_broken.then_some(Fault::Shifted { late, count: shifted, of: moving.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Likeness = Likeness {
        levels: [0.2, -0.1, 0.0],
        own: 2.0,
        before: Some(Neighbour { distance: 6.0, motion: 5.5 }),
        after: Some(Neighbour { distance: 6.5, motion: 6.0 }),
    };

    #[test]
    fn a_good_encode_and_one_of_no_measured_frame_have_no_fault() {
        assert_eq!(fault(&[GOOD; 10], 23.0, 95.0), None);
        assert_eq!(fault(&[], 23.0, 95.0), None);
    }

    #[test]
    fn brighter_pictures_and_tinted_ones_are_faults() {
        let brighter = Likeness { levels: [8.0, 0.0, 0.0], ..GOOD };
        assert_eq!(fault(&[brighter; 4], 23.0, 95.0), Some(Fault::Levels { plane: 0, by: 8.0 }));
        let tinted = Likeness { levels: [0.0, 0.0, -5.0], ..GOOD };
        assert_eq!(fault(&[tinted; 4], 23.0, 95.0), Some(Fault::Levels { plane: 2, by: -5.0 }));
    }

    #[test]
    fn what_a_coarse_quantizer_does_to_levels_is_no_fault() {
        let darker = Likeness { levels: [-4.2, 0.0, 0.0], own: 9.0, ..GOOD };
        assert_eq!(fault(&[darker; 4], 46.0, 95.0), None);
        assert_eq!(fault(&[darker; 4], 23.0, 40.0), None);
        assert!(fault(&[darker; 4], 23.0, 80.0).is_some());
    }

    #[test]
    fn pictures_nearer_to_a_neighbour_are_shifted() {
        let late = Likeness { own: 6.0, before: Some(Neighbour { distance: 2.0, motion: 5.5 }), ..GOOD };
        let found = fault(&[GOOD, GOOD, late, late], 23.0, 95.0);
        assert_eq!(found, Some(Fault::Shifted { late: true, count: 2, of: 4 }));
        let early = Likeness { own: 6.0, after: Some(Neighbour { distance: 2.0, motion: 5.5 }), ..GOOD };
        assert_eq!(fault(&[early; 3], 23.0, 95.0), Some(Fault::Shifted { late: false, count: 3, of: 3 }));
    }

    #[test]
    fn a_starved_encoder_that_repeats_a_picture_now_and_then_is_not_broken() {
        let repeated = Likeness { own: 6.0, before: Some(Neighbour { distance: 2.0, motion: 5.5 }), ..GOOD };
        let mut frames = [GOOD; 10];
        frames[3] = repeated;
        frames[7] = repeated;
        assert_eq!(fault(&frames, 23.0, 95.0), None);
    }

    #[test]
    fn where_nothing_moves_nothing_is_said_of_shifts() {
        let still = Likeness { own: 0.4, before: Some(Neighbour { distance: 0.1, motion: 0.4 }), ..GOOD };
        assert_eq!(fault(&[still; 10], 23.0, 95.0), None);
    }
}
