//! Replaces the proven media files of an output by sealed ones. Each is opened again by what stands in its own boxes, and
//! only what then equals the proven bytes stays.

use std::fs;
use std::ops::Range;
use std::path::Path;

use crate::files::{Folder, at, write_bytes};
use crate::layout::Durability;
use crate::listing::{INIT, KeyPicture, Listing, Presentation, segment_name};
use crate::seal::{self, Content, Scheme, Seal};
use crate::stop::Stop;
use crate::{Error, transport};

/// Seals every track of the presentation below `dir`, which tells the new sizes afterwards. Where whole segments are sealed,
/// key pictures can't be fetched alone, and none are told.
pub(crate) fn seal(
    stop: Stop<'_>,
    dir: &Path,
    durability: Durability,
    seal: &Seal,
    presentation: &mut Presentation,
) -> Result<(), Error> {
    for video in &mut presentation.video {
        let folder = Folder::create(dir.join(&video.listing.folder), durability)?;
        track(stop, &folder, seal, Content::Video(video.codec), &mut video.listing, &mut video.pictures)?;
    }
    for audio in &mut presentation.audio {
        let folder = Folder::create(dir.join(&audio.listing.folder), durability)?;
        track(stop, &folder, seal, Content::Audio, &mut audio.listing, &mut Vec::new())?;
    }
    Ok(())
}

/// Seals the transport streams below `dir`, all of whose segments are sealed as a whole.
pub(crate) fn streams(
    stop: Stop<'_>,
    dir: &Path,
    durability: Durability,
    seal: &Seal,
    presentation: &mut Presentation,
) -> Result<(), Error> {
    let video = presentation.video.iter_mut().map(|video| (&mut video.listing, Content::Video(video.codec)));
    let audio = presentation.audio.iter_mut().filter(|audio| !audio.muxed);
    for (listing, content) in video.chain(audio.map(|audio| (&mut audio.listing, Content::Audio))) {
        let name = listing.folder.clone();
        let failed = &|source| Error::Seal { name: name.clone(), source };
        let folder = Folder::create(dir.join(&name), durability)?;
        for (place, segment) in (0..).zip(&mut listing.segments) {
            stop.check()?;
            let way = Way {
                seal: &|clear| seal.segment(place, content, clear),
                open: &|sealed| seal.open(place, &[], sealed),
            };
            let Changed { sealed, .. } = way.change(&folder, &transport::segment_name(place), failed)?;
            segment.bytes = sealed.len() as u64;
        }
    }
    Ok(())
}

fn track(
    stop: Stop<'_>,
    folder: &Folder,
    seal: &Seal,
    content: Content,
    listing: &mut Listing,
    pictures: &mut Vec<KeyPicture>,
) -> Result<(), Error> {
    let name = listing.folder.clone();
    let failed = &|source| Error::Seal { name: name.clone(), source };
    if seal.scheme == Scheme::Aes128 {
        pictures.clear();
    }
    let way = Way { seal: &|clear| seal.init(clear), open: &|sealed| seal.open_init(sealed) };
    let init = way.change(folder, INIT, failed)?.sealed;
    for (place, segment) in (0..).zip(&mut listing.segments) {
        stop.check()?;
        let way =
            Way { seal: &|clear| seal.segment(place, content, clear), open: &|sealed| seal.open(place, &init, sealed) };
        let Changed { clear, sealed } = way.change(folder, &segment_name(place), failed)?;
        segment.bytes = sealed.len() as u64;
        for picture in pictures.iter_mut().filter(|picture| picture.segment == place) {
            picture.range = moved(&picture.range, &clear, &sealed).map_err(failed)?;
        }
    }
    Ok(())
}

type Step<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, seal::Error>;

/// How a file is sealed, and how it is opened again.
struct Way<'a> {
    seal: Step<'a>,
    open: Step<'a>,
}

/// The bytes of a file before it was sealed, and those that it has now.
struct Changed {
    clear: Vec<u8>,
    sealed: Vec<u8>,
}

impl Way<'_> {
    /// Seals a file, and opens what is then read from it: that has to be what was sealed.
    fn change(&self, folder: &Folder, name: &str, failed: &dyn Fn(seal::Error) -> Error) -> Result<Changed, Error> {
        let clear = read(folder, name)?;
        write(folder, name, &(self.seal)(&clear).map_err(failed)?)?;
        let sealed = read(folder, name)?;
        match (self.open)(&sealed).map_err(failed)? == clear {
            true => Ok(Changed { clear, sealed }),
            false => Err(failed(seal::Error::Layout("it does not open to what was sealed"))),
        }
    }
}

/// Where the fragment that filled `range` of the clear segment stands in the sealed one.
fn moved(range: &Range<u64>, clear: &[u8], sealed: &[u8]) -> Result<Range<u64>, seal::Error> {
    let place = seal::fragments(clear)?.iter().position(|fragment| fragment == range);
    let place = place.ok_or(seal::Error::Layout("a key picture that is no fragment"))?;
    seal::fragments(sealed)?.get(place).cloned().ok_or(seal::Error::Layout("fewer fragments than before"))
}

fn read(folder: &Folder, name: &str) -> Result<Vec<u8>, Error> {
    let path = folder.file(name);
    fs::read(&path).map_err(at(&path))
}

fn write(folder: &Folder, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let path = folder.file(name);
    folder.publish(name, |file| write_bytes(file, &path, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(open: Step<'_>) -> (Result<Changed, Error>, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path().to_owned(), Durability::Buffered).unwrap();
        fs::write(folder.file("a"), b"clear").unwrap();
        let way = Way { seal: &|clear| Ok(clear.iter().rev().copied().collect()), open };
        let failed = |source| Error::Seal { name: "a".to_owned(), source };
        (way.change(&folder, "a", &failed), fs::read(folder.file("a")).unwrap())
    }

    #[test]
    fn a_file_is_sealed_where_what_is_read_from_it_opens_to_what_it_was_and_refused_otherwise() {
        let (found, file) = changed(&|sealed| Ok(sealed.iter().rev().copied().collect()));
        let Changed { clear, sealed } = found.unwrap();
        assert_eq!((&clear[..], &sealed[..], &file[..]), (&b"clear"[..], &b"raelc"[..], &b"raelc"[..]));
        assert!(matches!(changed(&|sealed| Ok(sealed.to_vec())).0, Err(Error::Seal { .. })));
    }
}
