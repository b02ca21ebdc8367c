//! Conditions decoded pictures: deinterlaces where they say that they consist of fields, turns them upright, and fits
//! pictures that change size, or the shape of their samples, in mid-stream into the first ones. One picture in, one picture
//! out, always; it neither scales for renditions nor touches a picture that needs nothing.

pub(super) mod graph;

use std::collections::VecDeque;

use graph::Graph;

use super::{Error, Kind, Picture};
use crate::source::{Color, DynamicRange, Rotation, VideoInfo};
use crate::units::{Ratio, Size};

/// By way of RGB in single samples: else greys get darker.
const EXACT: &str = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp";

/// Code points of TransferCharacteristics (ITU-T H.273): what is not said, and BT.2020 in 10 bits.
const UNSPECIFIED: u8 = 2;
const TRANSFER_BT2020: u8 = 14;

/// Conditions the pictures of one chunk, in presentation order.
///
/// A picture that needs nothing passes by without being copied and without libavfilter. The deinterlacer sees the
/// picture before and the one after, wherever a run of interlaced pictures begins.
pub struct Conditioner {
    reference: Size,
    aspect: Ratio,
    /// What the first picture of the stream itself says of that.
    picture_aspect: Option<Ratio>,
    rotation: Rotation,
    color: Color,
    interlaced: bool,
    stage: Option<Stage>,
    previous: Option<(i64, Picture)>,
}

/// A filter graph at work, and the pictures inside it.
struct Stage {
    input: (Size, String),
    filters: String,
    graph: Graph,
    inside: VecDeque<Inside>,
}

/// A picture inside the graph, and whether it is to come out (or only helps the deinterlacer).
struct Inside {
    ordinal: i64,
    wanted: bool,
}

impl Conditioner {
    /// A conditioner for the pictures of `video`.
    pub fn new(video: &VideoInfo) -> Self {
        Self {
            reference: video.size,
            aspect: video.sample_aspect,
            picture_aspect: video.picture_aspect,
            rotation: video.rotation,
            color: video.color,
            interlaced: false,
            stage: None,
            previous: None,
        }
    }

    /// Takes the picture that is shown as number `ordinal` (rising by any steps) and hands those that are ready,
    /// with their numbers, to `sink`.
    ///
    /// # Errors
    /// Whatever `sink` answers, [`Kind::Unsupported`] for a pixel format that can't be filtered,
    /// [`Kind::Unsupported`] for a picture of another dynamic range, [`Kind::Internal`] if a picture is lost or doubled.
    pub fn send<E: From<Error>>(
        &mut self,
        ordinal: i64,
        mut picture: Picture,
        sink: &mut dyn FnMut(i64, Picture) -> Result<(), E>,
    ) -> Result<(), E> {
        picture.name_range();
        self.interlaced |= picture.is_interlaced();
        self.refuse_other_range(&picture)?;
        let filters = self.filters(&picture);
        let input = (picture.size(), picture.pixel_format().0);
        if self.stage.as_ref().is_some_and(|stage| stage.input != input || stage.filters != filters) {
            self.drain(sink)?;
        }
        if filters.is_empty() {
            self.previous = Some((ordinal, picture.share()?));
            return sink(ordinal, picture);
        }
        let stage = match &mut self.stage {
            Some(stage) => stage,
            vacant => vacant.insert(Stage::open(input, filters, &picture, self.previous.take())?),
        };
        stage.push(ordinal, true, picture)?;
        stage.pull(sink)
    }

    /// Hands over the pictures still inside. The conditioner can be used again afterwards.
    ///
    /// # Errors
    /// As [`Conditioner::send`].
    pub fn finish<E: From<Error>>(&mut self, sink: &mut dyn FnMut(i64, Picture) -> Result<(), E>) -> Result<(), E> {
        self.previous = None;
        self.drain(sink)
    }

    fn drain<E: From<Error>>(&mut self, sink: &mut dyn FnMut(i64, Picture) -> Result<(), E>) -> Result<(), E> {
        let Some(mut stage) = self.stage.take() else { return Ok(()) };
        stage.graph.end()?;
        stage.pull(sink)?;
        match stage.inside.front() {
            None => Ok(()),
            Some(lost) => Err(Error::new(Kind::Internal, format!("picture {} was lost in a filter", lost.ordinal)))?,
        }
    }

    /// Within one stream pictures can't be shown right whose range is another: renditions have one transfer function.
    fn refuse_other_range(&self, picture: &Picture) -> Result<(), Error> {
        let (first, own) = (self.color, picture.color());
        let says_nothing = |color: Color| color.transfer == UNSPECIFIED;
        // Hybrid log-gamma is told to old decoders as BT.2020, and to others in a message that does not come with every
        // picture (ITU-T H.265, D.3.42).
        let is_hybrid = |a: Color, b: Color| a.dynamic_range() == DynamicRange::Hlg && b.transfer == TRANSFER_BT2020;
        let agree = first.dynamic_range() == own.dynamic_range() || is_hybrid(first, own) || is_hybrid(own, first);
        if says_nothing(first) || says_nothing(own) || agree {
            return Ok(());
        }
        let named = |color: Color| match color.dynamic_range() {
            DynamicRange::Standard => "SDR",
            DynamicRange::Pq => "HDR (PQ)",
            DynamicRange::Hlg => "HDR (HLG)",
        };
        Err(Error::new(
            Kind::Unsupported,
            format!(
                "the video changes from {} to {} in mid-stream; give each part as a file of its own",
                named(first),
                named(own)
            ),
        ))
    }

