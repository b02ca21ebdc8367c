//! Sources whose containers or streams are odd in one way each, made by FFmpeg's own tools.

#![allow(clippy::unwrap_used)]

mod common;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use vtp_engine::index::CutClass;
use vtp_engine::limits::Limits;
use vtp_engine::media::demux::SourceFile;
use vtp_splitter::{ChunkReader, Source};

use common::{decode_range, generate};

fn open(path: &Path) -> Source {
    vtp_engine::media::silence_log();
    Source::open(path).unwrap()
}

#[test]
fn few_frames_a_second_that_matroska_reorders_keep_their_times() {
    let folder = tempfile::tempdir().unwrap();
    let (pictures, codec) = ("-f lavfi -i testsrc2=s=160x90:r=5:d=10", "-c:v libx264 -preset ultrafast -bf 3");
    let arguments = format!("{pictures} {codec} -pix_fmt yuv420p -b_strategy 0");
    let Some(path) = generate(folder.path(), "low.mkv", &arguments) else { return };
    let source = open(&path);
    assert_eq!(source.index.heals, []);
    let times: Vec<i64> = source.index.frames.iter().map(|frame| frame.pts).collect();
    assert_eq!(times.len(), 50);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 200), "{times:?}");
}

/// What the decoder makes of a run of packets: each packet that shows a picture, with the picture's checksum.
fn pictures_of(path: &Path, source: &Source, packets: Range<u32>) -> Vec<(u32, u32)> {
    let index = Arc::new(source.index.clone());
    let mut reader = ChunkReader::new(&SourceFile::open(path).unwrap(), source, index).unwrap();
    let mut shown = decode_range(&mut reader, source, packets);
    shown.sort_unstable();
    shown
}

/// The packets of a run that show a picture.
fn decoded(path: &Path, source: &Source, packets: Range<u32>) -> Vec<u32> {
    pictures_of(path, source, packets).into_iter().map(|(packet, _)| packet).collect()
}

#[test]
fn a_sample_without_payload_is_passed_over_and_all_after_it_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = "-f lavfi -i testsrc2=s=160x90:r=10:d=4 -c:v mjpeg";
    let Some(path) = generate(folder.path(), "zero.mov", pictures) else { return };
    let mut bytes = std::fs::read(&path).unwrap();
    let sizes = bytes.windows(4).position(|window| window == b"stsz").unwrap() + 16;
    bytes[sizes + 4 * 15..][..4].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let source = open(&path);
    assert_eq!((source.index.packets.len(), source.index.packets[15].size), (40, 0));
    let due: Vec<u32> = (0..40).filter(|&packet| packet != 15).collect();
    assert_eq!(decoded(&path, &source, 0..40), due);
    assert_eq!(source.index.frames.iter().map(|frame| frame.packet.0).collect::<Vec<_>>(), due);
}

#[test]
fn leading_pictures_of_short_open_groups_of_h265_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let groups = "-x265-params log-level=none:keyint=4:min-keyint=1:bframes=3:b-adapt=0:open-gop=1:scenecut=0";
    let pictures = "-f lavfi -i testsrc2=s=160x90:r=24:d=2 -c:v libx265 -preset ultrafast -pix_fmt yuv420p";
    let Some(path) = generate(folder.path(), "short.mp4", &format!("{pictures} {groups}")) else { return };
    let source = open(&path);
    assert_eq!(source.index.frames.len(), 48);
    assert_eq!(decoded(&path, &source, 0..48), (0..48).collect::<Vec<_>>());
}

