//! Reads a stream: the shell around the readers. Nothing is decoded.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::boxes::{self, Extent, Init, Subsegment};
use super::files::{Files, Folder, Piece, Place, Window, folder_of};
use super::mpd::{self, Addressing, Listed, Reference};
use super::playlist::{self, Encryption, Playlist};
use super::stream::{
    Absent, Contents, Dash, DashSegment, DashTrack, Form, Found, Hls, MediaPlaylist, Rendition, Role, Segment, Stream,
};
use super::{transport, webvtt};

/// Most samples of all segments together: eight renditions of a day at sixty pictures a second.
const MOST_SAMPLES: usize = 50_000_000;
/// Most segments of all playlists together.
const MOST_SEGMENTS: usize = 2_000_000;
/// How much memory manifests may take.
const MOST: Bounds = Bounds { text_bytes: 1 << 30, name_bytes: 256 << 20 };

/// What bounds the memory that manifests take, whatever stands in them.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Bytes of all playlists together, as they are held.
    text_bytes: usize,
    /// Bytes of the names of all segments together, each with that of its initialization segment.
    name_bytes: usize,
}

/// Where a stream lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The folder that everything must be in.
    pub root: PathBuf,
    /// A playlist in it.
    pub playlist: Option<String>,
    /// An MPD in it.
    pub mpd: Option<String>,
}

/// Reads a stream from a folder.
///
/// # Errors
/// If the folder, the playlist or the MPD can't be read.
pub fn load(entry: &Entry) -> io::Result<Stream> {
    let folder = Folder::new(&entry.root)?;
    load_from(&folder, entry.playlist.as_deref(), entry.mpd.as_deref())
}

/// Reads the stream of a playlist and an MPD from any files.
///
/// # Errors
/// If the playlist or the MPD can't be read.
pub fn load_from(files: &impl Files, playlist: Option<&str>, mpd: Option<&str>) -> io::Result<Stream> {
    let mut loader = Loader::new(files);
    let hls = playlist.map(|name| loader.hls(name)).transpose()?;
    let dash = mpd.map(|name| loader.dash(name)).transpose()?;
    Ok(Stream { hls, dash })
}

struct Loader<'a, F> {
    files: &'a F,
    inits: HashMap<Piece, Found<Rc<Init>>>,
    contents: HashMap<(Piece, Option<Piece>, bool), Found<Rc<Contents>>>,
    samples: usize,
    segments: usize,
    text_bytes: usize,
    name_bytes: usize,
    most: Bounds,
}

impl<'a, F: Files> Loader<'a, F> {
    fn new(files: &'a F) -> Self {
        Self {
            files,
            inits: HashMap::new(),
            contents: HashMap::new(),
            samples: 0,
            segments: 0,
            text_bytes: 0,
            name_bytes: 0,
            most: MOST,
        }
    }

    /// Opens a piece: itself, and its length.
    fn open(&self, piece: &Piece) -> Found<Window<F::File>> {
        let (file, bytes) = match &piece.path {
            Ok(path) => self.files.open(path)?,
            Err(Place::Outside(_)) => return Err(Absent::Outside),
            Err(Place::Elsewhere(_)) => return Err(Absent::Elsewhere),
        };
        let (start, length) = piece.range.unwrap_or((0, bytes));
        if length == 0 || start.checked_add(length).is_none_or(|end| end > bytes) {
            return Err(Absent::Short { bytes });
        }
        let mut window = Window { file, start, length, at: 0 };
        window.seek(SeekFrom::Start(0)).map_err(|error| Absent::Damaged(error.to_string()))?;
        Ok(window)
    }

    fn bytes(&self, piece: &Piece, most: u64) -> Found<Vec<u8>> {
        let mut window = self.open(piece)?;
        if window.length > most {
            return Err(Absent::Damaged(format!("{} bytes are more than are read of it ({most})", window.length)));
        }
        let mut bytes = Vec::new();
        window.read_to_end(&mut bytes).map_err(|error| Absent::Damaged(error.to_string()))?;
        Ok(bytes)
    }

