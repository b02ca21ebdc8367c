//! The end of a job: everything is proven, then the manifests name it.

use std::collections::HashSet;
use std::path::PathBuf;

use m3u8_rs::MediaPlaylist;
use vtp_engine::format::dolby;
use vtp_engine::ladder::AudioCodec;
use vtp_engine::stills::THUMBNAILS;

use crate::archive::ArchivedSound;
use crate::audio::FinishedAudio;
use crate::boxes::codec::audio_name;
use crate::files::{Folder, at, discard, write_bytes};
use crate::language::Language;
use crate::layout::{SubtitleTrack, unique};
use crate::listing::{
    AudioListing, IFRAMES, Listing, MASTER, MPD, MPD_WITH_THUMBNAILS, PLAYLIST, Presentation, SubtitleListing,
    VideoListing,
};
use crate::pictures::{Finished, POSTER_FILE, VTT};
use crate::proof::SourceSound;
use crate::proof::run::{Claim, Proved};
use crate::remux::run::Parts;
use crate::remux::text::Text;
use crate::report::{AudioReport, FileReport, Published, RenditionReport, StreamsReport, SubtitleReport};
use crate::seal::Scheme;
use crate::stop::Stop;
use crate::subtitles::{FinishedSubtitles, Ruler};
use crate::video::VideoTrack;
use crate::{Error, dash, hls, iframes, proof, rates, remux, sealing, transport};

use super::Stitcher;

impl Stitcher {
    /// Proves conservation and publishes the manifests: media playlists first, then the multivariant playlist and the
    /// MPD. `audio` are the finished tracks, `sounds` what the source's audio is, both for every track of the layout
    /// in its order; `archived` is the sound of the archive, every track of it. After an error no manifest is left.
    pub fn finish(
        self,
        audio: Vec<FinishedAudio>,
        sounds: &[SourceSound],
        archived: &[ArchivedSound],
    ) -> Result<Published, Error> {
        self.finish_unless(&|| false, audio, sounds, archived)
    }

    /// The same, given up with [`Error::Cancelled`] once `is_cancelled` says so, which is asked all the while.
    pub fn finish_unless(
        self,
        is_cancelled: &dyn Fn() -> bool,
        audio: Vec<FinishedAudio>,
        sounds: &[SourceSound],
        archived: &[ArchivedSound],
    ) -> Result<Published, Error> {
        let told = self.early.is_some().then(|| {
            let videos = self.layout.renditions.iter().map(|rendition| rendition.name.clone());
            (self.dir.clone(), videos.chain(self.layout.audio_folders()).collect::<Vec<_>>())
        });
        let finished = self.prove_and_publish(Stop(is_cancelled), audio, sounds, archived);
        if let (Some((dir, folders)), Err(_)) = (told, &finished) {
            Self::withdraw(&dir, &folders);
        }
        finished
    }

