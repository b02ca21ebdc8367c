//! What a ladder will take, told from what such ladders took here, or else from what they took on one machine. Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fleet::{Making, Outline, PlannedRendition};
use crate::price::Price;
use crate::report::{Rendition, Report};
use crate::template::{Codec, Rung, Speed, Template};

/// Ladders of a kind that have to be made before others are told from them.
const ENOUGH: usize = 3;

/// What making a ladder took.
#[derive(Clone, PartialEq, Debug)]
pub struct Effort {
    /// Which ladders take alike: those of the same codecs at the same speed.
    pub kind: String,
    /// CPU seconds in which its chunks were decoded, scaled, encoded and measured.
    pub cpu_s: f64,
    /// Millions of pixels of all pictures that were encoded.
    pub megapixels: f64,
}

/// What estimates are told from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Ladders of the same codecs at the same speed that were made here.
    Measured,
    /// Ladders that were made on one machine once, as too few were made here.
    Reference,
}

/// What making a ladder will take, by and large: the content counts for much.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Estimate {
    /// CPU seconds in which its chunks are decoded, scaled, encoded and measured.
    pub cpu_seconds: f64,
    /// Seconds in which they are, by the nodes that are there now, if these do nothing else and all have as much to do; null if there
    /// are none.
    pub seconds: Option<f64>,
    /// Seconds in which they are, however many nodes there were: those of the longest chunk's dearest rendition, for which it has a
    /// core.
    pub least_seconds: f64,
    /// Chunks that can be encoded at the same time by the nodes that are there now.
    pub slots: u32,
    /// Bytes of video at most, by the caps of the renditions; null where one has no cap.
    pub most_video_bytes: Option<u64>,
    /// What the CPU seconds cost; null where nobody has said what an hour of a core does.
    pub cost: Option<Cost>,
    /// What it is told from.
    pub basis: Basis,
    /// How many ladders it is told from, if they were made here.
    pub ladders: usize,
}

/// An amount of money.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct Cost {
    /// So much.
    pub amount: f64,
    /// Of what (ISO 4217).
    pub currency: String,
}

/// Which ladders take alike. `None` where nothing is encoded.
pub fn kind(template: &Template) -> Option<String> {
    if !template.ladder.is_empty() && template.ladder.iter().all(|rung| *rung == Rung::Copy) {
        return None;
    }
    let mut codecs: Vec<&str> = codecs(template).iter().map(|codec| codec.word()).collect();
    codecs.sort_unstable();
    let is_lossless = template.ladder.contains(&Rung::Archive);
    // What is lossless has another usual speed than the rest.
    let usual = if is_lossless { "usual" } else { Speed::Medium.word() };
    let (speed, lossless) = (template.speed.map_or(usual, Speed::word), if is_lossless { " archive" } else { "" });
    Some(format!("{} {speed}{lossless}", codecs.join(",")))
}

fn codecs(template: &Template) -> &[Codec] {
    if template.codecs.is_empty() { &[Codec::H264] } else { &template.codecs }
}

impl Effort {
    /// What a ladder of this template has taken, by its report. `None` where nothing was encoded.
    pub fn of(template: &Template, report: &Report) -> Option<Self> {
        let kind = kind(template)?;
        let pixels = |it: &Rendition| f64::from(it.width) * f64::from(it.height);
        let encoded = report.renditions.iter().filter(|it| it.name != Rung::Copy.word());
        let megapixels = encoded.map(pixels).sum::<f64>() * f64::from(report.source.frames) / 1e6;
        let stages = report.timing.stages.iter();
        let cpu_s = stages.filter(|(stage, _)| stage.ends_with("_cpu_s")).map(|(_, seconds)| seconds).sum();
        (megapixels > 0.0 && cpu_s > 0.0).then_some(Self { kind, cpu_s, megapixels })
    }
}

