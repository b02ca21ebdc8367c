//! A libavfilter graph with one way in and one way out, single-threaded. It numbers pictures and counts none.

use ffmpeg_next::{self as ffmpeg, ffi, filter, frame};

use crate::media::picture::some_timestamp;
use crate::media::{Error, Kind, Picture};

/// A running graph. Pictures carry their number as timestamp in units of one, so that filters keep it.
pub(in crate::media) struct Graph {
    graph: filter::Graph,
}

const INPUT: &str = "in";
const OUTPUT: &str = "out";

impl Graph {
    /// A graph of `filters` for pictures shaped like `picture`.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when the filters can't work on such pictures.
    pub(in crate::media) fn open(picture: &Picture, filters: &str) -> Result<Self, Error> {
        let mut graph = filter::Graph::new();
        // SAFETY: the graph was just allocated and nothing runs in it yet.
        unsafe { (*graph.as_mut_ptr()).nb_threads = 1 };
        let build = |graph: &mut filter::Graph| -> Result<(), ffmpeg::Error> {
            let (source, sink) = (find("buffer")?, find("buffersink")?);
            graph.add(&source, INPUT, &arguments(picture))?;
            graph.add(&sink, OUTPUT, "")?;
            graph.output(INPUT, 0)?.input(OUTPUT, 0)?.parse(filters)?;
            graph.validate()
        };
        build(&mut graph).map_err(|error| {
            let (name, _) = picture.pixel_format();
            let size = picture.size();
            Error::new(Kind::Unsupported, format!("pictures of {size} in {name} can't be filtered: {error}"))
        })?;
        Ok(Self { graph })
    }

    /// Gives it a picture, which is shown as number `ordinal`.
    pub(in crate::media) fn push(&mut self, ordinal: i64, mut picture: Picture) -> Result<(), Error> {
        picture.frame_mut().set_pts(Some(ordinal));
        let mut input = self.context(INPUT)?;
        input.source().add(picture.frame()).map_err(|e| Error::ffmpeg("filtering a picture", e))
    }

    /// Tells it that no more pictures come.
    pub(in crate::media) fn end(&mut self) -> Result<(), Error> {
        let mut input = self.context(INPUT)?;
        input.source().flush().map_err(|e| Error::ffmpeg("finishing the filters", e))
    }

    /// The next picture that is ready, and its number.
    pub(in crate::media) fn pull(&mut self) -> Result<Option<(i64, Picture)>, Error> {
        let mut context = self.context(OUTPUT)?;
        let mut output = context.sink();
        let mut frame = frame::Video::empty();
        match output.frame(&mut frame) {
            Ok(()) => {}
            Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffi::EAGAIN }) => return Ok(None),
            Err(error) => return Err(Error::ffmpeg("filtering a picture", error)),
        }
        // A deinterlacer counts fields: its time base is half of the input's.
        let base = output.time_base();
        let ticks = frame.pts().and_then(some_timestamp).map(|pts| pts * i64::from(base.numerator()));
        match ticks {
            Some(ticks) if ticks % i64::from(base.denominator()) == 0 => {
                Ok(Some((ticks / i64::from(base.denominator()), Picture::wrap(frame))))
            }
            _ => Err(Error::new(Kind::Internal, "a filter lost a picture's number")),
        }
    }

    fn context(&mut self, name: &str) -> Result<filter::Context, Error> {
        self.graph.get(name).ok_or_else(|| Error::new(Kind::Internal, "a filter graph without ends"))
    }
}

fn find(name: &str) -> Result<filter::Filter, ffmpeg::Error> {
    filter::find(name).ok_or(ffmpeg::Error::FilterNotFound)
}

fn arguments(picture: &Picture) -> String {
    let (size, aspect) = (picture.size(), picture.sample_aspect());
    let format = picture.pixel_format().0;
    format!("video_size={size}:pix_fmt={format}:time_base=1/1:pixel_aspect={aspect}")
}