    /// The filters that this picture needs, in libavfilter's notation; empty if none.
    fn filters(&self, picture: &Picture) -> String {
        let mut filters = Vec::new();
        if self.interlaced {
            filters.push("bwdif=mode=send_frame:parity=auto:deint=interlaced".to_owned());
        }
        // What the renditions say of their colours is true of all pictures then.
        if let (Some(own), Some(first)) = (matrix(picture.color().matrix), matrix(self.color.matrix))
            && own != first
        {
            let range = range(picture);
            filters.push(format!(
                "scale=flags={EXACT}:in_color_matrix={own}:out_color_matrix={first}:in_range={range}:out_range={range}"
            ));
        }
        let aspect = self.aspect_of(picture);
        if picture.size() != self.reference || aspect != self.aspect.as_f64() {
            filters.push(letterbox(picture, aspect, self.reference, self.aspect));
        }
        filters.extend(upright(self.rotation).iter().map(|&filter| filter.to_owned()));
        filters.join(",")
    }

    /// The shape of the picture's samples. What it says of that counts as far as it differs from what the first picture
    /// said, before which the container's word counts.
    fn aspect_of(&self, picture: &Picture) -> f64 {
        match (picture.own_sample_aspect(), self.picture_aspect) {
            (Some(own), Some(first)) if own != first => self.aspect.as_f64() * own.as_f64() / first.as_f64(),
            (Some(_), Some(_)) => self.aspect.as_f64(),
            // One of both says nothing.
            _ if picture.size() != self.reference => picture.sample_aspect().as_f64(),
            _ => self.aspect.as_f64(),
        }
    }
}

impl Stage {
    /// Opens the graph. `previous`, if it has the same shape, gives the deinterlacer its first look back.
    fn open(
        input: (Size, String),
        filters: String,
        picture: &Picture,
        previous: Option<(i64, Picture)>,
    ) -> Result<Self, Error> {
        let graph = Graph::open(picture, &filters)?;
        let mut stage = Self { input, filters, graph, inside: VecDeque::new() };
        if let Some((ordinal, previous)) = previous
            && (previous.size(), previous.pixel_format().0) == stage.input
        {
            stage.push(ordinal, false, previous)?;
        }
        Ok(stage)
    }

    fn push(&mut self, ordinal: i64, wanted: bool, picture: Picture) -> Result<(), Error> {
        self.inside.push_back(Inside { ordinal, wanted });
        self.graph.push(ordinal, picture)
    }

    fn pull<E: From<Error>>(&mut self, sink: &mut dyn FnMut(i64, Picture) -> Result<(), E>) -> Result<(), E> {
        while let Some((ordinal, picture)) = self.graph.pull()? {
            match self.inside.pop_front() {
                Some(inside) if inside.ordinal == ordinal && inside.wanted => sink(ordinal, picture)?,
                Some(inside) if inside.ordinal == ordinal => {}
                _ => Err(Error::new(Kind::Internal, format!("picture {ordinal} came out of a filter out of turn")))?,
            }
        }
        Ok(())
    }
}

/// Mirror first, then clockwise turns, as [`Rotation`] defines it.
fn upright(rotation: Rotation) -> Vec<&'static str> {
    let mirror = rotation.mirrored.then_some("hflip");
    let turn: &[&str] = match rotation.quarter_turns % 4 {
        0 => &[],
        1 => &["transpose=clock"],
        2 => &["hflip", "vflip"],
        _ => &["transpose=cclock"],
    };
    mirror.into_iter().chain(turn.iter().copied()).collect()
}

/// Fits a picture with samples of shape `aspect` into `frame` with samples of shape `frame_aspect`, with black bars where
/// the shapes differ.
fn letterbox(picture: &Picture, aspect: f64, frame: Size, frame_aspect: Ratio) -> String {
    // The filter knows no odd frames of subsampled pictures; what is one sample smaller is scaled to the rungs all the same.
    let even = |length: u32| (length / 2 * 2).max(2);
    let frame = Size { width: even(frame.width), height: even(frame.height) };
    let Size { width, height } = fit(picture.size(), aspect, frame, frame_aspect);
    let even_half = |outer: u32, inner: u32| (outer - inner) / 4 * 2;
    let (left, top) = (even_half(frame.width, width), even_half(frame.height, height));
    let range = range(picture);
    format!(
        "scale={width}:{height}:flags=bicubic:in_range={range}:out_range={range},setsar={frame_aspect},\
         pad={}:{}:{left}:{top}:black",
        frame.width, frame.height
    )
}

/// The picture's range as the scaler calls it, which unless told would make limited range of full range.
fn range(picture: &Picture) -> &'static str {
    match picture.color().full_range {
        None => "auto",
        Some(false) => "limited",
        Some(true) => "full",
    }
}

/// The scaler's name of MatrixCoefficients (ITU-T H.273, table 4), where it has one: of those that sources have.
fn matrix(code: u8) -> Option<&'static str> {
    match code {
        1 => Some("bt709"),
        5 | 6 => Some("bt601"),
        7 => Some("smpte240m"),
        9 => Some("bt2020"),
        _ => None,
    }
}

/// The largest size within `frame` that shows a picture in its own shape.
fn fit(size: Size, aspect: f64, frame: Size, frame_aspect: Ratio) -> Size {
    let shape = f64::from(size.width) * aspect / f64::from(size.height) / frame_aspect.as_f64();
    let (width, height) = (f64::from(frame.width), f64::from(frame.height));
    if shape * height > width {
        Size { width: frame.width, height: even_within(width / shape, frame.height) }
    } else {
        Size { width: even_within(height * shape, frame.width), height: frame.height }
    }
}

/// The even number nearest to `length`, at least 2 and within `most`. A length that all but fills the frame does.
fn even_within(length: f64, most: u32) -> u32 {
    let even = ((length / 2.0).round() * 2.0).max(2.0);
    if even + 2.0 > f64::from(most) { most } else { even as u32 }
}

#[cfg(test)]
mod tests;
