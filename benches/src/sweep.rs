//! Every file of some folders through `vtp encode` and an independent checker of its output; a table of what became
//! of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::measured;
use crate::table::Table;

/// What to sweep.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `vtp` binary.
    pub vtp: PathBuf,
    /// Folders of files.
    pub folders: Vec<PathBuf>,
    /// Only files whose name contains this.
    pub only: Option<String>,
    /// The checker: a program called as `CHECKER SOURCE OUT --json`, answering rows with `group`, `check`, `status` and
    /// `figure`.
    pub checker: PathBuf,
    /// `--ladder` of the runs.
    pub ladder: String,
    /// `--speed` of the runs, if it is not to be the default.
    pub speed: Option<String>,
    /// Rows that are known to be wrong for a file, each with the reason: lines of file, `group/row` and reason, parted
    /// by tabs.
    pub exceptions: Option<PathBuf>,
    /// A run that takes longer counts as hung.
    pub limit: Duration,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    group: String,
    check: String,
    status: String,
    figure: String,
}

/// Reasons by file and row.
type Exceptions = BTreeMap<(String, String), String>;

/// What became of one file.
#[derive(Debug)]
enum Fate {
    /// Every row passed, or was skipped by the checker.
    Passed { rows: usize, skipped: usize },
    /// Rows failed, all of them known to be wrong for the file.
    Excepted { rows: usize, reasons: Vec<String> },
    /// Refused with exit code 3 and a code of the specification.
    Refused(String),
    /// Anything else.
    Failed(String),
}

/// Sweeps, printing a line a file to stderr, and returns the table in Markdown and how many files failed.
pub fn run(options: &Options) -> Result<(String, usize)> {
    let exceptions = exceptions(options.exceptions.as_deref())?;
    let mut table = Table::new(&["set", "file", "outcome", "wall s", "detail"]);
    let mut counts = BTreeMap::<&str, usize>::new();
    for folder in &options.folders {
        let set = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in files(folder, options.only.as_deref())? {
            let (fate, wall_s) = one(options, &file, &exceptions)?;
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (outcome, detail) = words(&fate);
            eprintln!("{outcome:9} {wall_s:7.2} s  {name}  {detail}");
            *counts.entry(outcome).or_default() += 1;
            table.row(vec![set.clone(), name, outcome.to_owned(), format!("{wall_s:.1}"), detail]);
        }
    }
    let mut text = String::new();
    let summary: Vec<String> = counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let speed = options.speed.as_ref().map_or(String::new(), |speed| format!(", speed `{speed}`"));
    writeln!(text, "Ladder `{}`{speed}: {}.\n", options.ladder, summary.join(", "))?;
    text.push_str(&table.text());
    Ok((text, counts.get("FAILED").copied().unwrap_or(0)))
}

fn words(fate: &Fate) -> (&'static str, String) {
    match fate {
        Fate::Passed { rows, skipped } => ("passed", format!("{rows} rows, {skipped} not applicable")),
        Fate::Excepted { rows, reasons } => ("excepted", format!("{rows} rows; {}", reasons.join("; "))),
        Fate::Refused(why) => ("refused", why.clone()),
        Fate::Failed(why) => ("FAILED", why.clone()),
    }
}

fn exceptions(path: Option<&Path>) -> Result<Exceptions> {
    let Some(path) = path else { return Ok(Exceptions::new()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| match line.splitn(3, '\t').collect::<Vec<_>>()[..] {
            [file, row, reason] => Ok(((file.to_owned(), row.to_owned()), reason.to_owned())),
            _ => bail!("{}: no three columns in {line:?}", path.display()),
        })
        .collect()
}

fn files(folder: &Path, only: Option<&str>) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && only.is_none_or(|part| name.contains(part)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn one(options: &Options, file: &Path, exceptions: &Exceptions) -> Result<(Fate, f64)> {
    let scratch = tempfile::tempdir()?;
    let (out, log) = (scratch.path().join("out"), scratch.path().join("log"));
    let mut command = Command::new(&options.vtp);
    command.arg("encode").arg("--out").arg(&out).args([
        "--ladder",
        &options.ladder,
        "--progress",
        "none",
        "--cache",
        "none",
    ]);
    command.args(options.speed.iter().flat_map(|speed| ["--speed", speed]));
    command.arg("--").arg(file);
    let run = measured::run(&mut command, &log, options.limit)?;
    let said = std::fs::read_to_string(log.with_extension("err")).unwrap_or_default();
    let said = said.lines().last().unwrap_or_default().replace(&*file.to_string_lossy(), "the file");
    let fate = match run.status.map(|status| status.code()) {
        Some(Some(0)) => check(options, file, &out, exceptions)?,
        Some(Some(3)) if out.exists() => Fate::Failed("refused, and yet an output is left".to_owned()),
        Some(Some(3)) if said.starts_with("error 100") => Fate::Refused(said),
        Some(Some(code)) => Fate::Failed(format!("exit code {code}: {said}")),
        Some(None) => Fate::Failed(format!("ended by a signal: {said}")),
        None => Fate::Failed(format!("hung for {} s", options.limit.as_secs())),
    };
    Ok((fate, run.wall_s))
}

fn check(options: &Options, file: &Path, out: &Path, exceptions: &Exceptions) -> Result<Fate> {
    let mut command = Command::new(&options.checker);
    // A name with a dash in front is no option.
    let file_argument = file.canonicalize()?;
    command.arg(file_argument).arg(out).arg("--json");
    if options.ladder.split(',').any(|rung| rung == "archive") {
        command.arg("--lossless");
    }
    let answer = command.output().with_context(|| format!("running {}", options.checker.display()))?;
    let Ok(verdict) = serde_json::from_slice::<Verdict>(&answer.stdout) else {
        let said = String::from_utf8_lossy(&answer.stderr);
        return Ok(Fate::Failed(format!("the checker answered no rows: {}", said.lines().last().unwrap_or_default())));
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let count = |status: &str| verdict.rows.iter().filter(|row| row.status == status).count();
    let (mut failures, mut reasons) = (Vec::new(), Vec::new());
    for row in verdict.rows.iter().filter(|row| row.status == "FAIL") {
        let key = format!("{}/{}", row.group, row.check);
        match exceptions.get(&(name.clone(), key.clone())) {
            Some(reason) => reasons.push(format!("{key}: {reason}")),
            None => failures.push(format!("{key}: {}", row.figure)),
        }
    }
    Ok(match (failures.is_empty(), reasons.is_empty()) {
        (false, _) => Fate::Failed(failures.join("; ")),
        (true, false) => Fate::Excepted { rows: count("PASS"), reasons },
        (true, true) => Fate::Passed { rows: count("PASS"), skipped: count("SKIP") },
    })
}
