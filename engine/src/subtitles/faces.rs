//! WebVTT cue text taken apart again, for forms that know bold, italics and underlines alone. It reads what this module writes,
//! and takes anything.

/// How characters look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faces {
    /// Bold.
    pub bold: bool,
    /// In italics.
    pub italic: bool,
    /// Underlined.
    pub underlined: bool,
}

/// Characters in a row that look alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// How they look.
    pub faces: Faces,
    /// The characters, none of them markup.
    pub text: String,
}

const ENTITIES: [(&str, char); 6] =
    [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&nbsp;", '\u{A0}'), ("&lrm;", '\u{200E}'), ("&rlm;", '\u{200F}')];

/// The characters of a cue text.
pub fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let (mut depths, mut rest) = ([0_u32; 3], text);
    while let Some(c) = rest.chars().next() {
        if let Some((tag, after)) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
            turn(&mut depths, tag);
            rest = after;
            continue;
        }
        let entity = ENTITIES.iter().find(|(name, _)| rest.starts_with(name));
        let (c, length) = entity.map_or((c, c.len_utf8()), |(name, c)| (*c, name.len()));
        let [bold, italic, underlined] = depths.map(|depth| depth > 0);
        let faces = Faces { bold, italic, underlined };
        match runs.last_mut().filter(|run| run.faces == faces) {
            Some(run) => run.text.push(c),
            None => runs.push(Run { faces, text: c.to_string() }),
        }
        rest = &rest[length..];
    }
    runs
}

/// Counts a tag, with its classes, among those that are open.
fn turn(depths: &mut [u32; 3], tag: &str) {
    let (closes, name) = tag.strip_prefix('/').map_or((false, tag), |name| (true, name));
    let name = name.split(['.', ' ', '\t', '\n']).next().unwrap_or_default();
    let Some(place) = ["b", "i", "u"].iter().position(|it| *it == name) else { return };
    depths[place] = if closes { depths[place].saturating_sub(1) } else { depths[place] + 1 };
}

/// A cue text as SubRip has it, where tags are those of HTML and nothing is escaped.
pub fn srt(text: &str) -> String {
    let mut srt = String::new();
    for run in runs(text) {
        let Faces { bold, italic, underlined } = run.faces;
        let tags = [(bold, "b"), (italic, "i"), (underlined, "u")];
        let open = || tags.iter().filter(|(is_on, _)| *is_on).map(|(_, name)| name);
        open().for_each(|name| srt.push_str(&format!("<{name}>")));
        srt.push_str(&run.text);
        open().rev().for_each(|name| srt.push_str(&format!("</{name}>")));
    }
    srt
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::markup;
    use super::*;

    fn faces(text: &str) -> Vec<(String, [bool; 3])> {
        runs(text).into_iter().map(|it| (it.text, [it.faces.bold, it.faces.italic, it.faces.underlined])).collect()
    }

    /// What can be seen of a cue text.
    fn marks(text: &str) -> Vec<(char, Faces)> {
        let of = |run: Run| run.text.chars().map(|c| (c, run.faces)).collect::<Vec<_>>();
        runs(text).into_iter().flat_map(of).filter(|(c, _)| !c.is_whitespace()).collect()
    }

    #[test]
    fn tags_become_faces_and_entities_characters() {
        let told = faces("a<i>b<b>c</b></i> &lt;d&gt; &amp;lt;<v Fred><u.loud>e</u></v>");
        let due =
            [("a", [false; 3]), ("b", [false, true, false]), ("c", [true, true, false]), (" <d> &lt;", [false; 3])];
        let due: Vec<(String, [bool; 3])> = due.into_iter().map(|(text, faces)| (text.to_owned(), faces)).collect();
        assert_eq!(told[..4], due);
        assert_eq!(told[4], ("e".to_owned(), [false, false, true]));
        assert_eq!(faces("</i>a < b"), [("a < b".to_owned(), [false; 3])]);
    }

    #[test]
    fn subrip_gets_html_tags_and_plain_characters() {
        assert_eq!(srt("a &amp; <b>b<i>c</i></b>\nd"), "a & <b>b</b><b><i>c</i></b>\nd");
    }

    proptest! {
        // What looks like markup when it is no longer escaped is the one thing that SubRip can't say, and not among these.
        #[test]
        fn what_subrip_gets_shows_what_the_cue_shows(
            pieces in prop::collection::vec(
                prop::sample::select(vec!["<i>", "</i>", "<b>", "</b>", "<u>", "</u>", "a", "é ", "b\n", ">"]), 0..20),
        ) {
            let cue = markup::srt(&pieces.concat()).text;
            prop_assert_eq!(marks(&markup::srt(&srt(&cue)).text), marks(&cue));
        }

        #[test]
        fn any_text_is_taken(text in any::<String>()) {
            srt(&text);
        }
    }
}
