//! The files of a finished ladder, in the order in which they go into a store: what refers to others goes after them. No I/O but a
//! look into the folder.

use std::path::{Path, PathBuf};

use vtp_store::{About, media_type};

/// What players fetch many times. Names are not of contents: a ladder that is replaced has others under the same, so none is kept for
/// ever.
const FOR_AN_HOUR: &str = "public, max-age=3600";
/// What players begin with is looked at anew now and then.
const FOR_A_MINUTE: &str = "public, max-age=60";
/// What people and programs read of the ladder.
const NOT: &str = "no-cache";

/// A file of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its name in the folder, with `/` between folders.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

/// When a piece goes: after all that it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    Media,
    MediaPlaylist,
    Manifest,
}

impl Turn {
    pub(super) const ALL: [Self; 3] = [Self::Media, Self::MediaPlaylist, Self::Manifest];
}

impl Piece {
    pub(super) fn turn(&self) -> Turn {
        let is_top = !self.name.contains('/');
        match self.ending() {
            Some("m3u8" | "mpd") if is_top => Turn::Manifest,
            Some("m3u8") => Turn::MediaPlaylist,
            _ => Turn::Media,
        }
    }

    fn ending(&self) -> Option<&str> {
        self.name.rsplit('.').next()
    }

    /// What players and caches are told of it.
    pub(super) fn about(&self) -> About {
        let cache_control = match (self.turn(), self.ending()) {
            (_, Some("json" | "html")) => NOT,
            (Turn::Media, _) => FOR_AN_HOUR,
            (Turn::MediaPlaylist | Turn::Manifest, _) => FOR_A_MINUTE,
        };
        About { content_type: Some(media_type(&self.name)), cache_control: Some(cache_control) }
    }
}

/// All that lies in `folder`.
///
/// # Errors
/// It can't be read, or a name in it is not text.
pub(crate) fn pieces(folder: &Path) -> std::io::Result<Vec<Piece>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(inside) = folders.pop() {
        for entry in std::fs::read_dir(&inside)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).ok().and_then(Path::to_str).map(str::to_owned);
            let name = name.ok_or_else(|| std::io::Error::other(format!("{} is no text", path.display())))?;
            found.push(Piece { name, size: entry.metadata()?.len(), path });
        }
    }
    found.sort_by(|a, b| (a.turn(), &a.name).cmp(&(b.turn(), &b.name)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_and_caches_are_told_what_it_is() {
        let of = |name: &str| Piece { name: name.to_owned(), path: PathBuf::new(), size: 0 }.about();
        let is = |content_type, cache_control| About {
            content_type: Some(content_type),
            cache_control: Some(cache_control),
        };
        assert_eq!(of("master.m3u8"), is("application/vnd.apple.mpegurl", FOR_A_MINUTE));
        assert_eq!(of("hd/media.m3u8"), is("application/vnd.apple.mpegurl", FOR_A_MINUTE));
        assert_eq!(of("manifest.mpd"), is("application/dash+xml", FOR_A_MINUTE));
        assert_eq!(of("hd/seg-00000.m4s"), is("video/iso.segment", FOR_AN_HOUR));
        assert_eq!(of("poster.jpg"), is("image/jpeg", FOR_AN_HOUR));
        assert_eq!(of("report.json"), is("application/json", NOT));
    }
}