#[test]
fn stills_that_are_told_to_last_longer_than_a_minute_do() {
    let folder = tempfile::tempdir().unwrap();
    for (name, reordered) in
        [("slides.mp4", "-bf 0"), ("slides.mkv", "-bf 0"), ("reordered.mp4", "-bf 2 -b_strategy 0")]
    {
        let pictures = "-f lavfi -i testsrc2=s=160x90:r=1/90:d=540 -c:v libx264 -pix_fmt yuv420p";
        let Some(path) = generate(folder.path(), name, &format!("{pictures} {reordered}")) else { return };
        let source = open(&path);
        let times: Vec<i64> = source.index.frames.iter().map(|frame| frame.pts).collect();
        let second = source.info.video.time_base.ticks(1.0);
        assert_eq!((times.len(), source.index.heals.len()), (6, 0), "{name}");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 90 * second), "{name}: {times:?}");
        assert_eq!(source.index.warnings, [""; 0], "{name}");
    }
}

#[test]
fn a_chunk_that_starts_after_parameter_sets_changed_apart_from_the_packets_is_decoded_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 25";
    let first = format!("-f lavfi -i testsrc2=s=160x90:r=25:d=3 {pictures} -crf 20");
    let second =
        format!("-f lavfi -i testsrc2=s=160x90:r=25:d=6 {pictures} -crf 34 -x264-params 8x8dct=0 -output_ts_offset 3");
    let Some(path) = generate(folder.path(), "first.flv", &first) else { return };
    let Some(other) = generate(folder.path(), "second.flv", &second) else { return };
    let (first, second) = (std::fs::read(&path).unwrap(), std::fs::read(other).unwrap());
    // Behind the header of nine bytes and the size of no tag before it.
    std::fs::write(&path, [&first, &second[13..]].concat()).unwrap();
    let source = open(&path);
    let sets = &source.index.parameter_sets;
    assert_eq!((source.index.frames.len(), sets.len(), sets[0].from.0), (225, 1, 75));
    let whole = pictures_of(&path, &source, 0..225);
    assert_eq!(pictures_of(&path, &source, 175..225), whole[175..]);
    assert_eq!(pictures_of(&path, &source, 25..125), whole[25..125]);
}

#[test]
fn of_several_programmes_only_the_sound_of_the_videos_own_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let streams =
        "-f lavfi -i testsrc2=s=160x90:d=4 -f lavfi -i sine=d=4 -f lavfi -i testsrc2=s=160x90:d=4 -f lavfi -i sine=d=4";
    let codecs = "-map 0 -map 1 -map 2 -map 3 -c:v mpeg2video -c:a aac";
    let programmes = "-program title=one:st=0:st=1 -program title=two:st=2:st=3";
    let Some(path) = generate(folder.path(), "several.ts", &format!("{streams} {codecs} {programmes}")) else { return };
    let source = open(&path);
    assert_eq!(source.info.audio.iter().map(|track| track.stream).collect::<Vec<_>>(), [1]);
    let others = [
        "stream 2 (mpeg2video) is a second video stream",
        "stream 3 (aac) belongs to another programme than the video",
    ];
    assert_eq!(source.info.left_out, others);
}

#[test]
fn a_transport_stream_that_all_but_fills_one_block_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -c:v mpeg2video";
    let Some(path) = generate(folder.path(), "block.ts", pictures) else { return };
    let mut bytes = std::fs::read(&path).unwrap();
    // Packets of nothing: FFmpeg has the whole file in its buffer when it looks for the end of it.
    let nothing = [&[0x47, 0x1F, 0xFF, 0x10][..], &[0xFF; 184]].concat();
    while bytes.len() < 250_000 {
        bytes.extend(&nothing);
    }
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(open(&path).index.frames.len(), 50);
}

#[test]
fn sound_that_begins_long_after_the_container_declares_it_is_a_track() {
    let folder = tempfile::tempdir().unwrap();
    let streams = "-f lavfi -i testsrc2=s=160x90:r=25:d=14 -itsoffset 10 -f lavfi -i sine=d=4 -map 0 -map 1";
    let Some(path) = generate(folder.path(), "late.ts", &format!("{streams} -c:v mpeg2video -c:a aac")) else { return };
    let source = open(&path);
    assert_eq!(source.info.left_out, [""; 0]);
    let [track] = &source.info.audio[..] else { panic!("{:?}", source.info.audio) };
    assert_eq!((track.sample_rate, track.channels), (44_100, 1));
    let first = source.info.video.time_base.seconds(source.index.frames[0].pts);
    let late = track.time_base.seconds(track.start) - first;
    assert!((late - 10.0).abs() < 0.1, "{late}");
}

