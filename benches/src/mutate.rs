//! Damaged copies of real files through `vtp encode`: each has to become a ladder with its proof, or be refused with
//! nothing left behind. A seed and the number of a case give the same damage to the same files again.

mod boxes;
mod damage;
mod outcome;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::measured::{self, Limits, Measured};
use crate::table::Table;
use damage::Kind;
use outcome::Outcome;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `vtp` binary.
    pub vtp: PathBuf,
    /// The files that are damaged.
    pub files: Vec<PathBuf>,
    /// Cases in all.
    pub count: u64,
    /// Only the case of this number.
    pub case: Option<u64>,
    /// Where the random damage comes from.
    pub seed: u64,
    /// A run that takes longer counts as hung.
    pub limit: Duration,
    /// Most memory that a run may use, with all its processes, in MiB.
    pub memory_mib: u64,
    /// `--ladder` of the runs.
    pub ladder: String,
    /// `--speed` of the runs.
    pub speed: String,
    /// Cases at a time.
    pub jobs: usize,
    /// A folder for the damaged files of cases that fail; with `case`, for that one, whatever becomes of it.
    pub keep: Option<PathBuf>,
}

/// One file with its bytes.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// One case.
#[derive(Debug)]
struct Case {
    number: u64,
    kind: Kind,
    file: String,
    outcome: Outcome,
    /// The last that it said.
    said: String,
    wall_s: f64,
    peak_mib: f64,
}

