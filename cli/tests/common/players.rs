//! Real players in a real browser: what `cli/tests/players/` does, asked from Rust. What is to be done is data, and so is
//! what came of it; `players/drive.js` says how both look.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::skipped;

/// A player, and the manifest that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Player {
    /// Its page in `players/page/`.
    pub(crate) page: &'static str,
    /// The manifest's name in the output.
    pub(crate) manifest: &'static str,
}

pub(crate) const HLS_JS: Player = Player { page: "hls", manifest: "master.m3u8" };
pub(crate) const DASH_JS: Player = Player { page: "dash", manifest: "manifest.mpd" };
pub(crate) const SHAKA_HLS: Player = Player { page: "shaka", manifest: "master.m3u8" };
pub(crate) const SHAKA_DASH: Player = Player { page: "shaka", manifest: "manifest.mpd" };
/// The one that is given transport streams.
pub(crate) const HLS_JS_STREAMS: Player = Player { page: "hls", manifest: "master-ts.m3u8" };
/// All of them, with what they play first.
pub(crate) const PLAYERS: [Player; 4] = [HLS_JS, DASH_JS, SHAKA_HLS, SHAKA_DASH];

impl Player {
    /// One page load: this player, the manifest in `out`, and what to do then. `options` may have `buffer`, the seconds
    /// to load ahead, and `clear_keys`, hexadecimal keys by key identifier.
    pub(crate) fn case(self, out: &str, options: &Value, steps: &[Value]) -> Value {
        let mut load = json!({ "do": "load", "url": format!("{out}/{}", self.manifest) });
        load.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let steps = [&[load], steps].concat();
        json!({ "player": self.page, "steps": steps })
    }
}

/// Does `cases` with what is in `folder`, so many at a time as there are `lanes`; tells what came of each. `None`, said aloud, where there is no browser, unless
/// the environment's `VTP_PLAYERS` says that it is `required`.
pub(crate) fn drive(folder: &Path, lanes: u32, cases: &[Value]) -> Option<Vec<Value>> {
    drive_after(|| {}, folder, lanes, cases)
}

/// The same, once no other browser runs and `begin` has done what is to be done then.
pub(crate) fn drive_after(begin: impl FnOnce(), folder: &Path, lanes: u32, cases: &[Value]) -> Option<Vec<Value>> {
    // Browsers that run at the same time take each other's processors, and drop pictures.
    static BROWSER: Mutex<()> = Mutex::new(());
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players");
    let (node, chromium) = match tools(&here) {
        Ok(tools) => tools,
        Err(missing) => {
            let required = std::env::var_os("VTP_PLAYERS").is_some_and(|value| value == "required");
            assert!(!required, "no players: {missing}");
            skipped(&missing);
            return None;
        }
    };
    let _one_at_a_time = BROWSER.lock().unwrap_or_else(PoisonError::into_inner);
    begin();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", "900"]).arg(node).arg(here.join("drive.js")).arg(folder).arg(lanes.to_string());
    command.env("CHROMIUM", chromium).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut driver = command.spawn().unwrap();
    driver.stdin.take().unwrap().write_all(&serde_json::to_vec(cases).unwrap()).unwrap();
    let output = driver.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Node.js and Chromium; the error says what is missing, and how to get it.
fn tools(here: &Path) -> Result<(PathBuf, PathBuf), String> {
    let node = on_path(&["node", "nodejs"]).ok_or("no Node.js: node is not on the PATH")?;
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let chromium = named.or_else(|| on_path(&["chromium", "chromium-browser", "google-chrome"]));
    let chromium = chromium.ok_or("no browser: chromium is not on the PATH, and CHROMIUM does not name one")?;
    match here.join("node_modules/.package-lock.json").exists() {
        true => Ok((node, chromium)),
        false => Err("the players are not installed: npm ci in cli/tests/players does that".to_owned()),
    }
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}
