//! Checkers of outputs that know no image sets (DASH-IF Interoperability Points 6.2.6) take them for video without an
//! initialization segment. They are shown the MPD without.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Takes the image sets out of the MPD in the folder `out`.
///
/// # Errors
/// It can't be read or written.
pub fn hide_image_sets(out: &Path) -> Result<()> {
    let path = out.join("manifest.mpd");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    fs::write(&path, without_image_sets(&text)).with_context(|| format!("writing {}", path.display()))
}

fn without_image_sets(mpd: &str) -> String {
    const END: &str = "</AdaptationSet>";
    let sets = mpd.split_inclusive(END).map(|part| match part.find("<AdaptationSet ") {
        Some(start) if part.ends_with(END) && part[start..].contains("contentType=\"image\"") => &part[..start],
        _ => part,
    });
    sets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_image_sets_stays() {
        let (video, image) = (
            "<AdaptationSet contentType=\"video\"><Representation/></AdaptationSet>",
            "<AdaptationSet id=\"3\" contentType=\"image\"><Representation/></AdaptationSet>",
        );
        let mpd = format!("<MPD><Period>{video}{image}{video}</Period></MPD>");
        assert_eq!(without_image_sets(&mpd), format!("<MPD><Period>{video}{video}</Period></MPD>"));
    }
}