    fn manifest(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        let refuse = |absent: Absent| io::Error::other(absent.to_string());
        match self.bytes(&Piece { path: Ok(name.to_owned()), range: None }, most) {
            Err(Absent::Short { .. }) => Ok(Vec::new()),
            read => read.map_err(refuse),
        }
    }

    fn init(&mut self, piece: &Piece) -> Found<Rc<Init>> {
        if let Some(known) = self.inits.get(piece) {
            return known.clone();
        }
        let read = self.bytes(piece, boxes::MOST_INIT_BYTES).and_then(|bytes| {
            boxes::init(&bytes).map(Rc::new).map_err(|damage| match bytes.starts_with(&[0x1A, 0x45, 0xDF, 0xA3]) {
                true => Absent::Opaque("WebM"),
                false => Absent::Damaged(damage.to_string()),
            })
        });
        self.inits.insert(piece.clone(), read.clone());
        read
    }

    /// A segment, under the initialization segment at `under`; only its `first` sample where the rest may be cut off.
    fn contents(&mut self, piece: &Piece, under: Option<&Piece>, first: bool) -> Found<Rc<Contents>> {
        let key = (piece.clone(), under.cloned(), first);
        if let Some(known) = self.contents.get(&key) {
            return known.clone();
        }
        let read = self.read(piece, under, first).map(Rc::new);
        self.contents.insert(key, read.clone());
        read
    }

    fn read(&mut self, piece: &Piece, under: Option<&Piece>, first: bool) -> Found<Contents> {
        let mut window = self.open(piece)?;
        let damaged = |error: &dyn std::fmt::Display| Absent::Damaged(error.to_string());
        let (length, before) = (window.length, window.start);
        let mut head = Vec::new();
        (&mut window).take(12).read_to_end(&mut head).map_err(|error| damaged(&error))?;
        window.seek(SeekFrom::Start(0)).map_err(|error| damaged(&error))?;
        let form = match head.as_slice() {
            [0x47, ..] => {
                let mut read = transport::read(window).map_err(|error| damaged(&error))?;
                // Ranges in I-frame playlists begin and end where the picture does.
                if first {
                    (read.opens_with_tables, read.lost) = (true, None);
                }
                Form::Transport(read)
            }
            [0xEF, 0xBB, 0xBF, b'W', b'E', ..] | [b'W', b'E', b'B', b'V', ..] => {
                Form::WebVtt(webvtt::read(&self.bytes(piece, webvtt::MOST_BYTES)?))
            }
            [0xFF, 0xD8, ..] | [0x89, b'P', b'N', b'G', ..] => Form::Other("images"),
            [b'I', b'D', b'3', ..] | [0xFF, 0xF0..=0xFF, ..] => Form::Other("audio frames without a container"),
            [0x1A, 0x45, 0xDF, 0xA3, ..] => Form::Other("WebM"),
            [b'<', ..] | [0xEF, 0xBB, 0xBF, b'<', ..] => Form::Other("TTML"),
            [_, _, _, _, kind @ ..] if is_box(kind) => {
                let init = match under {
                    Some(init) => self.init(init),
                    None => self.init(piece),
                };
                let init = init.map_err(|absent| match absent {
                    Absent::Opaque(why) => Absent::Opaque(why),
                    _ => Absent::Opaque("its initialization segment can't be read"),
                })?;
                if self.samples > MOST_SAMPLES {
                    return Err(Absent::Opaque("there are more samples than are looked at"));
                }
                let extent = Extent { length, before, first };
                let fragments = boxes::segment(&mut window, extent, &init).map_err(|error| damaged(&error))?;
                self.samples += fragments.runs.iter().map(|run| run.samples.len()).sum::<usize>();
                Form::Fragments(init, fragments)
            }
            _ if self.under_webm(under) => Form::Other("WebM"),
            _ => return Err(Absent::Damaged("it is in no format of media segments".to_owned())),
        };
        Ok(Contents { bytes: length, form })
    }

    fn under_webm(&mut self, under: Option<&Piece>) -> bool {
        under.is_some_and(|init| matches!(self.init(init), Err(Absent::Opaque("WebM"))))
    }

    // --- HLS ------------------------------------------------------------------------------------