/// A transport stream of 12 s whose streams have these numbers.
fn transport(folder: &Path, name: &str, offset: u32, pids: [u32; 2]) -> Option<Vec<u8>> {
    let streams = "-f lavfi -i testsrc2=s=160x90:r=25:d=12 -f lavfi -i sine=d=12 -c:v mpeg2video -c:a mp2";
    let [video, audio] = pids;
    let numbers = format!("-streamid 0:{video} -streamid 1:{audio} -output_ts_offset {offset}");
    Some(std::fs::read(generate(folder, name, &format!("{streams} {numbers}"))?).unwrap())
}

#[test]
fn video_that_moves_to_another_stream_in_mid_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let Some(first) = transport(folder.path(), "first.ts", 0, [256, 257]) else { return };
    let Some(second) = transport(folder.path(), "second.ts", 12, [300, 301]) else { return };
    let path = folder.path().join("moved.ts");
    std::fs::write(&path, [first, second].concat()).unwrap();
    vtp_engine::media::silence_log();
    let error = Source::open(&path).map(|source| source.info).unwrap_err();
    assert_eq!(error.code(), Some(1005));
    assert!(error.to_string().contains("moves from stream 0 of the container to stream 2"), "{error}");
}

#[test]
fn sound_that_moves_to_another_stream_in_mid_file_becomes_two_tracks() {
    let folder = tempfile::tempdir().unwrap();
    let Some(first) = transport(folder.path(), "first.ts", 0, [256, 257]) else { return };
    let Some(second) = transport(folder.path(), "second.ts", 12, [256, 301]) else { return };
    let path = folder.path().join("moved.ts");
    std::fs::write(&path, [first, second].concat()).unwrap();
    let source = open(&path);
    assert_eq!((source.index.frames.len(), source.info.audio.len()), (600, 2));
    let starts =
        source.info.audio.iter().map(|track| track.time_base.seconds(track.start - source.info.audio[0].start));
    assert_eq!(starts.map(|second| second.round() as i64).collect::<Vec<_>>(), [0, 12]);
}

/// How many packets a new reader of the source reads until it has the one at `start`. All to the end are those of the index.
fn read_until(path: &Path, source: &Source, start: u32) -> u32 {
    let index = Arc::new(source.index.clone());
    let mut reader = ChunkReader::new(&SourceFile::open(path).unwrap(), source, index).unwrap();
    reader.start(start..source.index.packets.len() as u32).unwrap();
    let mut read = 0;
    assert_eq!(reader.next_packet(&mut || read += 1).unwrap().unwrap().0.0, start);
    while reader.next_packet(&mut || {}).unwrap().is_some() {}
    read
}

#[test]
fn chunks_before_and_behind_a_jump_are_found_without_reading_all_before() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = "-f lavfi -i testsrc2=s=160x90:r=25:d=24 -g 50 -bf 2 -pix_fmt yuv420p";
    for (name, options) in [
        ("part.ts", "-c:v libx264 -preset ultrafast"),
        ("part.m2ts", "-c:v libx264 -preset ultrafast"),
        ("part.vob", "-c:v mpeg2video -q:v 1 -f vob"),
    ] {
        let Some(path) = generate(folder.path(), name, &format!("{pictures} {options}")) else { return };
        let twice = std::fs::read(&path).unwrap().repeat(2);
        std::fs::write(&path, twice).unwrap();
        is_found_everywhere(&path);
    }
    // Two hours pass unseen.
    for name in ["gap.mp4", "gap.mkv", "gap.flv"] {
        let gap = "-vf setpts=PTS+gte(N\\,300)*7200/TB -fps_mode passthrough -c:v libx264 -preset ultrafast";
        let Some(path) = generate(folder.path(), name, &format!("{pictures} {gap}")) else { return };
        is_found_everywhere(&path);
    }
}

