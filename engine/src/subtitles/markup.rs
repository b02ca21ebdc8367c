//! Marked up text becomes WebVTT cue text: italics, bold and underlines are kept, other looks are left out, and what is
//! text stays text.

use super::settings;

/// Tags beyond this depth are left out.
const DEEPEST: usize = 12;
/// What is longer is no tag, or no override block, in bytes.
const LONGEST_TAG: usize = 300;
const LONGEST_BLOCK: usize = 4096;

/// What became of a marked up text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// WebVTT cue text; empty if it shows nothing.
    pub text: String,
    /// WebVTT cue settings.
    pub settings: String,
}

/// Text without markup.
pub fn plain(text: &str) -> Marked {
    let mut writer = Writer::default();
    text.chars().for_each(|c| writer.push(c));
    Marked { text: writer.finish(), settings: String::new() }
}

/// The text of a SubRip cue: a few tags of HTML, entities, and the override blocks that players know from ASS.
pub fn srt(text: &str) -> Marked {
    let (mut writer, mut rest, mut place) = (Writer::default(), text, Place::default());
    while let Some(c) = rest.chars().next() {
        if let Some((block, after)) = overrides(rest) {
            place.read(block, &mut writer);
            rest = after;
        } else if let Some((tag, after)) = tag(rest).filter(|(tag, _)| is_html(tag)) {
            let (closes, name) = name_of(tag);
            match name.to_ascii_lowercase().as_str() {
                name @ ("i" | "b" | "u") if closes => writer.close(name),
                name @ ("i" | "b" | "u") => writer.open(name, format!("<{name}>")),
                "br" => writer.push('\n'),
                _ => {}
            }
            rest = after;
        } else {
            rest = writer.character(c, rest);
        }
    }
    Marked { text: writer.finish(), settings: place.settings() }
}

/// The text of an ASS event: override blocks in braces, `\N` for a new line.
pub fn ass(text: &str) -> Marked {
    let (mut writer, mut rest, mut place) = (Writer::default(), text, Place::default());
    while let Some(c) = rest.chars().next() {
        if let Some((block, after)) = braces(rest) {
            place.read(block, &mut writer);
            rest = after;
            continue;
        }
        let (shown, length) = match rest.as_bytes() {
            [b'\\', b'N', ..] => ('\n', 2),
            [b'\\', b'n', ..] => (' ', 2),
            [b'\\', b'h', ..] => ('\u{A0}', 2),
            _ => (c, c.len_utf8()),
        };
        if !place.draws {
            writer.push(shown);
        }
        rest = &rest[length..];
    }
    Marked { text: writer.finish(), settings: place.settings() }
}

/// WebVTT cue text with its settings, brought into order: what browsers would show of it. Timestamps in it and what
/// refers to style sheets or regions are left out.
pub fn vtt(text: &str, settings: &str) -> Marked {
    let (mut writer, mut rest) = (Writer::default(), text);
    while let Some(c) = rest.chars().next() {
        let Some((tag, after)) = tag(rest) else {
            rest = writer.character(c, rest);
            continue;
        };
        let (closes, name) = name_of(tag);
        if let ("c" | "i" | "b" | "u" | "ruby" | "rt" | "v" | "lang", closes) = (name, closes) {
            if closes { writer.close(name) } else { writer.open(name, opening(name, &tag[name.len()..])) }
        }
        rest = after;
    }
    Marked { text: writer.finish(), settings: settings::valid(settings) }
}

/// The tag that `text` begins with, without its brackets, and what follows it.
fn tag(text: &str) -> Option<(&str, &str)> {
    enclosed(text, [b'<', b'>'], LONGEST_TAG).filter(|(tag, _)| !tag.contains('<'))
}

/// Whether it is a tag as HTML has them, and not a comparison.
fn is_html(tag: &str) -> bool {
    let name = tag.strip_prefix('/').unwrap_or(tag);
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.split([' ', '\t', '\n', '/', '=']).next().is_some_and(|name| name.chars().all(char::is_alphanumeric))
}