    fn hls(&mut self, name: &str) -> io::Result<Hls> {
        let master = Playlist::read(name, &self.manifest(name, playlist::MOST_BYTES)?);
        if !master.is_multivariant() {
            let media = self.media(master);
            return Ok(Hls {
                master: None,
                renditions: vec![Rendition { name: name.to_owned(), roles: vec![Role::Variant], media: Ok(media) }],
            });
        }
        let mut renditions: Vec<Rendition> = Vec::new();
        for (role, uri) in named(&master) {
            let piece = Piece::of(folder_of(name), &uri, None);
            let rendition = match renditions.iter().position(|known| known.name == piece.name()) {
                Some(known) => known,
                None => {
                    let media = self.playlist(&piece).map(|text| self.media(text));
                    renditions.push(Rendition { name: piece.name(), roles: Vec::new(), media });
                    renditions.len() - 1
                }
            };
            if !renditions[rendition].roles.contains(&role) {
                renditions[rendition].roles.push(role);
            }
        }
        Ok(Hls { master: Some(master), renditions })
    }

    /// The lines of a media playlist, as long as all of them together do not take too much memory.
    fn playlist(&mut self, piece: &Piece) -> Found<Playlist> {
        const TOO_MUCH: Found<Playlist> = Err(Absent::Opaque("there is more in the playlists than is looked at"));
        if self.text_bytes > self.most.text_bytes {
            return TOO_MUCH;
        }
        let text = Playlist::read(piece.path.as_deref().unwrap_or_default(), &self.bytes(piece, playlist::MOST_BYTES)?);
        self.text_bytes += text.weight();
        if self.text_bytes > self.most.text_bytes { TOO_MUCH } else { Ok(text) }
    }

    /// Whether the name of one more segment can be kept, under the initialization segment at `under`.
    fn has_room_for(&mut self, piece: &Piece, under: Option<&Piece>) -> bool {
        self.name_bytes += piece.bytes() + under.map_or(0, Piece::bytes);
        self.name_bytes <= self.most.name_bytes
    }

    fn media(&mut self, mut text: Playlist) -> MediaPlaylist {
        let folder = folder_of(&text.name).to_owned();
        let (entries, maps) = text.entries();
        let frames = text.has("EXT-X-I-FRAMES-ONLY");
        let pieces: Vec<Piece> = maps
            .iter()
            .map(|map| Piece::of(&folder, &map.uri, map.range.map(|(length, start)| (start.unwrap_or(0), length))))
            .collect();
        let inits = maps.iter().zip(&pieces).map(|(map, piece)| {
            let init = match map.encryption {
                Encryption::Whole => self.open(piece).and(Err(Absent::Opaque("it is encrypted"))),
                _ => self.init(piece),
            };
            (piece.name(), init)
        });
        let inits: Vec<_> = inits.collect();
        let (mut segments, mut end) = (Vec::with_capacity(entries.len()), (String::new(), 0));
        for entry in entries {
            self.segments += 1;
            if self.segments > MOST_SEGMENTS {
                text.syntax.push((entry.line, format!("only {MOST_SEGMENTS} segments are looked at")));
                break;
            }
            let whole = Piece::of(&folder, &entry.uri, None);
            let range = entry.range.map(|(length, start)| {
                // Without a start it follows the segment before (RFC 8216bis 4.4.4.2).
                let follows = if end.0 == whole.name() { end.1 } else { 0 };
                (start.unwrap_or(follows), length)
            });
            end = (whole.name(), range.map_or(0, |(start, length)| start.saturating_add(length)));
            let piece = Piece { range, ..whole };
            let under = entry.map.map(|map| &pieces[map]);
            if !self.has_room_for(&piece, under) {
                text.syntax.push((entry.line, format!("only {} bytes of names are looked at", self.most.name_bytes)));
                break;
            }
            let contents = match entry.encryption {
                _ if entry.gap => Err(Absent::Opaque("it is a gap")),
                Encryption::Whole => {
                    let length = self.open(&piece).map(|window| window.length);
                    length.map(|bytes| Rc::new(Contents { bytes, form: Form::Other("encrypted") }))
                }
                _ => self.contents(&piece, under, frames),
            };
            segments.push(Segment {
                name: piece.name(),
                line: entry.line,
                seconds: entry.seconds,
                discontinuity: entry.discontinuity,
                gap: entry.gap,
                encryption: entry.encryption,
                init: entry.map,
                contents,
            });
        }
        MediaPlaylist { text, inits, segments }
    }

