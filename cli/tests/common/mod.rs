//! What the tests of the command share: a folder with sources and outputs, the command, and `ffmpeg` as the
//! independent reader of what came out. Nothing here knows the product's own code.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed
#![allow(dead_code)] // each file of tests uses its part

pub(crate) mod media;
pub(crate) mod players;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The command.
pub(crate) const VTP: &str = env!("CARGO_BIN_EXE_vtp");
/// Nothing that the tests ask for takes this long; what does, hangs.
const LONGEST_S: &str = "300";

/// The bundled clip: 10 s, 240 frames, 1280x720, with sound.
pub(crate) fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/sintel-720p.mp4")
}

/// Something from the shared folder beside the working copy; `None`, said aloud, where that is absent.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.find_map(|folder| Some(folder.join("shared").join(name)).filter(|path| path.exists()));
    if found.is_none() {
        skipped(&format!("shared/{name} is not here"));
    }
    found
}

/// Says that a test does not run; past the test harness, which hides what a passing test prints.
pub(crate) fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "SKIPPED {name}: {why}").unwrap();
}

/// A folder in which a test works; gone at its end.
pub(crate) struct Scene {
    folder: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A scene with the first `frames` of the bundled clip in `in.mp4`. GOPs end at 59, 118, 178 and 238.
    pub(crate) fn with_clip(frames: u32) -> Self {
        let scene = Self::new();
        let seconds = f64::from(frames) / 24.0;
        scene.ffmpeg(&format!("-i {} -c copy -frames:v {frames} -t {seconds} in.mp4", bundled().display()));
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the command here with these words.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Ended {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", LONGEST_S, VTP]).args(words).current_dir(&self.folder).env_remove("VTP_LOG");
        command.env("VTP_CACHE", "none");
        Ended::of(command.output().unwrap())
    }

    /// Runs the command here with the words of `line`, which are split at blanks.
    pub(crate) fn vtp(&self, line: &str) -> Ended {
        self.run(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// What ffprobe says of the streams at an address.
    pub(crate) fn run_ffprobe(&self, url: &str) -> String {
        let mut command = Command::new("ffprobe");
        let output = command.args(["-v", "error", "-show_streams", url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Encodes `in.mp4`, or what `line` starts with, into the folder `out`; returns the report of a run that was
    /// successful, proved its output, and left nothing else behind.
    pub(crate) fn encode(&self, line: &str) -> Value {
        self.encode_into("out", line)
    }

    /// The same into another folder.
    pub(crate) fn encode_into(&self, out: &str, line: &str) -> Value {
        let report = self.vtp(&format!("encode {line} --out {out} --speed ultrafast --progress none --json")).json();
        let proof = &report["proof"];
        assert_eq!((&proof["ok"], &proof["frames_out"]), (&true.into(), &proof["frames_source"]), "{proof}");
        for end in ["av_offset_start_ms", "av_offset_end_ms"] {
            assert!(proof[end].as_f64().is_none_or(|offset| offset.abs() < 1.0), "{end}: {proof}");
        }
        assert_eq!(self.hidden(), [""; 0], "nothing but the output is left");
        report
    }

    /// Hidden files and folders anywhere below the scene: whatever is spooled or written beside is one.
    pub(crate) fn hidden(&self) -> Vec<String> {
        self.files().into_keys().filter(|name| name.starts_with('.') || name.contains("/.")).collect()
    }

    /// Every file below the scene, and a hash of what is in it. An empty folder counts as a file.
    pub(crate) fn files(&self) -> BTreeMap<String, u64> {
        files(self.folder.path())
    }
}

/// Every file below `root` by its name from there, and a hash of its content. An empty folder counts as a file.
pub(crate) fn files(root: &Path) -> BTreeMap<String, u64> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let mut is_empty = true;
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            is_empty = false;
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => drop(found.insert(name(root, &entry.path()), hash(&std::fs::read(entry.path()).unwrap()))),
            }
        }
        if is_empty && folder != root {
            found.insert(name(root, &folder) + "/", 0);
        }
    }
    found
}

fn name(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// How a run of the command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// It went well.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// It went well and printed this JSON.
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok().stdout).unwrap()
    }

    /// It ended with this exit code, said this on stderr, and printed no result.
    pub(crate) fn failed(&self, code: i32, told: &str) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert!(self.stderr.contains(told), "{told:?} is not in {:?}", self.stderr);
        assert_eq!(self.stdout, "");
    }
}
