//! What the fuzz targets call: the readers of an output's records, of children's messages, and of command lines. Each function takes any bytes at
//! all, and panics where a reader breaks a promise. Not part of the product.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use clap::{CommandFactory as _, Parser as _};
use vtp_engine::ladder::LadderRequest;

use crate::curves::{self, Curves};
use crate::encode::summary;
use crate::report::{self, Report};
use crate::{Arguments, page, parse, records};

/// `report.json` and, behind a zero, `quality.json`: both are drawn as `vtp report` does.
pub fn output(data: &[u8]) {
    let (report, quality) = match data.iter().position(|&byte| byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    let curves = records::parse::<Curves>(quality, Path::new(records::QUALITY), curves::VERSION);
    let Ok(report) = records::parse::<Report>(report, Path::new(records::REPORT), report::VERSION) else { return };
    let page = page::render(&report, curves.as_ref().ok());
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(!summary::render(&report, Path::new("out")).is_empty());
}

/// Bytes that come from a child process, or go to one.
pub fn messages(data: &[u8]) {
    crate::child::wire::read_any(data);
}

/// A command line, its words parted by zeros.
pub fn words(data: &[u8]) {
    for word in data.split(|&byte| byte == 0).filter_map(|word| std::str::from_utf8(word).ok()) {
        let seconds = [parse::duration_s(word), parse::segment_s(word)];
        assert!(seconds.into_iter().flatten().all(|seconds| seconds > 0.0 && seconds.is_finite()), "{word:?}");
        assert!(parse::score(word).map_or(true, |score| (0.0..=100.0).contains(&score)));
        parse::at_least_one(word).ok();
        parse::chunk_s(word).ok();
        parse::factors(word).ok();
        word.parse::<LadderRequest>().ok();
        word.parse::<bytesize::ByteSize>().ok();
    }
    let words = data.split(|&byte| byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    let command = Arguments::command();
    let words = parse::dashed_files(words, &command, |word| word.as_encoded_bytes().ends_with(b"4"));
    Arguments::try_parse_from([OsString::from("vtp")].into_iter().chain(words)).ok();
}

#[cfg(test)]
mod tests {
    use vtp_engine::fuzzing::each_damaged;

    use super::*;

    #[test]
    fn no_damage_makes_the_readers_of_an_output_panic() {
        let report = include_bytes!("../tests/golden/report-v1.json");
        let quality = include_bytes!("../tests/golden/quality-v1.json");
        let lone: Vec<u8> = serde_json::to_vec(&report::tests::report()).unwrap();
        each_damaged(&[[&report[..], &[0], quality].concat(), lone], 4000, output);
    }

    #[test]
    fn no_damage_makes_the_reader_of_messages_panic() {
        each_damaged(&crate::child::wire::examples(), 4000, messages);
    }

    #[test]
    fn no_damage_makes_the_readers_of_command_lines_panic() {
        let lines = [
            "encode in.mp4 --out out --ladder auto,archive --crf 23.5 --segment 4s --chunk auto --quality 93 --save",
            "encode -in.mp4 -- --out=x --chunk 500ms --measure-every 17 --workers 2 --cache none --cache-size 10GiB",
            "bench mutate in.mp4 --count 3 --seed 1 --limit 60 --memory 100 --jobs 2 --case 1 --keep kept",
            "cache trim --to 1.5 MB",
            "report out --json",
        ];
        let seeds = lines.map(|line| line.replace(' ', "\0").into_bytes());
        each_damaged(&seeds, 500, words);
    }
}