    fn prove_and_publish(
        mut self,
        stop: Stop<'_>,
        audio: Vec<FinishedAudio>,
        sounds: &[SourceSound],
        archived: &[ArchivedSound],
    ) -> Result<Published, Error> {
        if let Some(missing) = self.due() {
            return Err(Error::MissingChunk(missing.index));
        }
        let (got, due): (Vec<_>, Vec<_>) =
            (audio.iter().map(|finished| finished.track).collect(), (0..self.layout.audio.len()).collect());
        if got != due {
            return Err(Error::MissingAudio { got, due });
        }
        let heard: Vec<_> = audio.into_iter().filter(|finished| !finished.segments.is_empty()).collect();
        let ruler = self.ruler(&heard)?;
        let mut presentation = self.presentation(&heard, &self.subtitles(&ruler)?, &ruler)?;
        let video_end = presentation.video.iter().filter_map(|it| it.listing.interval()).map(|(_, end)| end);
        let (video_end, end) = (video_end.fold(0.0, f64::max), presentation.interval().1);
        let pictures = std::mem::take(&mut self.gallery).finish(video_end, end)?;
        presentation.sheets.clone_from(&pictures.sheets);
        let configs: Vec<_> =
            self.videos.iter().filter_map(|video| Some(video.init.as_ref()?.1.config.clone())).collect();
        let tracks: Vec<_> = heard.iter().map(|finished| finished.track).collect();
        let (dir, layout, index) = (&*self.dir, &*self.layout, &*self.index);
        let (configs, tracks, ruler) = (&configs[..], &tracks[..], &ruler);
        let claim = Claim { dir, layout, index, presentation: &presentation, configs, tracks, sounds, ruler, stop };
        let proved = claim.prove()?;
        if let Some(sheets) = &presentation.sheets {
            proof::pictures::check(&self.dir.join(THUMBNAILS), sheets)?;
        }
        let files = self.files(stop, &presentation, archived)?;
        let mut streams = self.streams(stop, &presentation).inspect_err(|_| self.discard_files(&files))?;
        if let Some(seal) = &self.seal {
            let mut sealed = sealing::seal(stop, &self.dir, self.layout.durability, seal, &mut presentation);
            if let (Ok(()), Some(streams)) = (&sealed, &mut streams) {
                sealed = sealing::streams(stop, &self.dir, self.layout.durability, seal, streams);
            }
            sealed.inspect_err(|_| self.discard_files(&files))?;
        }
        let published = stop.check().and_then(|()| self.publish(&presentation, streams.as_ref(), &pictures, &proved));
        published.inspect_err(|_| self.discard_files(&files))?;
        let hls_ts = streams.as_ref().map(StreamsReport::new);
        Ok(Published { files, hls_ts, ..self.report(&presentation, &pictures, proved) })
    }

    /// Where subtitles are cut beside this sound.
    fn ruler(&self, heard: &[FinishedAudio]) -> Result<Ruler, Error> {
        let (cuts, video_end, timescale) = self.cuts()?;
        let sound_end = |finished: &FinishedAudio| {
            let (track, last) = (&self.layout.audio[finished.track], finished.segments.last()?);
            let samples = (last.start + last.ticks).saturating_sub(track.priming.into());
            let ticks = u128::from(samples) * u128::from(timescale);
            u64::try_from(ticks.div_ceil(u128::from(track.sample_rate.max(1)))).ok()
        };
        let sound_end = heard.iter().filter_map(sound_end).max().unwrap_or(0);
        let cues = self.layout.subtitles.iter().flat_map(|track| &track.cues);
        Ok(Ruler::new(&cuts, Ruler::end(cues, (video_end, sound_end), timescale), timescale))
    }

    fn discard_files(&self, files: &[FileReport]) {
        files.iter().for_each(|file| discard(&self.dir.join(&file.name)));
    }

    /// Writes the transport streams, if there are to be some.
    fn streams(&self, stop: Stop<'_>, presentation: &Presentation) -> Result<Option<Presentation>, Error> {
        let Some(takes) = &self.streamed else { return Ok(None) };
        // What is sealed as a whole can't be fetched in part.
        let alone = self.seal.is_none();
        transport::run::write(stop, &self.dir, self.layout.durability, presentation, takes, alone).map(Some)
    }