#[test]
fn where_nothing_leads_to_a_chunk_all_before_is_read_with_a_sign_of_life_for_every_packet() {
    let folder = tempfile::tempdir().unwrap();
    let Some(part) = transport(folder.path(), "part.ts", 0, [256, 257]) else { return };
    let path = folder.path().join("twice.ts");
    std::fs::write(&path, part.repeat(2)).unwrap();
    let mut source = open(&path);
    assert_eq!((source.index.heals.len(), source.index.packets.len()), (1, 600));
    source.index.places.clear();
    assert_eq!(read_until(&path, &source, 550), 551);
}

/// Over so many packets a reader reads on rather than seek.
const NEAR: u32 = 256;

/// A new reader has each packet of the source at which decoding may start before it has read three times as many as lie
/// between two of them: in a program stream not every one has a place.
fn is_found_everywhere(path: &Path) {
    let source = open(path);
    assert_eq!(source.index.heals.len(), 1, "{}: {:?}", path.display(), source.index.warnings);
    let cuts = source.index.packets.iter().zip(0..).filter(|(packet, _)| packet.cut != CutClass::None);
    let cuts: Vec<u32> = cuts.map(|(_, at)| at).filter(|&at| at > NEAR).collect();
    assert!(cuts.len() >= 4, "{}", path.display());
    for at in cuts {
        let read = read_until(path, &source, at);
        assert!(read < 150, "{}: {at} after {read}", path.display());
    }
}

/// The same MP4 of one track of H.265, moov last, with a record of Dolby Vision of this profile and compatibility.
fn in_dolby_vision(mp4: &[u8], profile: u8, compatibility: u8) -> Vec<u8> {
    let mut record = [0; 32];
    record[..8].copy_from_slice(&[0, 0, 0, 32, b'd', b'v', b'c', b'C']);
    record[8..13].copy_from_slice(&[1, 0, profile << 1, 0x0d, compatibility << 4]);
    let mut made = mp4.to_vec();
    let moov = mp4.windows(4).rposition(|four| four == b"moov").unwrap();
    let within = |name: &[u8; 4]| moov + mp4[moov..].windows(4).position(|four| four == name).unwrap();
    for name in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hev1"] {
        let size = within(name) - 4;
        let length = u32::from_be_bytes(made[size..size + 4].try_into().unwrap()) + 32;
        made[size..size + 4].copy_from_slice(&length.to_be_bytes());
    }
    let entry = within(b"hvcC") - 4;
    let length = u32::from_be_bytes(made[entry..entry + 4].try_into().unwrap()) as usize;
    made.splice(entry + length..entry + length, record);
    made
}

#[test]
fn dolby_vision_whose_colours_nobody_else_shows_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pictures =
        "-f lavfi -i testsrc2=s=160x90:r=25:d=1 -c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le";
    let Some(path) = generate(folder.path(), "plain.mp4", pictures) else { return };
    let plain = std::fs::read(path).unwrap();
    let told = |profile, compatibility| {
        let path = folder.path().join(format!("{profile}-{compatibility}.mp4"));
        std::fs::write(&path, in_dolby_vision(&plain, profile, compatibility)).unwrap();
        Source::open(&path).map(|source| source.index.frames.len()).map_err(|error| (error.code(), error.to_string()))
    };
    assert_eq!([told(8, 1), told(8, 4)], [Ok(25), Ok(25)]);
    let (code, message) = told(5, 0).unwrap_err();
    assert_eq!(code, Some(1001));
    assert!(message.contains("Dolby Vision of profile 5") && message.contains("give a version"), "{message}");
}

