//! Which program it is that encodes: another build may make other bytes of the same settings.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// A hash of this program, and of the names, sizes and times of the libraries that it has loaded.
///
/// # Errors
/// The program's file, the list of its libraries or one of these can't be read.
pub fn identity() -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new_derive_key("VideoTranscode Pro, what encodes, version 1");
    io::copy(&mut File::open(std::env::current_exe()?)?, &mut hasher)?;
    for library in libraries(&fs::read_to_string("/proc/self/maps")?) {
        let facts = fs::metadata(library)?;
        let modified = facts.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        hasher.update(library.as_bytes()).update(&facts.len().to_le_bytes()).update(&modified.as_nanos().to_le_bytes());
    }
    Ok(hasher.finalize())
}

/// The shared libraries in a list of memory mappings (proc(5), `/proc/pid/maps`).
fn libraries(maps: &str) -> BTreeSet<&str> {
    // All other columns are without slashes; a path may have blanks.
    maps.lines()
        .filter_map(|line| line.get(line.find('/')?..))
        .filter(|path| Path::new(path).is_absolute() && path.contains(".so"))
        .collect()
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
7f0000002000-7f0000003000 rw-p 00000000 00:00 0
7ffd00000000-7ffd00001000 rw-p 00000000 00:00 0 [stack]
";
        assert_eq!(
            super::libraries(maps).into_iter().collect::<Vec<_>>(),
            ["/opt/my libraries/libavcodec.so.59", "/usr/lib/x86_64-linux-gnu/libx264.so.164"]
        );
    }

    #[test]
    fn the_same_program_has_the_same_identity() {
        assert_eq!(super::identity().unwrap(), super::identity().unwrap());
    }
}
