//! `vtp doctor`: step: look at this machine and say what stands in the way. In: nothing. Out: a line a check,
//! each failed one with its fix. Never: changes anything.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use serde::Serialize;
use vtp_engine::media::{self, diagnose};

use crate::child;
use crate::exit::{Failure, INTERNAL};
use crate::text;
use crate::{Outcome, print};

/// Memory that one worker may take at the 1080/720/480 ladder.
const WORKER_BYTES: u64 = 700 << 20;
/// Less free disk than this is worth a word.
const DISK_BYTES: u64 = 2_000_000_000;
/// libavcodec of FFmpeg 5.1, the oldest release that is supported.
const OLDEST_AVCODEC: (u32, u32) = (59, 37);
/// What installs FFmpeg's libraries with x264 where Debian's packages are used.
const INSTALL: &str = "apt-get install libavcodec-extra, or an FFmpeg built with --enable-gpl --enable-libx264";

/// Decoders of note: what each is for, and the names under which FFmpeg may have it.
const DECODERS: [(&str, &[&str]); 10] = [
    ("H.264", &["h264"]),
    ("H.265", &["hevc"]),
    ("VP9", &["vp9", "libvpx-vp9"]),
    ("AV1", &["libdav1d", "libaom-av1"]),
    ("VP8", &["vp8", "libvpx"]),
    ("MPEG-2", &["mpeg2video"]),
    ("MPEG-4", &["mpeg4"]),
    ("ProRes", &["prores"]),
    ("DNxHD", &["dnxhd"]),
    ("MJPEG", &["mjpeg"]),
];

/// Check that this machine can encode, and how much.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print the checks as JSON
    #[arg(long)]
    json: bool,
}

/// What `vtp doctor --json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    ok: bool,
    checks: &'a [Check],
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    found: String,
    /// What to do about it, unless all is well.
    fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Some work will fail or be slow.
    Warn,
    /// Nothing can be encoded.
    Fail,
}