/// Whether a tag closes, and its name.
fn name_of(tag: &str) -> (bool, &str) {
    let (closes, rest) = match tag.strip_prefix('/') {
        Some(rest) => (true, rest),
        None => (false, tag),
    };
    (closes, rest.split([' ', '\t', '\n', '.', '/']).next().unwrap_or_default())
}

/// A WebVTT start tag with its classes and its annotation (W3C WebVTT, 3.4).
fn opening(name: &str, rest: &str) -> String {
    let (classes, annotation) = rest.split_once([' ', '\t', '\n']).unwrap_or((rest, ""));
    let word = |c: &char| c.is_ascii_alphanumeric() || "-_".contains(*c);
    let classes: String = classes
        .split('.')
        .map(|class| class.chars().filter(word).collect::<String>().trim_end_matches('-').to_owned())
        .filter(|class| !class.is_empty())
        .fold(String::new(), |all, class| all + "." + &class);
    let is_gap = |c: char| c.is_whitespace() || c.is_control();
    let words = annotation.split(is_gap).filter(|word| !word.is_empty());
    let annotation = words.collect::<Vec<_>>().join(" ");
    // With what closes the tag, dashes would make an arrow, which begins a cue.
    match annotation.trim_end_matches(['-', ' ']) {
        text if ["v", "lang"].contains(&name) && !text.is_empty() => format!("<{name}{classes} {text}>"),
        _ => format!("<{name}{classes}>"),
    }
}

/// The override block of ASS that `text` begins with, without its braces.
fn overrides(text: &str) -> Option<(&str, &str)> {
    braces(text).filter(|(block, _)| block.starts_with('\\'))
}

fn braces(text: &str) -> Option<(&str, &str)> {
    enclosed(text, [b'{', b'}'], LONGEST_BLOCK)
}

/// What stands between two brackets at the beginning of `text`, if it is no longer than that, and what follows.
fn enclosed(text: &str, [open, close]: [u8; 2], longest: usize) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let length =
        bytes.get(1..).filter(|_| bytes[0] == open)?.iter().take(longest + 1).position(|&byte| byte == close)?;
    Some((&text[1..1 + length], &text[length + 2..]))
}

/// Where the text stands, and whether what follows is a drawing.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// As on the numeric keypad of a keyboard: 1 to 3 are at the bottom, 4 to 6 in the middle, 7 to 9 at the top.
    keypad: Option<u8>,
    draws: bool,
}

impl Place {
    fn read(&mut self, block: &str, writer: &mut Writer) {
        for word in block.split('\\').map(|word| word.trim()) {
            let (name, value) = word.split_at(word.find(|c: char| c.is_ascii_digit()).unwrap_or(word.len()));
            let value = value.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse::<u16>().ok();
            match (name, value) {
                ("i" | "b" | "u", Some(0) | None) => writer.close(name),
                ("i" | "b" | "u", Some(_)) => writer.open(name, format!("<{name}>")),
                ("r", _) => ["i", "b", "u"].iter().for_each(|name| writer.close(name)),
                ("an", Some(place @ 1..=9)) => self.keypad = self.keypad.or(u8::try_from(place).ok()),
                // SSA: 1 to 3 from left to right, 4 more is above, 8 more in the middle.
                ("a", Some(old @ (1..=3 | 5..=7 | 9..=11))) => {
                    let row = [0, 6, 3][usize::from(old / 4)];
                    self.keypad = self.keypad.or(u8::try_from(row + old % 4).ok());
                }
                ("p", scale) => self.draws = scale.is_some_and(|scale| scale > 0),
                _ => {}
            }
        }
    }

