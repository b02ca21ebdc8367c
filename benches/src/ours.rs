//! `vtp encode` as the benchmarks run it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::measured::{Measured, succeed};

/// No run takes this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(3 * 3600);

/// Encodes every chunk once and measures it, whatever it scores.
pub(crate) const ONCE: [&str; 4] = ["--quality", "0", "--floor", "0"];

/// Runs `vtp encode clip` into the folder `out`, which is replaced, with these `options` besides.
pub(crate) fn encode(vtp: &Path, clip: &Path, out: &Path, options: &[&str]) -> Result<Measured> {
    let mut command = Command::new(vtp);
    command
        .arg("encode")
        .arg(clip)
        .arg("--out")
        .arg(out)
        .args(["--force", "--progress", "none", "--cache", "none"])
        .args(options);
    succeed(&mut command, &out.with_extension("log"), LIMIT)
}