#[test]
fn parts_that_share_some_pictures_are_shown_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str, offset: &str| {
        let pictures = "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -c:v libx264 -preset ultrafast -bf 2 -pix_fmt yuv420p";
        let path = generate(folder.path(), name, &format!("{pictures} -output_ts_offset {offset}"))?;
        Some(std::fs::read(path).unwrap())
    };
    let Some(first) = part("first.ts", "0") else { return };
    let Some(second) = part("second.ts", "1.62") else { return };
    let path = folder.path().join("overlap.ts");
    std::fs::write(&path, [first, second].concat()).unwrap();
    let source = open(&path);
    let order: Vec<u32> = source.index.frames.iter().map(|frame| frame.packet.0).collect();
    assert_eq!(order.len(), 100);
    assert!(order[..50].iter().all(|&packet| packet < 50), "{order:?}");
}

/// An MP4 whose `moov` stands at its end, with these edits (start and length in milliseconds) in every track, in place of its
/// own (ISO/IEC 14496-12, 8.6.6).
fn edited(mp4: &[u8], edits: &[(u32, u32)]) -> Vec<u8> {
    children(mp4).flat_map(|(name, body)| if name == b"moov" { moov(body, edits) } else { boxed(name, body) }).collect()
}

fn moov(body: &[u8], edits: &[(u32, u32)]) -> Vec<u8> {
    let with_edits = |body: &[u8]| -> Vec<u8> {
        let timescale = find(find(body, b"mdia"), b"mdhd")[12..16].try_into().map(u32::from_be_bytes).unwrap();
        // The movie counts in milliseconds, as FFmpeg writes it.
        let ticks = |ms: u32| u64::from(ms) * u64::from(timescale) / 1000;
        let entry = |&(start, length): &(u32, u32)| [length, u32::try_from(ticks(start)).unwrap(), 1 << 16];
        let numbers = [0, u32::try_from(edits.len()).unwrap()].into_iter().chain(edits.iter().flat_map(entry));
        let elst = boxed(b"elst", &numbers.flat_map(u32::to_be_bytes).collect::<Vec<_>>());
        let kept = children(body).filter(|(name, _)| *name != b"edts");
        let kept = kept.flat_map(|(name, body)| {
            let own = boxed(name, body);
            if name == b"tkhd" { [own, boxed(b"edts", &elst)].concat() } else { own }
        });
        boxed(b"trak", &kept.collect::<Vec<_>>())
    };
    let tracks =
        children(body).flat_map(|(name, body)| if name == b"trak" { with_edits(body) } else { boxed(name, body) });
    boxed(b"moov", &tracks.collect::<Vec<_>>())
}

fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 8).unwrap().to_be_bytes(), &name[..], body].concat()
}

fn children(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(bytes.get(..4)?.try_into().unwrap()) as usize;
        let (this, rest) = bytes.split_at(length);
        bytes = rest;
        Some((this[4..8].try_into().unwrap(), &this[8..]))
    })
}

fn find<'a>(bytes: &'a [u8], name: &[u8; 4]) -> &'a [u8] {
    children(bytes).find(|(found, _)| *found == name).unwrap().1
}

/// What is decoded before an edit and not shown lies where the edit before it is: that is no jump.
#[test]
fn edits_that_cut_out_the_middle_keep_pictures_and_sound_together() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "-f lavfi -i testsrc2=s=160x90:r=25:d=6 -f lavfi -i sine=d=6 -c:v libx264 -preset ultrafast -bf 2 -g 25 \
                     -pix_fmt yuv420p -c:a aac";
    let Some(path) = generate(folder.path(), "whole.mp4", arguments) else { return };
    let path_of = |name: &str, edits: &[(u32, u32)]| {
        let edited_path = folder.path().join(name);
        std::fs::write(&edited_path, edited(&std::fs::read(&path).unwrap(), edits)).unwrap();
        edited_path
    };
    // From key picture to key picture, and from within a group.
    for (name, edits) in [("key.mp4", [(80, 1000), (3080, 2000)]), ("within.mp4", [(80, 1000), (3480, 2000)])] {
        let source = open(&path_of(name, &edits));
        assert_eq!(source.index.heals, [], "{name}");
        assert_eq!(source.index.frame_count(), 75, "{name}");
        let base = source.info.video.time_base;
        let first = source.index.frames[0].pts;
        let last = base.seconds(source.index.frames[74].pts - first);
        assert!((last - 2.96).abs() < 0.05, "{name}: the last picture is shown at {last} s");
        assert_eq!(source.audio_shifts, [[]], "{name}");
    }
}