/// What this will take. `took` are the CPU seconds a megapixel of ladders of its [`kind`] that were made here; `slots` is how many
/// chunks are encoded at a time.
pub fn estimate(outline: &Outline, template: &Template, took: &[f64], slots: u32, hour: Option<&Price>) -> Estimate {
    let frames = f64::from(outline.frames);
    let encoded = outline.renditions.iter().filter(|it| it.making != Making::Copied);
    let megapixels = |width: u32, height: u32| f64::from(width) * f64::from(height) * frames / 1e6;
    let of_each: Vec<(f64, f64)> =
        encoded.map(|it| (megapixels(it.width, it.height), reference(it, template.speed))).collect();
    let (cpu_seconds, basis, ladders) = match median(took).filter(|_| took.len() >= ENOUGH) {
        Some(each) => (of_each.iter().map(|(size, _)| size * each).sum::<f64>(), Basis::Measured, took.len()),
        None => (of_each.iter().map(|(size, each)| size * each).sum(), Basis::Reference, 0),
    };
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let costs = outline.chunks.iter().map(|chunk| chunk.cost);
    let longest = share(costs.clone().fold(0.0, f64::max), costs.sum());
    let each = of_each.iter().map(|(size, each)| size * each);
    let dearest = share(each.clone().fold(0.0, f64::max), each.sum());
    let least_seconds = cpu_seconds * longest * dearest;
    Estimate {
        cpu_seconds,
        seconds: (slots > 0).then(|| least_seconds.max(cpu_seconds / f64::from(slots))),
        least_seconds,
        slots,
        most_video_bytes: bytes(outline),
        cost: hour
            .map(|hour| Cost { amount: hour.amount() * cpu_seconds / 3600.0, currency: hour.currency().to_owned() }),
        basis,
        ladders,
    }
}

/// Bytes of all renditions at their caps.
fn bytes(outline: &Outline) -> Option<u64> {
    let rates = outline.renditions.iter().map(|it| it.most_bits_per_s.map(|rate| rate as f64));
    let all: f64 = rates.sum::<Option<f64>>()?;
    Some((all * outline.duration_s / 8.0) as u64)
}