    fn settings(self) -> String {
        let Some(keypad) = self.keypad else { return String::new() };
        let line = ["", "line:50%", "line:0"][usize::from(keypad.saturating_sub(1) / 3).min(2)];
        let align = ["align:left", "", "align:right"][usize::from(keypad.saturating_sub(1) % 3)];
        [line, align].iter().filter(|setting| !setting.is_empty()).copied().collect::<Vec<_>>().join(" ")
    }
}

/// Writes cue text: tags only where there is text for them, lines only where they are not blank.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: String,
    written: Vec<Tag>,
    wanted: Vec<Tag>,
    breaks: bool,
    spaces: usize,
    line_has_text: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    name: String,
    opening: String,
}

impl Writer {
    pub(super) fn open(&mut self, name: &str, opening: String) {
        if self.wanted.len() < DEEPEST && self.wanted.iter().all(|tag| tag.name != name) {
            self.wanted.push(Tag { name: name.to_owned(), opening });
        }
    }

    pub(super) fn close(&mut self, name: &str) {
        self.wanted.retain(|tag| tag.name != name);
    }

    /// Takes a character of text.
    pub(super) fn push(&mut self, c: char) {
        match c {
            '\n' | '\u{2028}' | '\u{2029}' | '\u{85}' | '\u{B}' | '\u{C}' => {
                self.breaks |= self.line_has_text;
                self.line_has_text = false;
                self.spaces = 0;
            }
            ' ' | '\t' => self.spaces += usize::from(self.line_has_text),
            c if c.is_control() || c == '\u{FEFF}' => {}
            '&' => self.put("&amp;"),
            '<' => self.put("&lt;"),
            '>' => self.put("&gt;"),
            c => self.put(c.encode_utf8(&mut [0; 4])),
        }
    }

    /// Takes the character `c` that `rest` begins with, or the one that the entity there stands for; what follows it.
    fn character<'a>(&mut self, c: char, rest: &'a str) -> &'a str {
        let (c, length) = entity(rest).unwrap_or((c, c.len_utf8()));
        self.push(c);
        &rest[length..]
    }

    fn put(&mut self, text: &str) {
        let same = self.written.iter().zip(&self.wanted).take_while(|(written, wanted)| written == wanted).count();
        for tag in self.written.drain(same..).rev() {
            self.out += &format!("</{}>", tag.name);
        }
        if std::mem::take(&mut self.breaks) {
            self.out.push('\n');
        }
        self.out.extend(std::iter::repeat_n(' ', std::mem::take(&mut self.spaces)));
        for tag in &self.wanted[same..] {
            self.out += &tag.opening;
        }
        self.written.clone_from(&self.wanted);
        self.out += text;
        self.line_has_text = true;
    }

    pub(super) fn finish(mut self) -> String {
        for tag in self.written.iter().rev() {
            self.out += &format!("</{}>", tag.name);
        }
        self.out
    }
}