/// The same FLV with its first script tag (Adobe's Flash Video File Format 10.1, annex E) again behind `share` of its tags, at
/// the time of the one before, as recorders of streams write it.
fn with_metadata_again(flv: &[u8], share: f64) -> Vec<u8> {
    const HEAD: usize = 13;
    let (mut tags, mut rest) = (Vec::new(), &flv[HEAD..]);
    while rest.len() >= 15 {
        let size = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize + 15;
        tags.push(&rest[..size]);
        rest = &rest[size..];
    }
    let place = (tags.len() as f64 * share) as usize;
    let mut again = tags[0].to_vec();
    again[4..8].copy_from_slice(&tags[place][4..8]);
    tags.insert(place, &again);
    [&flv[..HEAD], &tags.concat()].concat()
}

#[test]
fn metadata_in_the_middle_of_a_recorded_stream_are_no_subtitles() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -c:v libx264 -preset ultrafast -pix_fmt yuv420p";
    let Some(path) = generate(folder.path(), "live.flv", pictures) else { return };
    std::fs::write(&path, with_metadata_again(&std::fs::read(&path).unwrap(), 0.5)).unwrap();
    let source = open(&path);
    assert_eq!((source.info.subtitles.len(), source.index.frame_count()), (0, 50));
}

/// What only the container says of colours and of the display they were made for.
#[test]
fn colours_that_the_container_alone_tells_are_the_sources() {
    let folder = tempfile::tempdir().unwrap();
    let pictures =
        "-f lavfi -i testsrc2=s=160x90:r=25:d=1 -c:v libx265 -x265-params log-level=none -pix_fmt yuv420p10le";
    let Some(plain) = generate(folder.path(), "plain.mkv", pictures) else { return };
    let colours = "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -color_range tv";
    let told = format!("-i {} -c copy {colours}", plain.display());
    let Some(path) = generate(folder.path(), "told.mkv", &told) else { return };
    let color = open(&path).info.video.color;
    assert_eq!((color.primaries, color.transfer, color.matrix, color.full_range), (9, 16, 9, Some(false)));
    assert_eq!(open(&plain).info.video.color.transfer, 2);
}

#[test]
fn what_is_cropped_on_the_left_is_as_wide_as_the_stream_says() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = "-f lavfi -i testsrc2=s=320x240:r=25:d=1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p";
    let Some(whole) = generate(folder.path(), "whole.mp4", pictures) else { return };
    let cropped = format!("-i {} -c copy -bsf:v h264_metadata=crop_left=8:crop_right=8", whole.display());
    let Some(path) = generate(folder.path(), "cropped.mp4", &cropped) else { return };
    let size = open(&path).info.video.size;
    assert_eq!((size.width, size.height), (304, 240));
}

#[test]
fn sound_of_a_second_part_moves_with_its_pictures_where_that_of_the_first_was_longer() {
    let folder = tempfile::tempdir().unwrap();
    let part = |name: &str, sound: &str| {
        let pictures = "-f lavfi -i testsrc2=s=160x90:r=25:d=3";
        let codecs = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac";
        let path = generate(folder.path(), name, &format!("{pictures} -f lavfi -i sine=d={sound} {codecs}"))?;
        Some(std::fs::read(path).unwrap())
    };
    let Some(first) = part("first.ts", "5") else { return };
    let Some(second) = part("second.ts", "3") else { return };
    let path = folder.path().join("both.ts");
    std::fs::write(&path, [first, second].concat()).unwrap();
    let source = open(&path);
    let shifts: Vec<i64> = source.audio_shifts[0].iter().map(|shift| shift.shift).collect();
    assert!(matches!(shifts[..], [shift] if (449_000..455_000).contains(&shift)), "{shifts:?}");
    assert_eq!(source.index.heals.len(), 1);
    assert_eq!((source.index.heals[0].shift_s * 90_000.0).round() as i64, shifts[0]);
    let jump = source.index.frames[75].pts - source.index.frames[0].pts;
    assert!((jump - shifts[0]).abs() <= 1, "{jump} {shifts:?}");
}