    // --- DASH -----------------------------------------------------------------------------------

    fn dash(&mut self, name: &str) -> io::Result<Dash> {
        let outline = mpd::read(&self.manifest(name, mpd::MOST_BYTES)?);
        let listed = outline.as_ref().map(|outline| outline.representations.as_slice()).unwrap_or_default();
        let tracks = listed.iter().map(|listed| self.dash_track(folder_of(name), listed)).collect();
        Ok(Dash { name: name.to_owned(), outline, tracks })
    }

    fn dash_track(&mut self, folder: &str, listed: &Listed) -> DashTrack {
        let piece = |reference: &Reference| {
            let range = reference.range.map(|(first, last)| (first, (last - first).saturating_add(1)));
            Piece::of(folder, &reference.uri, range)
        };
        let (init, segments) = match &listed.addressing {
            Addressing::None => (None, Vec::new()),
            Addressing::Whole(file) => (None, vec![(piece(file), 0, 0)]),
            Addressing::Segments { init, segments, .. } => {
                let segments = segments.iter().map(|(at, start, ticks)| (piece(at), *start, *ticks));
                (init.as_ref().map(piece), segments.collect())
            }
            Addressing::Indexed { init, index } => {
                let file = Reference { uri: init.uri.clone(), range: Some(*index) };
                let read = self.bytes(&piece(&file), boxes::MOST_INIT_BYTES);
                let rows = read.and_then(|bytes| {
                    boxes::index(&bytes, index.0).map_err(|damage| Absent::Damaged(damage.to_string()))
                });
                match rows {
                    Ok(rows) => {
                        let segments = rows.into_iter().map(|Subsegment { start, size, time, ticks }| {
                            (Piece { range: Some((start, size)), ..piece(&file) }, time, ticks)
                        });
                        (Some(piece(init)), segments.collect())
                    }
                    Err(absent) => {
                        let lost = DashSegment { name: piece(&file).name(), start: 0, ticks: 0, contents: Err(absent) };
                        return DashTrack { init: None, segments: vec![lost] };
                    }
                }
            }
        };
        let segments = segments.into_iter().map(|(piece, start, ticks)| DashSegment {
            name: piece.name(),
            start,
            ticks,
            contents: match self.has_room_for(&piece, init.as_ref()) {
                true => self.contents(&piece, init.as_ref(), false),
                false => Err(Absent::Opaque("there are more names than are looked at")),
            },
        });
        let segments = segments.collect();
        DashTrack { init: init.map(|piece| (piece.name(), self.init(&piece))), segments }
    }
}

fn is_box(kind: &[u8]) -> bool {
    const FIRST: [&[u8; 4]; 11] =
        [b"ftyp", b"styp", b"moof", b"sidx", b"ssix", b"emsg", b"prft", b"free", b"skip", b"mdat", b"uuid"];
    FIRST.iter().any(|first| kind.starts_with(*first))
}

/// What a multivariant playlist names, and for what.
fn named(master: &Playlist) -> Vec<(Role, String)> {
    let variants = master.variants().filter_map(|(_, _, uri)| Some((Role::Variant, uri?.to_owned())));
    let media = master.tags("EXT-X-MEDIA").filter_map(|(_, _, attributes)| {
        let role = match attributes.get("TYPE")? {
            "AUDIO" => Role::Audio,
            "VIDEO" => Role::Video,
            "SUBTITLES" => Role::Subtitles,
            _ => return None,
        };
        Some((role, attributes.get("URI")?.to_owned()))
    });
    let frames = master
        .tags("EXT-X-I-FRAME-STREAM-INF")
        .filter_map(|(_, _, attributes)| Some((Role::IFrames, attributes.get("URI")?.to_owned())));
    let images = master
        .tags("EXT-X-IMAGE-STREAM-INF")
        .filter_map(|(_, _, attributes)| Some((Role::Images, attributes.get("URI")?.to_owned())));
    variants.chain(media).chain(frames).chain(images).collect()
}

