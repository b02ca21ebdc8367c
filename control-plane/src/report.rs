//! What is read of the report that lies beside a ladder, `report.json`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::db::outputs::NewOutput;

/// The playlist in the folder of every rendition.
const PLAYLIST: &str = "index.m3u8";

/// A report, as far as it matters here.
#[derive(Debug, Deserialize)]
pub struct Report {
    pub(crate) source: Source,
    pub(crate) renditions: Vec<Rendition>,
    pictures: Pictures,
    /// Left out where there are none.
    #[serde(default)]
    files: Vec<File>,
    hls_ts: Option<Streams>,
    pub(crate) timing: Timing,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Source {
    pub(crate) frames: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Rendition {
    /// That of its folder, too.
    pub(crate) name: String,
    /// In samples.
    pub(crate) width: u32,
    /// In samples.
    pub(crate) height: u32,
    bytes: i64,
    /// Bits a second.
    average_bandwidth: i64,
}

#[derive(Debug, Deserialize)]
struct Pictures {
    poster: Option<Poster>,
    thumbnails: Option<Thumbnails>,
}

#[derive(Debug, Deserialize)]
struct Poster {
    file: String,
    width: u32,
    height: u32,
    bytes: i64,
}

#[derive(Debug, Deserialize)]
struct Thumbnails {
    file: String,
    bytes: i64,
}

#[derive(Debug, Deserialize)]
struct File {
    name: String,
    container: String,
    bytes: i64,
}

#[derive(Debug, Deserialize)]
struct Streams {
    file: String,
    bytes: i64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Timing {
    /// Seconds, by what they were spent on.
    pub(crate) stages: BTreeMap<String, f64>,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// It is not of the first version, or none.
    pub fn read(report: &Value) -> serde_json::Result<Self> {
        Self::deserialize(report)
    }

    /// What was made, what to begin with first.
    pub(crate) fn outputs(&self) -> Vec<NewOutput> {
        let renditions = self.renditions.iter().map(|it| NewOutput {
            rendition: Some(it.name.clone()),
            resolution: Some(format!("{}x{}", it.width, it.height)),
            bitrate: Some(it.average_bandwidth),
            ..output("rendition", format!("{}/{PLAYLIST}", it.name), Some(it.bytes))
        });
        let streams = self.hls_ts.iter().map(|it| output("hls-ts", it.file.clone(), Some(it.bytes)));
        let files = self.files.iter().map(|it| output(&it.container, it.name.clone(), Some(it.bytes)));
        let poster = self.pictures.poster.iter().map(|it| NewOutput {
            resolution: Some(format!("{}x{}", it.width, it.height)),
            ..output("poster", it.file.clone(), Some(it.bytes))
        });
        let thumbnails =
            self.pictures.thumbnails.iter().map(|it| output("thumbnails", it.file.clone(), Some(it.bytes)));
        let beside = streams.chain(files).chain(poster).chain(thumbnails);
        manifests().into_iter().chain(renditions).chain(beside).collect()
    }
}

/// What every ladder has.
pub(crate) fn manifests() -> [NewOutput; 2] {
    let master = NewOutput { is_default: true, ..output("hls", "master.m3u8".to_owned(), None) };
    [master, output("dash", "manifest.mpd".to_owned(), None)]
}

fn output(format: &str, path: String, bytes: Option<i64>) -> NewOutput {
    NewOutput {
        format: format.to_owned(),
        rendition: None,
        resolution: None,
        bitrate: None,
        file_size: bytes,
        storage_path: path,
        is_default: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that holds all there is, as the command writes it.
    const WHOLE: &str = include_str!("../../cli/tests/golden/report-v1.json");

    #[test]
    fn what_a_report_names_are_outputs_the_master_playlist_first() {
        let report: Report = serde_json::from_str(WHOLE).unwrap();
        let outputs = report.outputs();
        let named: Vec<_> = outputs.iter().map(|it| (&*it.format, &*it.storage_path, it.file_size)).collect();
        let expected = [
            ("hls", "master.m3u8", None),
            ("dash", "manifest.mpd", None),
            ("rendition", "standard/index.m3u8", Some(260)),
            ("hls-ts", "master-ts.m3u8", Some(752)),
            ("mp4", "video.mp4", Some(660)),
            ("poster", "poster.jpg", Some(150)),
            ("thumbnails", "thumbnails/thumbnails.vtt", Some(90)),
        ];
        assert_eq!(named, expected);
        assert!(outputs[0].is_default && !outputs[1..].iter().any(|it| it.is_default));
        let rendition = &outputs[2];
        assert_eq!((rendition.bitrate, rendition.resolution.as_deref()), (Some(13_000), Some("1280x720")));
        assert_eq!(rendition.rendition.as_deref(), Some("standard"));
    }

    #[test]
    fn what_is_no_report_is_not_taken_for_an_empty_one() {
        assert!(Report::read(&Value::Null).is_err());
        let mut other: Value = serde_json::from_str(WHOLE).unwrap();
        other["renditions"][0].as_object_mut().unwrap().remove("average_bandwidth");
        assert!(Report::read(&other).unwrap_err().to_string().contains("average_bandwidth"));
    }
}
