//! Watches streams that are not used: those that appear only in mid-file, and whether the video goes on in one of them.
//! Pure.

use std::collections::BTreeMap;

use vtp_engine::media::demux::Medium;

use crate::Error;

/// So many packets of the video may come after the first of the stream that it goes on in: the last ones are known to be
/// whole only at the end of the file.
const MOST_LATE: u64 = 32;

/// What was seen of the streams that are not used.
pub(crate) struct Others {
    /// How many streams the container had when reading began.
    known: usize,
    /// Packets of the video that is used.
    chosen: u64,
    seen: BTreeMap<usize, Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    /// How many packets of the video came before its first.
    after: u64,
    /// How many of its own there are.
    count: u64,
}

impl Others {
    /// Nothing seen yet, in a container of `known` streams.
    pub(crate) fn new(known: usize) -> Self {
        Self { known, chosen: 0, seen: BTreeMap::new() }
    }

    /// A packet of the video that is used.
    pub(crate) fn take_chosen(&mut self) {
        self.chosen += 1;
    }

    /// A packet of a stream that is not used.
    pub(crate) fn take(&mut self, stream: usize) {
        self.seen.entry(stream).or_insert(Seen { after: self.chosen, count: 0 }).count += 1;
    }

    /// Why the streams are not used that the container has had since reading began, among all its `streams`, which are
    /// numbers, what they carry and how.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the video goes on in another stream than `video`.
    pub(crate) fn finish<'a>(
        &self,
        video: usize,
        streams: impl IntoIterator<Item = (usize, Medium, &'a str)>,
    ) -> Result<Vec<String>, Error> {
        let mut left_out = Vec::new();
        for (index, medium, codec) in streams {
            let Some(seen) = self.seen.get(&index) else { continue };
            let late = self.chosen - seen.after;
            let goes_on = late <= MOST_LATE && seen.after > late && seen.count > late + MOST_LATE;
            if medium == Medium::Video && goes_on {
                return Err(moved(video, index));
            }
            if index >= self.known && medium != Medium::Other {
                left_out.push(format!("stream {index} ({codec}) is announced only in mid-file, too late to be used"));
            }
        }
        Ok(left_out)
    }
}

fn moved(from: usize, to: usize) -> Error {
    Error::Corrupt(format!(
        "in mid-file the video moves from stream {from} of the container to stream {to}, and all after that would be \
         missing; give the parts as files of their own, or join them to one stream first"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMS: [(usize, Medium, &str); 4] =
        [(0, Medium::Video, "h264"), (1, Medium::Video, "h264"), (2, Medium::Audio, "aac"), (3, Medium::Other, "epg")];

    /// A run of so many packets of a stream after another; the video is stream 0, and two streams are known.
    fn seen(runs: &[(usize, u64)]) -> Result<Vec<String>, Error> {
        let mut others = Others::new(2);
        for &(stream, count) in runs {
            (0..count).for_each(|_| if stream == 0 { others.take_chosen() } else { others.take(stream) });
        }
        others.finish(0, STREAMS)
    }

    #[test]
    fn a_last_packet_that_comes_late_does_not_hide_that_the_video_goes_on_in_another_stream() {
        let moved = seen(&[(0, 100), (1, 80), (0, 1)]).unwrap_err();
        assert!(moved.to_string().contains("moves from stream 0 of the container to stream 1"), "{moved}");
    }

    #[test]
    fn video_beside_the_video_is_none_that_it_moves_to() {
        let nothing = Ok(Vec::new());
        assert_eq!(seen(&[(0, 1), (1, 400), (0, 20)]), nothing, "from the start");
        assert_eq!(seen(&[(0, 100), (1, 80), (0, 100)]), nothing, "it comes back");
        assert_eq!(seen(&[(0, 100), (1, 20)]), nothing, "the end of a longer one");
    }

    #[test]
    fn what_is_announced_only_in_mid_file_is_told() {
        let told = ["stream 2 (aac) is announced only in mid-file, too late to be used".to_owned()];
        assert_eq!(seen(&[(0, 100), (2, 5), (3, 5), (0, 100)]), Ok(told.to_vec()));
    }
}
