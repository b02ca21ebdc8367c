//! Advanced SubStation Alpha, and its older form SSA: events as comma-separated fields, the text last. Of the looks only
//! what cue text knows is kept.

use super::clock::microseconds;
use super::{Cue, Cues, markup};
use crate::limits::{Exceeded, Limit, Limits};

/// Fields of an event in a container (Matroska's codec mapping of S_TEXT/ASS): ReadOrder, Layer, Style, Name, three
/// margins, Effect, and the text.
const FIELDS_OF_A_PACKET: usize = 9;

/// Fields of an event in a file that says nothing of them.
const FIELDS: &str = "Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text";

/// Whether `text` begins as such a file does.
pub fn is_signed(text: &str) -> bool {
    text.trim_start().get(..13).is_some_and(|head| head.eq_ignore_ascii_case("[script info]"))
}

/// The cues of a file.
///
/// # Errors
/// [`Exceeded`] if there are too many, or one is too long.
pub fn parse(text: &str, limits: &Limits) -> Result<Vec<Cue>, Exceeded> {
    let mut cues = Cues::new(*limits);
    let mut fields = Fields::of(FIELDS);
    let mut in_events = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_events = line.eq_ignore_ascii_case("[events]");
        } else if let (true, Some((kind, rest))) = (in_events, line.split_once(':')) {
            match kind {
                "Format" => fields = Fields::of(rest),
                "Dialogue" => fields.event(rest, &mut cues)?,
                _ => {}
            }
        }
    }
    Ok(cues.into_vec())
}

/// The text of a packet's event, if it is one.
pub(super) fn packet_text(event: &str) -> Option<&str> {
    event.splitn(FIELDS_OF_A_PACKET, ',').nth(FIELDS_OF_A_PACKET - 1)
}

/// Where the fields of an event are; the text is the last.
struct Fields {
    count: usize,
    start: Option<usize>,
    end: Option<usize>,
}

impl Fields {
    fn of(format: &str) -> Self {
        let names: Vec<&str> = format.split(',').map(str::trim).collect();
        let place = |name: &str| names.iter().position(|known| known.eq_ignore_ascii_case(name));
        Self { count: names.len(), start: place("start"), end: place("end") }
    }

    fn event(&self, event: &str, cues: &mut Cues) -> Result<(), Exceeded> {
        let values: Vec<&str> = event.trim_start().splitn(self.count, ',').collect();
        let time = |place: Option<usize>| microseconds(values.get(place?)?.trim());
        let (Some(start), Some(end), true) = (time(self.start), time(self.end), values.len() == self.count) else {
            return Ok(());
        };
        let text = values.last().copied().unwrap_or_default();
        cues.limits().check(Limit::Cue, text.len() as u64)?;
        cues.push(start, end, markup::ass(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialogue_of_a_file_is_read_and_nothing_else() {
        let text = "[Script Info]\nTitle: x\n[V4+ Styles]\nDialogue: no\n[Events]\n\
                    Format: Layer, Start, End, Style, Text\n\
                    Comment: 0,0:00:00.00,0:00:01.00,Default,no\n\
                    Dialogue: 0,0:00:01.50,0:00:02.00,Default,{\\i1}a{\\i0}, b\\Nc\n\
                    Dialogue: 0,nonsense\n[Fonts]\nDialogue: 0,0:00:01.50,0:00:02.00,Default,no\n";
        assert!(is_signed(text));
        let cues = parse(text, &Limits::DEFAULT).unwrap();
        let expected =
            Cue { start_us: 1_500_000, end_us: 2_000_000, settings: String::new(), text: "<i>a</i>, b\nc".to_owned() };
        assert_eq!(cues, [expected]);
    }

    #[test]
    fn a_packet_has_its_text_behind_eight_commas() {
        assert_eq!(packet_text("0,0,Default,,0,0,0,,Hi, there"), Some("Hi, there"));
        assert_eq!(packet_text("0,0,Default"), None);
    }
}