/// The same FLV, in which the tag of this number and kind is told to be at another millisecond.
fn with_a_wrong_time(flv: &[u8], kind: u8, number: usize, time: u32) -> Vec<u8> {
    let mut made = flv.to_vec();
    let (mut at, mut seen) = (13, 0);
    while at + 11 < made.len() {
        let size = u32::from_be_bytes([0, made[at + 1], made[at + 2], made[at + 3]]) as usize;
        if made[at] == kind {
            if seen == number {
                let bytes = time.to_be_bytes();
                made[at + 4..at + 8].copy_from_slice(&[bytes[1], bytes[2], bytes[3], bytes[0]]);
            }
            seen += 1;
        }
        at += 11 + size + 4;
    }
    made
}

#[test]
fn one_wrong_time_of_a_picture_or_a_sound_is_put_between_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = "-f lavfi -i testsrc2=s=160x90:r=25:d=6 -f lavfi -i sine=d=6";
    let codecs = "-c:v libx264 -preset ultrafast -g 25 -bf 2 -pix_fmt yuv420p -c:a aac";
    let Some(path) = generate(folder.path(), "right.flv", &format!("{inputs} {codecs}")) else { return };
    let (flv, right) = (std::fs::read(&path).unwrap(), open(&path));
    // The first tag holds the codec's headers; the one after 50 frames a key frame.
    for (kind, number, time) in [(9, 51, 0), (9, 51, 9000), (9, 60, 900_000), (8, 80, 0), (8, 80, 7000)] {
        let path = folder.path().join("wrong.flv");
        std::fs::write(&path, with_a_wrong_time(&flv, kind, number, time)).unwrap();
        let source = open(&path);
        assert_eq!(
            (&source.index.heals, &source.index.frames),
            (&vec![], &right.index.frames),
            "{kind} {number} {time}"
        );
        let warnings = source.index.warnings.join(" ");
        assert!(warnings.contains("came straight back once"), "{warnings}");
        let shifts = &source.audio_shifts[0];
        let told: Vec<u64> = shifts.iter().map(|shift| shift.from_packet).collect();
        assert_eq!(told, if kind == 9 { vec![] } else { vec![number as u64 - 1, number as u64] }, "{shifts:?}");
        assert_eq!(read_until(&path, &source, 50), read_until(&path, &right, 50), "{kind} {number} {time}");
    }
}

#[test]
fn what_is_noted_of_sound_that_jumps_again_and_again_counts_as_index() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = "-f lavfi -i testsrc2=s=160x90:r=25:d=6 -f lavfi -i sine=d=6";
    let codecs = "-c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -c:a aac";
    let Some(path) = generate(folder.path(), "steady.flv", &format!("{inputs} {codecs}")) else { return };
    let steady = std::fs::read(&path).unwrap();
    let jumping = (10..200).fold(steady.clone(), |flv, tag| with_a_wrong_time(&flv, 8, tag, tag as u32 * 100_000));
    let read = |flv: &[u8], index: u64| {
        std::fs::write(&path, flv).unwrap();
        let file = SourceFile::open(&path).unwrap().limited(Limits { index, ..Limits::DEFAULT });
        Source::read(&file, &mut || {})
    };
    let refused =
        (0..24).rev().fold(0, |sum, bit| sum + if read(&steady, sum + (1 << bit)).is_err() { 1 << bit } else { 0 });
    assert!(read(&steady, refused + 1).is_ok());
    let error = read(&jumping, refused + 1).unwrap_err();
    assert!(error.to_string().contains("bytes of index"), "{error}");
}
