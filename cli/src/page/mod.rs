//! `report.html`: the report for the eye, one page that needs nothing but itself. Pure: a report in, text out.
//!
//! Curves are drawn here, as SVG; the script only tells what is under the pointer. Every word that comes from the report
//! is escaped, and the page forbids itself to load anything.

mod axis;
mod chunks;
#[cfg(test)]
mod fixture;
mod head;
mod html;
mod joins;
mod panel;
mod plot;
mod tables;
mod thin;
mod trial;

use axis::Axis;
use panel::Panel;

use crate::curves::Curves;
use crate::report::Report;

/// The page on `report`. Without `curves` it is drawn from the chunks' summaries.
pub fn render(report: &Report, curves: Option<&Curves>) -> String {
    let time = Axis::time(end_s(report));
    let panels = report.renditions.iter().map(|rendition| {
        let curve = curves.and_then(|curves| curves.of(&rendition.name));
        Panel::new(rendition, curve, report.target, time).render()
    });
    let body: String = [head::render(report), trial::render(report), tables::renditions(report)]
        .into_iter()
        .chain(panels)
        .chain([tables::audio(report), tables::subtitles(report), tables::timing(report), tables::notes(report)])
        .collect();
    format!(
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n\
         <meta http-equiv=Content-Security-Policy \
         content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\n\
         <title>Encoding report</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
         <script>\n{}</script>\n</body>\n</html>\n",
        include_str!("style.css"),
        include_str!("script.js"),
    )
}

/// Where the output ends, in seconds: with the source, unless a chunk starts later still.
fn end_s(report: &Report) -> f64 {
    let starts = report.renditions.iter().flat_map(|rendition| &rendition.chunks).map(|chunk| chunk.start_s);
    starts.fold(report.source.duration_s, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fixture::Scene;

    #[test]
    fn the_page_loads_nothing_and_has_every_part() {
        let (report, curves) = Scene::MINUTE.build();
        let page = render(&report, Some(&curves));
        for foreign in ["http://", "https://", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        for part in ["3,600 frames in", "<h2>hd ", "<h2>standard ", "<h2>mobile ", "audio-1", "encode"] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn no_word_of_a_report_becomes_markup() {
        const HOSTILE: &str = "\"'><img src=x onerror=alert(1)></style></script><!--&lt;";
        let (mut report, mut curves) = Scene::MINUTE.build();
        let hostile = || HOSTILE.to_owned();
        report.source.codec = hostile();
        report.plan.reason = Some(hostile());
        report.warnings.push(hostile());
        report.timing.stages.insert(hostile(), 1.0);
        for (rendition, curve) in report.renditions.iter_mut().zip(&mut curves.renditions) {
            (rendition.name, rendition.codec, curve.name) = (hostile(), hostile(), hostile());
            rendition.chunks.iter_mut().for_each(|chunk| chunk.encoder = hostile());
        }
        for track in &mut report.audio {
            (track.name, track.codec, track.language) = (hostile(), hostile(), Some(hostile()));
        }
        let page = render(&report, Some(&curves));
        for markup in ["<img", "\"'>", "<!--", "'><"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert_eq!((page.matches("</style>").count(), page.matches("</script>").count()), (1, 1));
        assert!(page.contains("&quot;&#39;&gt;&lt;img src=x onerror=alert(1)&gt;"));
    }

    #[test]
    fn two_hours_make_a_page_of_a_reasonable_size() {
        let (report, curves) = Scene::TWO_HOURS.build();
        let page = render(&report, Some(&curves));
        let each = page.len() / report.renditions.len();
        assert!(each < 350_000, "{each} bytes a rendition");
    }

    #[test]
    fn a_report_of_almost_nothing_is_drawn_as_well() {
        let (mut report, _) = Scene::MINUTE.build();
        report.source.duration_s = 0.0;
        report.renditions.truncate(1);
        report.renditions[0].chunks.clear();
        report.audio.clear();
        assert!(!render(&report, None).contains("NaN"));
        report.renditions.clear();
        assert!(!render(&report, None).contains("inf"));
    }
}
