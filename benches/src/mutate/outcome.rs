//! What became of one run of `vtp encode`: which of its promises it kept.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use serde::Deserialize;

use crate::measured::Measured;

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// A ladder with a proof that holds.
    Proven,
    /// Exit code 3, a code of the specification, and nothing left.
    Refused,
    /// Exit code 2 (such as for a rung above what the source is now), and nothing left.
    Usage,
    /// Ended by a signal.
    Crashed,
    /// Another exit code, or a thread that panicked.
    Internal,
    /// Longer than it may take.
    Hung,
    /// More memory than it may have.
    Memory,
    /// Exit code 0 without the proof, or without what was proven.
    Unproven,
    /// No ladder, and yet something is left.
    LeftBehind,
}

impl Outcome {
    pub(super) const ALL: [Self; 9] = [
        Self::Proven,
        Self::Refused,
        Self::Usage,
        Self::Crashed,
        Self::Internal,
        Self::Hung,
        Self::Memory,
        Self::Unproven,
        Self::LeftBehind,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::Crashed => "crashed",
            Self::Internal => "internal",
            Self::Hung => "hung",
            Self::Memory => "memory",
            Self::Unproven => "unproven",
            Self::LeftBehind => "left behind",
        }
    }

    pub(super) fn is_failure(self) -> bool {
        !matches!(self, Self::Proven | Self::Refused | Self::Usage)
    }
}

/// What became of `run`, which said `stderr`, and wrote the folder `out` in a folder that had the files `before` in it.
pub(super) fn judge(run: &Measured, memory_mib: f64, stderr: &str, out: &Path, before: &BTreeSet<String>) -> Outcome {
    if run.peak_mib > memory_mib {
        return Outcome::Memory;
    }
    let Some(status) = run.status else { return Outcome::Hung };
    if status.signal().is_some() {
        return Outcome::Crashed;
    }
    // A panic that a thread survived is one that nobody planned for.
    if stderr.contains(" panicked at ") {
        return Outcome::Internal;
    }
    let last = stderr.lines().last().unwrap_or_default();
    let is_told = ["error 1001: ", "error 1005: "].iter().any(|code| last.starts_with(code));
    let unless_left = |outcome| if names(out.parent()) == *before { outcome } else { Outcome::LeftBehind };
    match status.code() {
        Some(0) if is_proven(out) => Outcome::Proven,
        Some(0) => Outcome::Unproven,
        Some(3) if is_told => unless_left(Outcome::Refused),
        Some(2) => unless_left(Outcome::Usage),
        _ => Outcome::Internal,
    }
}

/// The names of what is in a folder.
pub(super) fn names(folder: Option<&Path>) -> BTreeSet<String> {
    let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What is read of `report.json`.
#[derive(Debug, Deserialize)]
struct Report {
    renditions: Vec<Rendition>,
    proof: Proof,
}

#[derive(Debug, Deserialize)]
struct Rendition {
    frames: u64,
}

#[derive(Debug, Deserialize)]
struct Proof {
    frames_source: u64,
    frames_out: u64,
    ok: bool,
}

fn is_proven(out: &Path) -> bool {
    let report = std::fs::read(out.join("report.json")).ok();
    let Some(Report { renditions, proof }) = report.and_then(|bytes| serde_json::from_slice(&bytes).ok()) else {
        return false;
    };
    let whole = |frames: u64| frames > 0 && frames == proof.frames_source;
    let all_whole = !renditions.is_empty() && renditions.iter().all(|rendition| whole(rendition.frames));
    proof.ok && whole(proof.frames_out) && all_whole && out.join("master.m3u8").is_file()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::ExitStatus;

    use super::*;

    const PROVEN: &str =
        r#"{"renditions":[{"frames":4},{"frames":4}],"proof":{"frames_source":4,"frames_out":4,"ok":true}}"#;

    struct Scene {
        _folder: tempfile::TempDir,
        out: PathBuf,
        before: BTreeSet<String>,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("in.mp4"), "").unwrap();
            Self { out: folder.path().join("out"), before: names(Some(folder.path())), _folder: folder }
        }

        fn with(report: &str) -> Self {
            let scene = Self::new();
            std::fs::create_dir(&scene.out).unwrap();
            std::fs::write(scene.out.join("report.json"), report).unwrap();
            std::fs::write(scene.out.join("master.m3u8"), "").unwrap();
            scene
        }

        /// With this status as wait(2) has it; `None` if it was stopped.
        fn judged(&self, status: Option<i32>, stderr: &str) -> Outcome {
            let status = status.map(ExitStatus::from_raw);
            let run = Measured { wall_s: 1.0, cpu_s: 1.0, peak_mib: 100.0, status };
            judge(&run, 200.0, stderr, &self.out, &self.before)
        }
    }

    #[test]
    fn a_ladder_is_proven_only_by_a_whole_report_and_with_its_playlist() {
        assert_eq!(Scene::with(PROVEN).judged(Some(0), ""), Outcome::Proven);
        let wrong = [
            PROVEN.replace("true", "false"),
            PROVEN.replacen(":4", ":3", 1),
            PROVEN.replace(":4", ":0"),
            "{".to_owned(),
        ];
        for report in wrong {
            assert_eq!(Scene::with(&report).judged(Some(0), ""), Outcome::Unproven, "{report}");
        }
        let scene = Scene::with(PROVEN);
        std::fs::remove_file(scene.out.join("master.m3u8")).unwrap();
        assert_eq!(scene.judged(Some(0), ""), Outcome::Unproven);
    }

    #[test]
    fn a_refusal_has_a_code_and_leaves_nothing() {
        let refused = Some(3 << 8);
        assert_eq!(Scene::new().judged(refused, "a word\nerror 1005: cut short"), Outcome::Refused);
        assert_eq!(Scene::new().judged(refused, "error: cut short"), Outcome::Internal);
        assert_eq!(Scene::with(PROVEN).judged(refused, "error 1001: no video"), Outcome::LeftBehind);
        assert_eq!(Scene::new().judged(Some(2 << 8), "error: a rung above the source"), Outcome::Usage);
        assert_eq!(Scene::with(PROVEN).judged(Some(2 << 8), "error: no such rung"), Outcome::LeftBehind);
    }

    #[test]
    fn signals_other_codes_panics_and_limits_are_failures() {
        let scene = Scene::new();
        assert_eq!(scene.judged(Some(11), ""), Outcome::Crashed);
        assert_eq!(scene.judged(Some(1 << 8), "error: no idea"), Outcome::Internal);
        assert_eq!(scene.judged(Some(3 << 8), "thread 'x' panicked at y:\nerror 1005: z"), Outcome::Internal);
        assert_eq!(scene.judged(None, ""), Outcome::Hung);
        let run = Measured { wall_s: 1.0, cpu_s: 1.0, peak_mib: 201.0, status: None };
        assert_eq!(judge(&run, 200.0, "", &scene.out, &scene.before), Outcome::Memory);
    }
}