/// The name by which a rendition is known that a manifest in `folder` names by `uri`.
pub(super) fn rendition_name(folder: &str, uri: &str) -> String {
    Piece::of(folder_of(folder), uri, None).name()
}

/// The manifests in a folder: those of the usual names, or the only ones.
///
/// # Errors
/// The names among which one has to be chosen, or that there is none.
pub fn find(folder: &Path) -> io::Result<Result<Entry, Vec<String>>> {
    let (mut playlists, mut mpds) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        match Path::new(name).extension().and_then(|extension| extension.to_str()) {
            Some("m3u8") => playlists.push(name.to_owned()),
            Some("mpd") => mpds.push(name.to_owned()),
            _ => {}
        }
    }
    playlists.sort();
    mpds.sort();
    let multivariant = |name: &&String| {
        let mut start = Vec::new();
        let read =
            File::open(folder.join(name)).and_then(|file| file.take(playlist::MOST_BYTES).read_to_end(&mut start));
        read.is_ok() && Playlist::read(name, &start).is_multivariant()
    };
    let masters: Vec<String> = playlists.iter().filter(multivariant).cloned().collect();
    let playlist = chosen(if masters.is_empty() { playlists } else { masters }, "master.m3u8");
    let mpd = chosen(mpds, "manifest.mpd");
    Ok(match (playlist, mpd) {
        (Ok(playlist), Ok(mpd)) => Ok(Entry { root: folder.to_owned(), playlist, mpd }),
        (Err(many), _) | (_, Err(many)) => Err(many),
    })
}

/// The one with the usual name, or the only one; the names where there are several.
fn chosen(names: Vec<String>, usual: &str) -> Result<Option<String>, Vec<String>> {
    match names.iter().find(|name| *name == usual) {
        Some(usual) => Ok(Some(usual.clone())),
        None if names.len() > 1 => Err(names),
        None => Ok(names.into_iter().next()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Memory, good};
    use super::*;

    #[test]
    fn playlists_and_names_are_kept_only_as_far_as_all_together_take_no_more_memory_than_they_may() {
        fn read(files: &Memory, most: Bounds) -> Vec<Rendition> {
            let mut loader = Loader { most, ..Loader::new(files) };
            loader.hls("master.m3u8").unwrap().renditions
        }
        let mut files = good();
        assert!(read(&files, MOST).iter().all(|rendition| rendition.media.is_ok()));
        let few = read(&files, Bounds { text_bytes: 3000, ..MOST });
        let (first, last) = (&few[0].media, &few[few.len() - 1].media);
        assert!(first.is_ok() && matches!(last, Err(Absent::Opaque(_))), "{last:?}");
        let map = format!("#EXT-X-MAP:URI=\"{}\"\n", "i".repeat(1000));
        files.0.insert(few[0].name.clone(), format!("#EXTM3U\n{map}{}", "#EXTINF:1,\na\n".repeat(20)).into_bytes());
        let short = read(&files, Bounds { name_bytes: 10_000, ..MOST });
        let media = short[0].playlist().unwrap();
        assert_eq!(media.segments.len(), 9, "each with the name of its initialization segment");
        assert_eq!(media.text.syntax, [(22, "only 10000 bytes of names are looked at".to_owned())]);
    }

    #[test]
    fn a_byte_range_that_a_file_does_not_have_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), b"12345").unwrap();
        let files = Folder::new(folder.path()).unwrap();
        let loader = Loader::new(&files);
        let bytes = |range| loader.bytes(&Piece::of("", "a", range), 10);
        assert_eq!(bytes(Some((1, 3))), Ok(b"234".to_vec()));
        assert_eq!(bytes(Some((3, 3))), Err(Absent::Short { bytes: 5 }));
        assert_eq!(bytes(Some((u64::MAX, 2))), Err(Absent::Short { bytes: 5 }));
    }
}
