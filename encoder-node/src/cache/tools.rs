//! Which program it is that encodes: another build may make other bytes of the same settings.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::time::UNIX_EPOCH;

/// A hash of this program, and of the names, sizes and times of the libraries that it has loaded.
///
/// # Errors
/// The program's file, the list of its libraries or one of these can't be read, or one was deleted or replaced since it was
/// loaded, so that nobody knows what it was.
pub fn identity() -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new_derive_key("VideoTranscode Pro, what encodes, version 1");
    io::copy(&mut File::open(std::env::current_exe()?)?, &mut hasher)?;
    for library in libraries(&fs::read_to_string("/proc/self/maps")?) {
        let facts = fs::metadata(library).map_err(|error| about(library, &error))?;
        let modified = facts.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        hasher.update(library.as_bytes()).update(&facts.len().to_le_bytes()).update(&modified.as_nanos().to_le_bytes());
    }
    Ok(hasher.finalize())
}

/// What the system puts behind the path of a mapped file that is no more.
const DELETED: &str = " (deleted)";

/// Why a library can't be looked at.
fn about(library: &str, error: &io::Error) -> io::Error {
    let what = match library.strip_suffix(DELETED) {
        Some(path) => format!("the library {path} was replaced while this program runs; start it anew"),
        None => format!("the library {library}: {error}"),
    };
    io::Error::new(error.kind(), what)
}

/// The shared libraries in a list of memory mappings (proc(5), `/proc/pid/maps`).
fn libraries(maps: &str) -> BTreeSet<&str> {
    maps.lines().filter_map(mapped).filter(|path| is_library(path)).collect()
}

/// The path of the file in a line of the list, if it is of one.
fn mapped(line: &str) -> Option<&str> {
    // All other columns are without slashes; a path may have blanks.
    line.get(line.find('/')?..)
}

/// Whether a file is called like a shared library: `libx264.so`, `libx264.so.164`.
fn is_library(path: &str) -> bool {
    let path = path.strip_suffix(DELETED).unwrap_or(path);
    let name = path.rsplit('/').next().unwrap_or(path);
    name.ends_with(".so") || name.contains(".so.")
}

#[cfg(test)]
mod tests {
    #[test]
    fn libraries_are_told_from_other_mappings() {
        let maps = "\
55d0c0a00000-55d0c0a01000 r--p 00000000 08:01 1 /usr/bin/vtp
7f0000000000-7f0000001000 r-xp 00000000 08:01 2 /usr/lib/x86_64-linux-gnu/libx264.so.164
7f0000001000-7f0000002000 r--p 00001000 08:01 2 /usr/lib/x86_64-linux-gnu/libx264.so.164
7f0000001000-7f0000002000 r--p 00001000 08:01 3                          /opt/my libraries/libavcodec.so.59
7f0000001000-7f0000002000 r--p 00001000 08:01 4                          /home/ada/my.source/a.son.mp4
7f0000001000-7f0000002000 r--p 00001000 08:01 5                          /usr/lib/libx265.so.199 (deleted)
7f0000002000-7f0000003000 rw-p 00000000 00:00 0
7ffd00000000-7ffd00001000 rw-p 00000000 00:00 0 [stack]
";
        assert_eq!(
            super::libraries(maps).into_iter().collect::<Vec<_>>(),
            [
                "/opt/my libraries/libavcodec.so.59",
                "/usr/lib/libx265.so.199 (deleted)",
                "/usr/lib/x86_64-linux-gnu/libx264.so.164"
            ]
        );
    }

    #[test]
    fn a_library_that_was_replaced_is_named() {
        let gone = std::io::ErrorKind::NotFound.into();
        let said = super::about("/usr/lib/libx265.so.199 (deleted)", &gone).to_string();
        assert_eq!(said, "the library /usr/lib/libx265.so.199 was replaced while this program runs; start it anew");
    }

    #[test]
    fn the_same_program_has_the_same_identity() {
        assert_eq!(super::identity().unwrap(), super::identity().unwrap());
    }
}
