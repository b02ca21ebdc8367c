//! The jobs: what they cost, when they come, whose they are. Sizes resemble ladders of 1080 lines.

use fastrand::Rng;
use vtp_engine::coordinator::{Cost, JobId, NewTask, Priority, Skill, Skills, Terms, UserId};
use vtp_engine::units::ChunkIndex;

use super::options::Options;

/// Frames of the source that one core encodes to all renditions in a second, measured and, if need be, encoded again:
/// `city_drone_1080p24.mp4` to 1080, 720 and 480 lines, 297 frames in 59.15 s of CPU (docs/measurements.md).
pub(super) const FRAMES_PER_CORE_SECOND: f64 = 297.0 / 59.15;
/// Bytes of the source a frame: of the same clip.
pub(super) const BYTES_PER_FRAME: f64 = 13_292_671.0 / 297.0;

const FRAMES_PER_SECOND: f64 = 24.0;
/// Half of the sources are longer: films, and episodes of series.
const MEDIAN_S: f64 = 5400.0;
/// How far lengths scatter: the deviation of their logarithm.
const LENGTH_SIGMA: f64 = 0.5;
const SHORTEST_S: f64 = 30.0;
const LONGEST_S: f64 = 4.0 * 3600.0;
/// How far the work for a frame scatters from source to source, and within one. With deviations of no more than two sigma
/// one source takes at most twice what is usual, or half, and one chunk at most 1.5 times that.
const SOURCE_SIGMA: f64 = 0.35;
const CHUNK_SIGMA: f64 = 0.2;

/// This share of the jobs is due, between half and twice the time that they take with an equal share of the nodes.
const DUE_SHARE: f64 = 0.2;
/// When those are cancelled that are, on average, if they run so long.
const CANCELLED_AFTER_S: f64 = 300.0;

/// A job to come.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) job: JobId,
    pub(super) terms: Terms,
    /// When it is due, in seconds after it came.
    pub(super) due: Option<f64>,
    /// When it is cancelled, in seconds after it came.
    pub(super) cancelled: Option<f64>,
    pub(super) needs: Skills,
    /// What the plan believes that each task costs, and what it takes a core of speed 1, in seconds.
    pub(super) tasks: Vec<(Cost, f64)>,
    /// The task that kills whatever works on it.
    pub(super) poison: Option<usize>,
}

impl Load {
    /// Its work in seconds of a core of speed 1.
    pub(super) fn work(&self) -> f64 {
        self.tasks.iter().map(|(_, work)| work).sum()
    }

    pub(super) fn new_tasks(&self) -> Vec<NewTask> {
        let task =
            |((cost, _), at): (&(Cost, f64), u32)| NewTask { chunk: ChunkIndex(at), cost: *cost, needs: self.needs };
        self.tasks.iter().zip(0..).map(task).collect()
    }
}

/// What workers of the two kinds can do.
pub(super) fn skills(gpu: bool) -> Skills {
    let skills: &[Skill] = if gpu {
        &[Skill::Nvenc, Skill::H264, Skill::Hevc]
    } else {
        &[Skill::Cpu, Skill::H264, Skill::Hevc, Skill::Vp9, Skill::Av1]
    };
    skills.iter().copied().collect()
}

/// All jobs, in the order in which they come.
pub(super) fn loads(options: &Options, rng: &mut Rng) -> Vec<Load> {
    (0..options.total).map(|at| load(JobId(at), options, rng)).collect()
}

fn load(job: JobId, options: &Options, rng: &mut Rng) -> Load {
    let length = (MEDIAN_S * (LENGTH_SIGMA * normal(rng)).exp()).clamp(SHORTEST_S, LONGEST_S);
    let hardness = (SOURCE_SIGMA * normal(rng)).exp();
    let tasks: Vec<(Cost, f64)> = chunks(length)
        .map(|seconds| {
            let frames = (seconds * FRAMES_PER_SECOND).round();
            (Cost::from_frames(frames), frames / FRAMES_PER_CORE_SECOND * hardness * (CHUNK_SIGMA * normal(rng)).exp())
        })
        .collect();
    let poison = (rng.f64() < options.trouble.poison).then(|| rng.usize(..tasks.len()));
    let skill = if rng.f64() < options.trouble.gpu { Skill::Nvenc } else { Skill::Cpu };
    let needs = [skill, Skill::H264].into_iter().collect();
    let cancelled = (rng.f64() < options.trouble.cancels).then(|| exponential(rng, CANCELLED_AFTER_S));
    let work: f64 = tasks.iter().map(|(_, work)| work).sum();
    let share = options.nodes as f64 / options.jobs.max(1) as f64;
    let due = (rng.f64() < DUE_SHARE).then(|| work / share * (0.5 + 1.5 * rng.f64()));
    Load { job, terms: terms(rng), due, cancelled, needs, tasks, poison }
}

/// One user has 40 % of the jobs, in a batch; the others are of nineteen more. One in ten is urgent, one in ten can wait.
fn terms(rng: &mut Rng) -> Terms {
    let user = if rng.f64() < 0.4 { 0 } else { rng.u64(1..20) };
    let priority = match rng.u32(..10) {
        0 => Priority::HIGHEST,
        1 => Priority::try_from(8).unwrap_or_default(),
        _ => Priority::default(),
    };
    Terms { user: UserId(user), priority, ..Terms::default() }
}

/// How the plan cuts a source: a sixteenth of what remains, from four seconds to thirty, in whole segments of two.
fn chunks(length: f64) -> impl Iterator<Item = f64> {
    let mut left = length;
    std::iter::from_fn(move || {
        if left <= 0.0 {
            return None;
        }
        let wanted = (left / 16.0 / 2.0).round() * 2.0;
        let chunk = wanted.clamp(4.0, 30.0).min(left);
        left -= chunk;
        Some(chunk)
    })
}

/// Of the normal distribution, by Box and Muller, without what is more than two sigma from its mean.
fn normal(rng: &mut Rng) -> f64 {
    loop {
        let (radius, angle) = ((-2.0 * (1.0 - rng.f64()).ln()).sqrt(), std::f64::consts::TAU * rng.f64());
        let value = radius * angle.cos();
        if value.abs() <= 2.0 {
            return value;
        }
    }
}

/// Of the exponential distribution with this mean.
pub(super) fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    -mean * (1.0 - rng.f64()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_make_up_the_source_and_shrink_towards_its_end() {
        let chunks: Vec<f64> = chunks(2700.0).collect();
        assert!((chunks.iter().sum::<f64>() - 2700.0).abs() < 1e-9);
        assert!(chunks.windows(2).all(|pair| pair[0] >= pair[1]), "{chunks:?}");
        assert_eq!((chunks[0], chunks.len() > 90), (30.0, true));
    }
}