    /// Writes the whole files. After an error none is left.
    fn files(
        &self,
        stop: Stop<'_>,
        presentation: &Presentation,
        archived: &[ArchivedSound],
    ) -> Result<Vec<FileReport>, Error> {
        let inits: Vec<_> = self.videos.iter().filter_map(|video| Some(&video.init.as_ref()?.1)).collect();
        let mut written: Vec<FileReport> = Vec::new();
        for container in &self.containers {
            let best = container.best(&self.layout.renditions, self.layout.video.rotation);
            let video = best.and_then(|place| Some((presentation.video.get(place)?, *inits.get(place)?)));
            let none = || Error::Layout(format!("nothing that is made can be shown by {container}"));
            let first = |name: &str| presentation.audio.iter().position(|it| it.name == name).unwrap_or(0);
            let versions = presentation.audio.iter().map(|it| (first(&it.name), it.listing.codec.as_str()));
            let sound = container
                .sound(&versions.collect::<Vec<_>>())
                .into_iter()
                .filter_map(|place| presentation.audio.get(place));
            let sound: Vec<&AudioListing> = sound.collect();
            let texts: Vec<(&str, Text<'_>)> =
                presentation.subtitles.iter().zip(&self.layout.subtitles).map(|(it, track)| text(it, track)).collect();
            let file = video.ok_or_else(none).and_then(|video| {
                remux::run::write(stop, &self.dir, self.layout.durability, *container, &Parts { video, sound, texts })
            });
            let file = file.inspect_err(|_| written.iter().for_each(|file| discard(&self.dir.join(&file.name))))?;
            written.push(file);
        }
        if let Some(archive) = &self.archive {
            let when = (&*self.index, self.layout.clock(&self.index));
            let file = archive.write(stop, &self.dir, self.layout.durability, when, archived);
            written.push(file.inspect_err(|_| written.iter().for_each(|it| discard(&self.dir.join(&it.name))))?);
        }
        Ok(written)
    }

    pub(super) fn presentation(
        &self,
        heard: &[FinishedAudio],
        written: &[FinishedSubtitles],
        ruler: &Ruler,
    ) -> Result<Presentation, Error> {
        let folders = self.layout.audio_folders();
        let flagged = heard.iter().position(|finished| self.layout.audio[finished.track].default).unwrap_or(0);
        let mut taken = HashSet::new();
        let names: Vec<String> = self.layout.audio.iter().enumerate().fold(Vec::new(), |mut names, (track, spec)| {
            let mut own = |track| {
                let language = Language::of(spec.language.as_deref());
                unique(display_name(spec.title.as_deref(), &language, "Audio", track), " ", &mut taken)
            };
            let same = spec.version_of.and_then(|of| names.get(of).cloned());
            names.push(same.unwrap_or_else(|| own(track)));
            names
        });
        let audio = heard.iter().enumerate().map(|(place, finished)| {
            let spec = &self.layout.audio[finished.track];
            let (language, folder) = (Language::of(spec.language.as_deref()), folders[finished.track].clone());
            let codec = audio_name(spec.codec, &spec.config);
            let codec = codec.map_err(|source| Error::Boxes { name: folder.clone(), source })?;
            Ok(AudioListing {
                listing: Listing::new(folder, codec, spec.sample_rate, &finished.segments, spec.priming),
                name: names[finished.track].clone(),
                language,
                default: place == flagged || spec.version_of == heard.get(flagged).map(|it| it.track),
                surround: spec.surround,
                muxed: false,
                purpose: spec.purpose,
                codec: spec.codec,
                channels: spec.channels,
                objects: (spec.codec == AudioCodec::Eac3).then(|| dolby::objects(&spec.config)).flatten(),
                sample_rate: spec.sample_rate,
            })
        });
        Ok(Presentation {
            audio: audio.collect::<Result<_, Error>>()?,
            video: self.videos.iter().filter_map(|video| video.listing(&self.index)).collect(),
            subtitles: self.subtitle_listings(written, ruler),
            captions: self.layout.captions.clone(),
            sheets: None,
            told_target_s: self.early.as_ref().map_or(0, |early| early.target_s),
        })
    }

    fn subtitle_listings(&self, written: &[FinishedSubtitles], ruler: &Ruler) -> Vec<SubtitleListing> {
        let default = self.layout.subtitles.iter().position(|track| track.default);
        let mut names = HashSet::new();
        let tracks = self.layout.subtitle_folders().into_iter().zip(&self.layout.subtitles).zip(written);
        let listing = |(place, ((folder, track), written)): (usize, ((String, &SubtitleTrack), &FinishedSubtitles))| {
            let language = Language::of(track.language.as_deref());
            let name = display_name(track.title.as_deref(), &language, "Subtitles", place);
            let forced = if track.forced && track.title.is_none() { " (forced)" } else { "" };
            let list =
                |timescale, segments: &_| Listing::new(folder.clone(), "wvtt".to_owned(), timescale, segments, 0);
            SubtitleListing {
                files: list(ruler.timescale, &written.files),
                fragments: list(ruler.fine().timescale, &written.fragments),
                name: unique(name + forced, " ", &mut names),
                language,
                default: Some(place) == default,
                forced: track.forced,
                hearing_impaired: track.hearing_impaired,
            }
        };
        tracks.enumerate().map(listing).collect()
    }

    /// Writes all manifests under temporary names, then reveals them in order.
    fn publish(
        &self,
        presentation: &Presentation,
        streams: Option<&Presentation>,
        pictures: &Finished,
        proved: &Proved,
    ) -> Result<(), Error> {
        let durability = self.layout.durability;
        let mut drafts = Vec::new();
        let mut revealed = Vec::new();
        let published = self.manifests(presentation, streams, pictures, proved).and_then(|manifests| {
            for Manifest { folder, name, bytes } in manifests {
                let folder = Folder::create(folder, durability)?;
                let path = folder.file(name);
                drafts.push((folder.draft(name, |file| write_bytes(file, &path, &bytes))?, folder, name));
            }
            self.prove_key_pictures(presentation)?;
            for (draft, folder, name) in &drafts {
                folder.reveal(draft, name)?;
                revealed.push(folder.file(name));
            }
            Ok(())
        });
        if published.is_err() {
            // Newest first: no playlist is left that names one which is gone.
            revealed.iter().rev().for_each(|path| discard(path));
            drafts.iter().skip(revealed.len()).for_each(|(draft, ..)| discard(draft));
        }
        published
    }

    /// Reads the drafts of the I-frame playlists back.
    fn prove_key_pictures(&self, presentation: &Presentation) -> Result<(), Error> {
        let videos = self.videos.iter().filter_map(|video| Some((video, &video.init.as_ref()?.1.config)));
        let named = |(video, _): &(&VideoListing, _)| !video.pictures.is_empty();
        for (listing, (video, config)) in presentation.video.iter().zip(videos).filter(named) {
            let draft = video.folder.draft_of(IFRAMES);
            proof::iframes::check(&draft, &self.dir.join(&listing.listing.folder), &listing.listing, config)?;
        }
        Ok(())
    }

    /// Every manifest, in the order in which they are to appear.
    fn manifests(
        &self,
        presentation: &Presentation,
        streams: Option<&Presentation>,
        pictures: &Finished,
        proved: &Proved,
    ) -> Result<Vec<Manifest>, Error> {
        let target = presentation.target_s();
        let mut manifests = Vec::new();
        if let Some(streams) = streams {
            for (folder, name, bytes) in transport::playlists(streams, self.seal.as_ref()).map_err(at(&self.dir))? {
                manifests.push(Manifest { folder: self.dir.join(folder), name, bytes });
            }
        }
        let manifest = |listing: &Listing, name, mut playlist: MediaPlaylist| {
            let folder = self.dir.join(&listing.folder);
            hls::date(&mut playlist, presentation, listing.start_s());
            let bytes = hls::text(|bytes| playlist.write_to(bytes)).map_err(at(&folder))?;
            Ok::<_, Error>(Manifest { folder, name, bytes })
        };
        let sealed = |mut playlist: MediaPlaylist| {
            hls::protect(&mut playlist, self.seal.as_ref());
            playlist
        };
        for listing in presentation.listings() {
            manifests.push(manifest(listing, PLAYLIST, sealed(hls::media(listing, target)))?);
        }
        for track in &presentation.subtitles {
            manifests.push(manifest(&track.files, PLAYLIST, hls::subtitles(track, target))?);
        }
        for video in presentation.video.iter().filter(|video| !video.pictures.is_empty()) {
            manifests.push(manifest(&video.listing, IFRAMES, sealed(iframes::playlist(video, target)))?);
        }
        if let Some(sheets) = &presentation.sheets {
            let folder = self.dir.join(THUMBNAILS);
            manifests.push(Manifest { folder: folder.clone(), name: VTT, bytes: sheets.vtt().into_bytes() });
            manifests.push(Manifest {
                folder,
                name: PLAYLIST,
                bytes: sheets.playlist(presentation.begins_apart()).into_bytes(),
            });
        }
        if let Some((jpeg, ..)) = &pictures.poster {
            manifests.push(Manifest { folder: self.dir.clone(), name: POSTER_FILE, bytes: jpeg.clone() });
        }
        let master = hls::master(presentation);
        let text = hls::text(|bytes| master.write_to(bytes)).map_err(at(&self.dir))?;
        manifests.push(Manifest { folder: self.dir.clone(), name: MASTER, bytes: text });
        if self.seal.as_ref().is_none_or(|seal| seal.scheme == Scheme::Cbcs) {
            let mut add = |name, presentation: &Presentation| {
                let mut mpd = dash::mpd(presentation, proved.buffer_s);
                dash::protect(&mut mpd, self.seal.as_ref());
                manifests.push(Manifest { folder: self.dir.clone(), name, bytes: dash::text(&mpd)? });
                Ok::<_, Error>(())
            };
            if presentation.sheets.is_some() {
                add(MPD_WITH_THUMBNAILS, presentation)?;
            }
            add(MPD, &Presentation { sheets: None, ..presentation.clone() })?;
        }
        Ok(manifests)
    }

    fn report(self, presentation: &Presentation, pictures: &Finished, proved: Proved) -> Published {
        let rate = |listing: &Listing| {
            let rates = presentation.rates(listing);
            (rates::whole(rates.peak), rates::whole(rates.average))
        };
        let pictures = pictures.report(|pts| self.layout.video.time_base.seconds(pts - self.layout.video.origin));
        let curves = self.videos.iter().map(VideoTrack::curve).collect();
        let renditions = presentation.video.iter().zip(self.videos).map(|(video, track)| {
            let (bandwidth, average_bandwidth) = rate(&video.listing);
            RenditionReport {
                name: video.listing.folder.clone(),
                codec: video.listing.codec.clone(),
                width: video.size.width,
                height: video.size.height,
                frames: track.segments.iter().map(|segment| segment.samples).sum(),
                bytes: video.listing.bytes(),
                bandwidth,
                average_bandwidth,
                cap_overflow_bits: track.cap_overflow_bits(),
                fidelity: track.fidelity(),
                vmaf: track.vmaf(),
                chunks: track.chunks,
                joins: Vec::new(),
            }
        });
        let audio = presentation.audio.iter().map(|audio| {
            let (bandwidth, average_bandwidth) = rate(&audio.listing);
            AudioReport {
                name: audio.listing.folder.clone(),
                language: audio.language.tag(),
                codec: audio.listing.codec.clone(),
                sample_rate: audio.sample_rate,
                channels: audio.channels,
                bytes: audio.listing.bytes(),
                bandwidth,
                average_bandwidth,
            }
        });
        let subtitles =
            presentation.subtitles.iter().zip(&self.layout.subtitles).map(|(listing, track)| SubtitleReport {
                name: listing.files.folder.clone(),
                title: listing.name.clone(),
                language: listing.language.tag(),
                default: listing.default,
                forced: listing.forced,
                cues: track.cues.len() as u64,
                bytes: listing.files.bytes(),
            });
        let (audio, subtitles) = (audio.collect(), subtitles.collect());
        let (renditions, files) = (renditions.collect(), Vec::new());
        Published { renditions, audio, subtitles, curves, pictures, files, hls_ts: None, proof: proved.proof }
    }
}

/// A manifest that is to appear.
struct Manifest {
    folder: PathBuf,
    name: &'static str,
    bytes: Vec<u8>,
}

/// A track of subtitles as whole files have it.
fn text<'a>(listing: &'a SubtitleListing, track: &'a SubtitleTrack) -> (&'a str, Text<'a>) {
    let text = Text {
        cues: &track.cues,
        language: &listing.language,
        name: &listing.name,
        default: listing.default,
        forced: listing.forced,
        hearing_impaired: listing.hearing_impaired,
    };
    (&listing.files.folder, text)
}

/// What users read: the title, else the language in English, else a number. A quoted string of a playlist holds no
/// quotes, no control characters and no ends of lines; XML does not have the last two characters of the first plane.
fn display_name(title: Option<&str>, language: &Language, kind: &str, track: usize) -> String {
    let clean: String = title
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFFE}' | '\u{FFFF}'))
        .map(|c| if c == '"' { '\'' } else { c })
        .collect();
    match clean.trim() {
        "" if language.is_known() => language.to_string(),
        "" => format!("{kind} {}", track + 1),
        title => title.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_only_what_playlists_and_xml_can_hold() {
        let name = |title| display_name(Some(title), &Language::of(Some("de")), "Audio", 0);
        assert_eq!(name(" \"A\u{FFFE}\"\u{2028}b\u{FFFF}\u{85}\u{2029}\n "), "'A'b");
        assert_eq!(name("\u{FFFE}\u{FEFF}"), "\u{FEFF}");
        assert_eq!(name("\u{FFFF}"), "German");
    }
}
