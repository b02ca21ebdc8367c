//! Where in the store what lies: the names of objects, in one place.

use uuid::Uuid;
use vtp_store::{Key, NoKey};

use crate::ids::{JobId, VideoId};

/// An object, by what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object<'a> {
    /// A part of an upload.
    Part(VideoId, u32),
    /// The beginning of a part of an upload that is not whole; each is written once.
    Rest(VideoId, Uuid),
    /// A part of a source that is fetched, under this epoch.
    Fetched(VideoId, i64, i32),
    /// An uploaded source; the ending is that of its name, if that is a plain one.
    Source(VideoId, &'a str),
    /// A file of a ladder.
    Ladder(JobId, &'a str),
}

impl Object<'_> {
    /// Its name.
    ///
    /// # Errors
    /// It would be too long.
    pub fn key(self) -> Result<Key, NoKey> {
        Key::new(match self {
            Self::Part(video, number) => format!("{}{number:05}", parts(video)),
            Self::Rest(video, name) => format!("{}rest-{name}", parts(video)),
            Self::Fetched(video, epoch, number) => format!("{}{epoch}/{number:05}", parts(video)),
            Self::Source(video, name) => format!("{}source{}", source(video), ending(name)),
            Self::Ladder(job, path) => format!("{}{path}", ladder(job)),
        })
    }
}

/// What the parts of an upload begin with.
pub fn parts(video: VideoId) -> String {
    format!("uploads/{video}/")
}

/// The number of the part of an upload that is called so; `None` if it is none.
pub fn part_number(video: VideoId, key: &Key) -> Option<u32> {
    let number = key.as_str().strip_prefix(&parts(video))?;
    let number = Some(number).filter(|it| it.len() == 5 && it.bytes().all(|byte| byte.is_ascii_digit()));
    number?.parse().ok()
}

/// The epoch under which a part of a source was fetched that is called so; `None` if it is none.
pub fn fetched_under(video: VideoId, key: &Key) -> Option<i64> {
    let (epoch, _) = key.as_str().strip_prefix(&parts(video))?.split_once('/')?;
    epoch.parse().ok()
}

/// What a source's name begins with.
pub fn source(video: VideoId) -> String {
    format!("sources/{video}/")
}

/// What the names of a ladder's files begin with.
pub fn ladder(job: JobId) -> String {
    format!("ladders/{job}/")
}

/// The ending of a file's name, with its dot: by it some formats are told apart. None that is not plain.
fn ending(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((_, ending)) if (1..=5).contains(&ending.len()) && ending.bytes().all(|it| it.is_ascii_alphanumeric()) => {
            format!(".{}", ending.to_ascii_lowercase())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_name_gives_its_source_a_plain_ending_and_nothing_else() {
        let video = VideoId::new();
        let key = |name: &str| Object::Source(video, name).key().unwrap().to_string();
        assert_eq!(key("My Film.MP4"), format!("sources/{video}/source.mp4"));
        for odd in ["film", "film.", "film.a/b", "../../etc/x.m p", "film.toolong", "film.ü"] {
            assert_eq!(key(odd), format!("sources/{video}/source"), "{odd}");
        }
        assert_eq!(Object::Part(video, 7).key().unwrap().to_string(), format!("uploads/{video}/00007"));
    }

    #[test]
    fn a_part_that_was_fetched_is_known_by_its_name_and_by_its_epoch() {
        let (video, other) = (VideoId::new(), VideoId::new());
        let under = |object: Object<'_>| fetched_under(video, &object.key().unwrap());
        assert_eq!(under(Object::Fetched(video, 7, 12)), Some(7));
        let none = [Object::Fetched(other, 7, 12), Object::Part(video, 7), Object::Source(video, "a.mp4")];
        assert_eq!(none.map(under), [None; 3]);
    }

    #[test]
    fn a_part_is_known_by_its_name() {
        let (video, other) = (VideoId::new(), VideoId::new());
        let number = |object: Object<'_>| part_number(video, &object.key().unwrap());
        assert_eq!(number(Object::Part(video, 9999)), Some(9999));
        assert_eq!([number(Object::Part(other, 7)), number(Object::Rest(video, Uuid::nil()))], [None, None]);
    }
}
