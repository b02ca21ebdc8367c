//! `vtp cache`: step: tell what is kept for later runs, or delete some of it. And the options of `vtp encode` that say
//! where that is. In: a folder. Out: a line. Never: touches anything but finished encodings.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::{Args, Subcommand};
use vtp_encoder_node::cache::{self, Cache, Usage};

use crate::exit::Failure;
use crate::{Outcome, print, text};

/// Where finished encodings are kept, and how many.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cache")]
pub struct CacheArguments {
    /// Folder that keeps finished encodings, so that a run that was interrupted goes on where it was and one with other
    /// settings encodes only what is new; none keeps nothing [default: vtp in the user's cache folder]
    #[arg(long, global = true, value_name = "DIR", env = "VTP_CACHE", hide_env_values = true)]
    cache: Option<OsString>,

    /// Most that it may hold; what was not used for longest goes first
    #[arg(
        long,
        global = true,
        value_name = "SIZE",
        env = "VTP_CACHE_SIZE",
        hide_env_values = true,
        default_value = "10GiB"
    )]
    cache_size: ByteSize,
}

impl CacheArguments {
    /// The folder; `None` if nothing is to be kept, or there is no place for it.
    fn folder(&self) -> Option<PathBuf> {
        match &self.cache {
            Some(folder) if folder == "none" => None,
            Some(folder) => Some(folder.into()),
            None => default_folder(|name| std::env::var_os(name)),
        }
    }

    /// Opens it. Where that fails, a sentence says that nothing is kept, and why.
    pub(crate) fn open(&self) -> (Option<Cache>, Option<String>) {
        let Some(folder) = self.folder() else { return (None, None) };
        match Cache::open(&folder) {
            Ok(cache) => (Some(cache), None),
            Err(error) => {
                let folder = folder.display();
                (None, Some(format!("nothing was kept for later runs: the cache {folder} can't be used: {error}")))
            }
        }
    }

    /// Deletes what is too much. Where that fails, a sentence says so.
    pub(crate) fn trim(&self) -> Option<String> {
        let folder = self.folder()?;
        let error = cache::trim(&folder, self.cache_size.as_u64()).err()?;
        Some(format!("the cache {} may be larger than it should be: {error}", folder.display()))
    }
}

/// As the XDG Base Directory Specification has it.
fn default_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    caches.map(|folder| folder.join("vtp"))
}

/// Show or trim what is kept of finished encodings.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    cache: CacheArguments,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Tell how much it holds (the default)
    Show,
    /// Delete what was not used for longest
    Trim {
        /// What may stay [default: what --cache-size allows]
        #[arg(long, value_name = "SIZE")]
        to: Option<ByteSize>,
    },
    /// Delete all of it
    Clear,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] without a cache, [`Failure::Internal`] if the folder can't be read or changed.
pub fn run(arguments: &Arguments) -> Outcome {
    let CacheArguments { cache_size, .. } = arguments.cache;
    let Some(folder) = arguments.cache.folder() else {
        return Err(Failure::Usage("there is no cache; name its folder with --cache".to_owned()));
    };
    let most = match arguments.action.unwrap_or(Action::Show) {
        Action::Show => return show(&folder, cache_size),
        Action::Trim { to } => to.unwrap_or(cache_size).as_u64(),
        Action::Clear => 0,
    };
    let trim = || cache::trim(&folder, most).with_context(|| format!("cannot trim {}", folder.display()));
    let deleted = trim().map_err(Failure::Internal)?;
    print(&format!("{}: {} deleted\n", folder.display(), amount(deleted)))
}

fn show(folder: &Path, limit: ByteSize) -> Outcome {
    let usage = cache::usage(folder).with_context(|| format!("cannot read {}", folder.display()));
    let usage = amount(usage.map_err(Failure::Internal)?);
    print(&format!("{}: {usage}, of at most {}\n", folder.display(), text::bytes(limit.as_u64())))
}

fn amount(usage: Usage) -> String {
    format!("{}, {}", text::plural(usage.entries, "encoding"), text::bytes(usage.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_lies_where_the_users_caches_are() {
        let of = |variables: &'static [(&str, &str)]| {
            default_folder(|name| Some(variables.iter().find(|(of, _)| *of == name)?.1.into()))
        };
        assert_eq!(of(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), Some("/c/vtp".into()));
        assert_eq!(of(&[("HOME", "/h")]), Some("/h/.cache/vtp".into()));
        assert_eq!(of(&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")]), Some("/h/.cache/vtp".into()));
        assert_eq!(of(&[]), None);
    }
}