/// Runs the cases, printing a line to stderr for each that fails, and returns the tables in Markdown and how many failed.
///
/// # Errors
/// A file can't be read or is empty, or a run can't be started.
pub fn run(options: &Options) -> Result<(String, usize)> {
    let sources = options.files.iter().map(|path| Source::read(path)).collect::<Result<Vec<_>>>()?;
    ensure!(!sources.is_empty(), "there is no file to damage");
    if let Some(folder) = &options.keep {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let numbers = options.case.map_or(0..options.count, |case| case..case + 1);
    let (next, done) = (AtomicU64::new(numbers.start), Mutex::new(Vec::new()));
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return Ok(());
            }
            let case = one(options, &sources, number).inspect_err(|_| next.store(numbers.end, Ordering::Relaxed))?;
            if case.outcome.is_failure() {
                eprintln!("{}", case.line());
            }
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            done.push(case);
            if done.len() % 100 == 0 {
                eprintln!("{} of {} cases", done.len(), numbers.end - numbers.start);
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let mut cases = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    cases.sort_by_key(|case| case.number);
    let failed = cases.iter().filter(|case| case.outcome.is_failure()).count();
    Ok((told(options, &cases)?, failed))
}

impl Source {
    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        ensure!(!bytes.is_empty(), "{} is empty", path.display());
        Ok(Self { path: path.to_owned(), bytes })
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The generator of a case: neighbours have nothing in common.
fn random(seed: u64, number: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed ^ number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn one(options: &Options, sources: &[Source], number: u64) -> Result<Case> {
    let mut random = random(options.seed, number);
    let mut any = || &sources[random.usize(..sources.len())];
    let (source, donor) = (any(), any());
    let kind = Kind::choose(&source.bytes, &mut random);
    let bytes = damage::damaged(kind, &source.bytes, &donor.bytes, &mut random);
    let scratch = tempfile::tempdir()?;
    let ending = source.path.extension().map_or(String::new(), |ending| format!(".{}", ending.to_string_lossy()));
    let name = format!("case-{number}{ending}");
    let input = scratch.path().join(&name);
    std::fs::write(&input, &bytes).with_context(|| format!("writing {}", input.display()))?;

    let (out, log) = (scratch.path().join("out"), scratch.path().join("log"));
    let before = [&name, "log.out", "log.err"].map(str::to_owned).into();
    let mut command = Command::new(&options.vtp);
    command.arg("encode").arg(&input).arg("--out").arg(&out);
    command.args(["--progress", "none", "--cache", "none", "--no-measure"]);
    command.args(["--ladder", &options.ladder, "--speed", &options.speed]);
    let memory_mib = options.memory_mib as f64;
    let run = measured::run_within(&mut command, &log, Limits { time: options.limit, memory_mib })?;
    let stderr = std::fs::read(log.with_extension("err")).unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr).replace(&*input.to_string_lossy(), "the file");
    let outcome = outcome::judge(&run, memory_mib, &stderr, &out, &before);
    if let Some(folder) = options.keep.as_ref().filter(|_| outcome.is_failure() || options.case.is_some()) {
        std::fs::write(folder.join(&name), &bytes).with_context(|| format!("writing to {}", folder.display()))?;
    }
    let said = stderr.lines().last().unwrap_or_default().to_owned();
    let Measured { wall_s, peak_mib, .. } = run;
    Ok(Case { number, kind, file: source.name(), outcome, said, wall_s, peak_mib })
}

impl Case {
    fn line(&self) -> String {
        let Self { number, kind, file, outcome, said, wall_s, peak_mib } = self;
        let (kind, outcome) = (kind.name(), outcome.name());
        format!("case {number}, {file}, {kind}: {outcome} after {wall_s:.1} s and {peak_mib:.0} MiB; {said}")
    }
}

fn told(options: &Options, cases: &[Case]) -> Result<String> {
    let mut text = String::new();
    let Options { seed, ladder, speed, .. } = options;
    let (count, files) = (cases.len(), options.files.len());
    writeln!(text, "{count} cases of {files} files, seed {seed}, ladder `{ladder}`, speed `{speed}`.\n")?;
    text.push_str(&table(cases).text());
    if let [Some(slowest), Some(largest)] = [|case: &&Case| case.wall_s, |case: &&Case| case.peak_mib]
        .map(|figure| cases.iter().max_by(|a, b| figure(a).total_cmp(&figure(b))))
    {
        let (wall, peak) = (slowest.wall_s, largest.peak_mib);
        let (first, second) = (slowest.number, largest.number);
        writeln!(text, "\nThe slowest took {wall:.1} s (case {first}), the largest {peak:.0} MiB (case {second}).")?;
    }
    let mut failures = cases.iter().filter(|case| case.outcome.is_failure()).peekable();
    if failures.peek().is_some() {
        text.push_str("\nFailures:\n\n");
    }
    failures.for_each(|case| text.push_str(&format!("* {}\n", case.line())));
    Ok(text)
}

/// How often each kind of damage came to each outcome.
fn table(cases: &[Case]) -> Table {
    let mut head = vec!["damage"];
    head.extend(Outcome::ALL.map(Outcome::name));
    let mut table = Table::new(&head);
    let mut row = |name: &str, of: &dyn Fn(&Case) -> bool| {
        let mut counts = BTreeMap::<Outcome, usize>::new();
        cases.iter().filter(|case| of(case)).for_each(|case| *counts.entry(case.outcome).or_default() += 1);
        let cells = Outcome::ALL.map(|outcome| counts.get(&outcome).copied().unwrap_or(0).to_string());
        table.row([name.to_owned()].into_iter().chain(cells).collect());
    };
    Kind::ALL.into_iter().for_each(|kind| row(kind.name(), &|case| case.kind == kind));
    row("all", &|_| true);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(number: u64, kind: Kind, outcome: Outcome) -> Case {
        let said = "error: no idea".to_owned();
        Case { number, kind, file: "a.mp4".to_owned(), outcome, said, wall_s: 1.5, peak_mib: 80.0 }
    }

    fn options(files: Vec<PathBuf>, vtp: &str) -> Options {
        let (ladder, speed) = ("mobile".to_owned(), "ultrafast".to_owned());
        let (limit, memory_mib) = (Duration::from_secs(20), 1000);
        let (vtp, case, keep) = (vtp.into(), None, None);
        Options { vtp, files, count: 3, case, seed: 1, limit, memory_mib, ladder, speed, jobs: 2, keep }
    }

    #[test]
    fn outcomes_are_counted_by_kind_and_failures_told_with_their_case() {
        let cases = [
            case(0, Kind::Truncated, Outcome::Refused),
            case(1, Kind::Truncated, Outcome::Proven),
            case(2, Kind::BoxSize, Outcome::Internal),
        ];
        let text = told(&options(Vec::new(), "vtp"), &cases).unwrap();
        assert!(text.contains("| truncated | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |"), "{text}");
        assert!(text.contains("| all | 1 | 1 | 0 | 0 | 1 | 0 | 0 | 0 | 0 |"), "{text}");
        let line = "* case 2, a.mp4, the size of a box: internal after 1.5 s and 80 MiB; error: no idea\n";
        assert!(text.ends_with(line), "{text}");
    }

    #[test]
    fn a_case_is_the_same_alone_and_its_file_can_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.ts");
        std::fs::write(&file, [0x47; 4000]).unwrap();
        let kept = |name: &str| folder.path().join(name);
        // A program that always fails.
        let all = Options { keep: Some(kept("all")), ..options(vec![file.clone()], "false") };
        let (text, failed) = run(&all).unwrap();
        assert_eq!(failed, 3, "{text}");
        run(&Options { case: Some(2), keep: Some(kept("one")), ..all }).unwrap();
        let read = |name: &str| std::fs::read(kept(name).join("case-2.ts")).unwrap();
        assert_eq!(read("all"), read("one"));
        assert_ne!(read("one"), [0x47; 4000]);
    }

    #[test]
    fn an_empty_file_is_told_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.webm");
        std::fs::write(&file, "").unwrap();
        assert!(run(&options(vec![file], "false")).unwrap_err().to_string().ends_with("a.webm is empty"));
    }
}