fn median(all: &[f64]) -> Option<f64> {
    let mut sorted = all.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// CPU seconds a megapixel, measured on one machine (docs/api.md says how): a row for each of [`Codec::ALL`], in it one for each of
/// [`Speed::ALL`].
const REFERENCE: [[f64; 9]; 4] = [
    [0.030, 0.039, 0.056, 0.059, 0.090, 0.090, 0.090, 0.108, 0.186],
    [0.075, 0.107, 0.107, 0.107, 0.124, 0.146, 0.266, 1.089, 1.465],
    [0.373, 0.385, 0.385, 0.385, 0.385, 0.385, 0.430, 0.646, 1.170],
    [0.070, 0.092, 0.102, 0.144, 0.175, 0.235, 0.450, 0.746, 1.277],
];
/// The same of what is lossless.
const LOSSLESS: f64 = 0.048;

fn reference(of: &PlannedRendition, speed: Option<Speed>) -> f64 {
    let place = |wanted: Speed| Speed::ALL.iter().position(|it| *it == wanted);
    let capped = |codec: Codec| {
        let row = REFERENCE.get(Codec::ALL.iter().position(|it| *it == codec)?)?;
        row.get(place(speed.unwrap_or(Speed::Medium))?).copied()
    };
    match (of.making, of.codec) {
        (Making::Capped, Some(codec)) => capped(codec).unwrap_or_default(),
        (Making::Lossless, _) => LOSSLESS,
        (Making::Capped, None) | (Making::Copied, _) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::PlannedChunk;

    fn template(text: &str) -> Template {
        serde_json::from_str(text).unwrap()
    }

    fn outline() -> Outline {
        let rendition = |name: &str, width, height, rate| PlannedRendition {
            name: name.to_owned(),
            width,
            height,
            codec: Some(Codec::H264),
            making: Making::Capped,
            most_bits_per_s: Some(rate),
        };
        let chunk = |start_s, cost| PlannedChunk { start_s, duration_s: 4.0, frames: 100, segments: 1, cost };
        Outline {
            duration_s: 12.0,
            frames: 300,
            renditions: vec![rendition("hd", 2000, 1000, 4_000_000), rendition("mobile", 1000, 500, 800_000)],
            segments: 3,
            chunks: vec![chunk(0.0, 100.0), chunk(4.0, 150.0), chunk(8.0, 100.0)],
            reason: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn what_a_ladder_took_is_told_by_its_report() {
        let rendition = |name: &str| serde_json::json!({ "name": name, "width": 1000, "height": 500, "bytes": 9, "average_bandwidth": 1 });
        let report = serde_json::json!({
            "source": { "frames": 100 },
            "renditions": [rendition("hd"), rendition("copy")],
            "pictures": {},
            "timing": { "stages": { "encode_cpu_s": 20.0, "measure_cpu_s": 5.0, "encode_wall_s": 9.0 } },
        });
        let report = Report::read(&report).unwrap();
        let effort = Effort::of(&template(r#"{"codecs":["hevc","h264"],"speed":"fast"}"#), &report).unwrap();
        assert_eq!((&*effort.kind, effort.cpu_s, effort.megapixels), ("h264,hevc fast", 25.0, 50.0));
        let kinds = [r#"{}"#, r#"{"speed":"medium","codecs":["h264"]}"#].map(|it| kind(&template(it)).unwrap());
        assert_eq!(kinds[0], kinds[1], "what is usual is the same as what is asked for so");
        assert_eq!(Effort::of(&template(r#"{"ladder":["copy"]}"#), &report), None);
    }

    #[test]
    fn an_estimate_is_told_from_ladders_of_its_kind_once_there_are_some() {
        // 750 megapixels at half a second each; the longest chunk is 150 of 350, of which the larger rendition is four of five parts.
        let took = [0.4, 0.5, 9.0];
        let hour = "3.6 EUR".parse().unwrap();
        let told = estimate(&outline(), &Template::default(), &took, 2, Some(&hour));
        assert_eq!((told.cpu_seconds, told.basis, told.ladders), (375.0, Basis::Measured, 3));
        assert_eq!(told.least_seconds.round(), 129.0);
        assert_eq!(told.seconds, Some(187.5));
        assert_eq!(told.cost, Some(Cost { amount: 0.375, currency: "EUR".to_owned() }));
        assert_eq!(told.most_video_bytes, Some(7_200_000));
        let told = estimate(&outline(), &Template::default(), &took[..2], 0, None);
        assert_eq!((told.basis, told.ladders, told.seconds, told.cost), (Basis::Reference, 0, None, None));
        assert!(told.cpu_seconds > 0.0);
    }

    #[test]
    fn more_nodes_make_it_no_quicker_than_its_longest_chunk() {
        let seconds = |slots| estimate(&outline(), &Template::default(), &[1.0; 3], slots, None).seconds.unwrap();
        assert!(seconds(1) > seconds(2) && seconds(2) > seconds(3));
        assert_eq!(seconds(10), seconds(1000));
        assert_eq!(seconds(10), estimate(&outline(), &Template::default(), &[1.0; 3], 1, None).least_seconds);
    }

    #[test]
    fn whoever_looks_longer_takes_longer() {
        for row in REFERENCE {
            assert!(row.is_sorted() && row[0] > 0.0, "{row:?}");
        }
    }

    #[test]
    fn nothing_is_estimated_of_what_has_nothing_in_it() {
        let nothing = Outline { frames: 0, renditions: Vec::new(), chunks: Vec::new(), ..outline() };
        let told = estimate(&nothing, &Template::default(), &[], 3, None);
        assert_eq!((told.cpu_seconds, told.seconds, told.most_video_bytes), (0.0, Some(0.0), Some(0)));
    }
}