impl Check {
    fn new(name: &'static str, status: Status, found: impl Into<String>, fix: &str) -> Self {
        let fix = (status != Status::Ok).then(|| fix.to_owned());
        Self { name, status, found: found.into(), fix }
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Told`] if a check fails, once all of them are printed.
pub fn run(arguments: &Arguments) -> Outcome {
    let mut checks = checks();
    let program = child::this_program().map_err(|error| error.to_string());
    checks.push(walls(program.and_then(child::walls)));
    let all_well = checks.iter().all(|check| check.status != Status::Fail);
    let text = if arguments.json {
        let document = Document { version: 1, ok: all_well, checks: &checks };
        serde_json::to_string_pretty(&document).map_err(|error| Failure::Internal(error.into()))? + "\n"
    } else {
        render(&checks)
    };
    print(&text)?;
    if all_well { Ok(()) } else { Err(Failure::Told(INTERNAL)) }
}

fn checks() -> Vec<Check> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    vec![
        ffmpeg(&diagnose::libraries()),
        encoder("x264", diagnose::try_video_encoder("libx264")),
        further_encoder("x265", diagnose::try_video_encoder("libx265")),
        further_encoder("libvpx", diagnose::try_video_encoder("libvpx-vp9")),
        further_encoder("SVT-AV1", diagnose::try_video_encoder("libsvtav1")),
        encoder("AAC encoder", diagnose::try_audio_encoder("aac")),
        vmaf(diagnose::try_vmaf()),
        decoders(diagnose::has_decoder),
        Check::new("cores", Status::Ok, format!("{cores}, as many workers by default"), ""),
        memory(available_memory(), cores),
        disk(free_disk(Path::new("."))),
    ]
}

fn ffmpeg(libraries: &diagnose::Libraries) -> Check {
    let list: Vec<String> = libraries.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let found = format!("{} ({}; {})", libraries.release, list.join(", "), libraries.license);
    let old = (libraries.versions.iter())
        .any(|(name, version)| *name == "libavcodec" && (version.major, version.minor) < OLDEST_AVCODEC);
    Check::new(
        "FFmpeg",
        if old { Status::Fail } else { Status::Ok },
        found,
        "install FFmpeg 5.1 or newer and build again",
    )
}

/// An encoder that only those need who ask for its codec.
fn further_encoder(name: &'static str, trial: Result<usize, media::Error>) -> Check {
    let check = encoder(name, trial);
    if check.status == Status::Fail { Check { status: Status::Warn, ..check } } else { check }
}

fn encoder(name: &'static str, trial: Result<usize, media::Error>) -> Check {
    match trial {
        Ok(bytes) => Check::new(name, Status::Ok, format!("works: 3 frames became {bytes} bytes"), ""),
        Err(error) => Check::new(name, Status::Fail, error.to_string(), INSTALL),
    }
}

fn vmaf(models: Result<Vec<&'static str>, media::Error>) -> Check {
    match models {
        Ok(names) => Check::new("VMAF", Status::Ok, names.join(", "), ""),
        Err(error) => Check::new(
            "VMAF",
            Status::Fail,
            error.to_string(),
            "apt-get install xxd, cargo clean --release --package libvmaf-sys, make build; or encode with --no-measure",
        ),
    }
}

fn decoders(has: impl Fn(&str) -> bool) -> Check {
    let (found, missing): (Vec<_>, Vec<_>) = DECODERS.iter().partition(|(_, names)| names.iter().any(|name| has(name)));
    let list =
        |decoders: Vec<&(&'static str, &[&str])>| decoders.iter().map(|(what, _)| *what).collect::<Vec<_>>().join(", ");
    if missing.is_empty() {
        return Check::new("decoders", Status::Ok, list(found), "");
    }
    let found = format!("{}; missing: {}", list(found), list(missing));
    Check::new("decoders", Status::Warn, found, "such sources end in error 1001; install an FFmpeg that has them")
}

/// What stands around the processes that look at sources.
fn walls(missing: Result<Vec<String>, String>) -> Check {
    match missing {
        Ok(missing) if missing.is_empty() => {
            Check::new("sandbox", Status::Ok, "resource limits, Landlock and seccomp stand", "")
        }
        Ok(missing) => Check::new(
            "sandbox",
            Status::Warn,
            format!("not all of it stands: {}", missing.join("; ")),
            "use Linux 5.13 or newer with Landlock among its security modules \
             (/sys/kernel/security/lsm)",
        ),
        Err(error) => Check::new("sandbox", Status::Fail, error, "vtp has to be able to start itself"),
    }
}

fn memory(available: Option<u64>, cores: usize) -> Check {
    let Some(available) = available else {
        return Check::new("memory", Status::Ok, "not known on this system", "");
    };
    let found = format!("{} available", text::bytes(available));
    let workers = available / WORKER_BYTES;
    let status = if workers < cores as u64 { Status::Warn } else { Status::Ok };
    Check::new("memory", status, found, &format!("a worker may take 700 MiB; use --workers {}", workers.max(1)))
}

fn disk(free: Option<u64>) -> Check {
    let Some(free) = free else {
        return Check::new("disk", Status::Ok, "not known on this system", "");
    };
    let status = if free < DISK_BYTES { Status::Warn } else { Status::Ok };
    let found = format!("{} free here", text::bytes(free));
    Check::new("disk", status, found, "a run needs about twice the size of its output; free some space")
}

/// Memory that can be used without swapping, in bytes; known on Linux.
fn available_memory() -> Option<u64> {
    available_of(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn available_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Bytes that may still be written below `folder`.
fn free_disk(folder: &Path) -> Option<u64> {
    let numbers = rustix::fs::statvfs(folder).ok()?;
    numbers.f_bavail.checked_mul(numbers.f_frsize)
}

fn render(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let mark = match check.status {
            Status::Ok => "ok  ",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{mark}  {:<12} {}", check.name, check.found);
        if let Some(fix) = &check.fix {
            let _ = writeln!(text, "      {:<12} fix: {fix}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_encoder_comes_with_its_fix() {
        let error = media::Error::new(media::Kind::Unsupported, "this FFmpeg is built without libx264");
        let check = encoder("x264", Err(error));
        assert_eq!(check.status, Status::Fail);
        assert_eq!(
            render(&[check]).lines().map(str::trim_end).collect::<Vec<_>>(),
            ["FAIL  x264         this FFmpeg is built without libx264", &format!("                   fix: {INSTALL}"),]
        );
    }

    #[test]
    fn an_ffmpeg_older_than_5_1_fails() {
        let libraries = |major, minor| diagnose::Libraries {
            release: "x".to_owned(),
            license: "GPL".to_owned(),
            versions: vec![("libavcodec", diagnose::Version { major, minor, micro: 100 })],
        };
        assert_eq!(ffmpeg(&libraries(58, 134)).status, Status::Fail);
        assert_eq!(ffmpeg(&libraries(59, 37)).status, Status::Ok);
        assert_eq!(ffmpeg(&libraries(62, 3)).status, Status::Ok);
    }

    #[test]
    fn walls_that_are_missing_are_told_with_what_would_bring_them() {
        let check = walls(Ok(vec!["Landlock: it is off".to_owned()]));
        assert_eq!((check.status, check.found.as_str()), (Status::Warn, "not all of it stands: Landlock: it is off"));
        assert!(check.fix.unwrap().contains("Landlock"));
        assert_eq!(walls(Ok(Vec::new())).status, Status::Ok);
    }

    #[test]
    fn a_decoder_counts_under_any_of_its_names() {
        let check = decoders(|name| !["hevc", "libdav1d"].contains(&name));
        assert_eq!(check.status, Status::Warn);
        assert!(check.found.ends_with("missing: H.265"), "{}", check.found);
    }

    #[test]
    fn little_memory_is_met_with_fewer_workers() {
        let check = memory(Some(3 * WORKER_BYTES), 8);
        assert_eq!(check.fix.as_deref(), Some("a worker may take 700 MiB; use --workers 3"));
        assert_eq!(memory(Some(8 * WORKER_BYTES), 8).status, Status::Ok);
    }

    #[test]
    fn memory_is_read_from_the_kernels_table() {
        assert_eq!(available_of("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(available_of("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn this_machine_passes() {
        media::silence_log();
        let failed: Vec<_> = checks().into_iter().filter(|check| check.status == Status::Fail).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
}