/// The character that the entity at the beginning of `text` stands for, and its length.
fn entity(text: &str) -> Option<(char, usize)> {
    let rest = text.strip_prefix('&')?;
    let end = rest.bytes().take(10).position(|byte| byte == b';')?;
    let name = &rest[..end];
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{A0}',
        "lrm" => '\u{200E}',
        "rlm" => '\u{200F}',
        _ => match name.strip_prefix('#')? {
            hex if hex.starts_with(['x', 'X']) => number(&hex[1..], 16)?,
            digits => number(digits, 10)?,
        },
    };
    Some((c, end + 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(marked: Marked) -> (String, String) {
        (marked.text, marked.settings)
    }

    #[test]
    fn subrip_keeps_italics_bold_and_underlines_and_nothing_else() {
        for (text, shown) in [
            ("First <i>italic</i>", "First <i>italic</i>"),
            ("<I>a <B>b</i> c</B>", "<i>a <b>b</b></i> <b>c</b>"),
            ("<font color=\"#fff\">x</font> <s>y</s>", "x y"),
            ("1 < 2 > 0 & 3 <3", "1 &lt; 2 &gt; 0 &amp; 3 &lt;3"),
            ("&lt;i&gt; &amp; &nbsp;&#233;&#xE9; &bogus;", "&lt;i&gt; &amp; \u{A0}éé &amp;bogus;"),
            ("never closed <i>x", "never closed <i>x</i>"),
            ("<i></i>nothing</i></b>", "nothing"),
            ("a<br>b<br/>c", "a\nb\nc"),
            ("a\n\n  \n<i>\nb</i>\n\n", "a\n<i>b</i>"),
            ("a --> b", "a --&gt; b"),
            ("{not an override} {\\i1}x{\\i0}y", "{not an override} <i>x</i>y"),
        ] {
            assert_eq!(both(srt(text)), (shown.to_owned(), String::new()), "{text}");
        }
    }

    #[test]
    fn places_become_settings() {
        assert_eq!(both(srt("{\\an8}up")), ("up".to_owned(), "line:0".to_owned()));
        assert_eq!(both(ass("{\\an1\\i1}x")), ("<i>x</i>".to_owned(), "align:left".to_owned()));
        assert_eq!(both(ass("{\\an6}x")), ("x".to_owned(), "line:50% align:right".to_owned()));
        assert_eq!(both(ass("{\\a6}x")), ("x".to_owned(), "line:0".to_owned()));
        assert_eq!(both(ass("{\\an2}x")), ("x".to_owned(), String::new()));
    }

    #[test]
    fn ass_text_loses_its_overrides_and_drawings() {
        for (text, shown) in [
            ("one\\Ntwo\\nthree\\hfour", "one\ntwo three\u{A0}four"),
            ("{\\fad(200,200)\\pos(1,2)}x{comment}y", "xy"),
            ("{\\p1}m 0 0 l 100 0{\\p0}after", "after"),
            ("{\\b700}b{\\r}n <b>", "<b>b</b>n &lt;b&gt;"),
            ("{unclosed", "{unclosed"),
            ("a, b, c", "a, b, c"),
        ] {
            assert_eq!(ass(text).text, shown, "{text}");
        }
    }

    #[test]
    fn webvtt_text_keeps_its_own_tags_and_is_mended() {
        for (text, shown) in [
            ("<v.loud Fred  Smith>Hi<00:00:01.000> there", "<v.loud Fred Smith>Hi there</v>"),
            ("<c.yellow.bg_blue>x</c>", "<c.yellow.bg_blue>x</c>"),
            ("<ruby>漢<rt>kan</rt></ruby>", "<ruby>漢<rt>kan</rt></ruby>"),
            ("<b><i>x</b>y", "<b><i>x</i></b><i>y</i>"),
            ("<blink>x</blink> &amp;", "x &amp;"),
            ("a < b", "a &lt; b"),
            ("<v a -->b</v><c.x-->c</c>", "<v a>b</v><c.x>c</c>"),
        ] {
            assert_eq!(vtt(text, "").text, shown, "{text}");
        }
        assert_eq!(vtt("x", "region:a line:0 align:end").settings, "line:0 align:end");
    }

    proptest! {
        #[test]
        fn any_text_becomes_cue_text_that_reads_back_as_itself(text in "([ab <>&{}/\\\\\n\t]|<i>|</i>|<b>|<v x>|<v 1-->|<c.a-->|</c>|</v>|\\{\\\\an8\\}|&lt;|\\PC)*") {
            for marked in [plain(&text), srt(&text), ass(&text), vtt(&text, &text)] {
                prop_assert!(!marked.text.contains("-->") && !marked.text.contains("\n\n"), "{:?}", marked);
                prop_assert!(!marked.text.starts_with('\n') && !marked.text.ends_with('\n'), "{:?}", marked);
                prop_assert_eq!(&vtt(&marked.text, &marked.settings), &marked);
            }
        }
    }
}
