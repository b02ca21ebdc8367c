//! From what containers say of a language to what playlists want: BCP 47 (RFC 5646). Pure.

use std::fmt;

/// A language, possibly undetermined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Language {
    base: isolang::Language,
    /// A code for local use (ISO 639-2), whose language only those know who gave it.
    local: Option<String>,
    region: String,
}

/// Codes that others took the place of: of ISO 639-1 and 639-2.
const WITHDRAWN: [(&str, &str); 6] =
    [("iw", "he"), ("in", "id"), ("ji", "yi"), ("mo", "ro"), ("scr", "hr"), ("scc", "sr")];

/// ISO 639-2/B codes that differ from 639-2/T, which is what 639-3 continues.
const BIBLIOGRAPHIC: [(&str, &str); 20] = [
    ("alb", "sqi"),
    ("arm", "hye"),
    ("baq", "eus"),
    ("bur", "mya"),
    ("chi", "zho"),
    ("cze", "ces"),
    ("dut", "nld"),
    ("fre", "fra"),
    ("geo", "kat"),
    ("ger", "deu"),
    ("gre", "ell"),
    ("ice", "isl"),
    ("mac", "mkd"),
    ("mao", "mri"),
    ("may", "msa"),
    ("per", "fas"),
    ("rum", "ron"),
    ("slo", "slk"),
    ("tib", "bod"),
    ("wel", "cym"),
];

impl Language {
    /// The language of an ISO 639 code (two letters, or three of either 639-2 list or 639-3) or of a BCP 47 tag with
    /// such a code, the first of several between commas; undetermined where there is none or it is unknown.
    pub fn of(code: Option<&str>) -> Self {
        let code = code.unwrap_or_default();
        let code = code.split_once(',').map_or(code, |(first, _)| first).trim().replace('_', "-");
        let (base, rest) = code.split_once('-').unwrap_or((&code, ""));
        let base = base.to_ascii_lowercase();
        let newer = BIBLIOGRAPHIC.iter().chain(&WITHDRAWN).find(|(old, _)| *old == base);
        let modern = newer.map_or(base.as_str(), |(_, new)| new);
        let known = isolang::Language::from_639_1(modern).or_else(|| isolang::Language::from_639_3(modern));
        let subtags = rest.split('-').all(|tag| (2..=8).contains(&tag.len()) && tag.chars().all(char::is_alphanumeric));
        let region = if subtags && rest.is_ascii() { format!("-{rest}") } else { String::new() };
        let is_local = matches!(base.as_bytes(), [b'q', b'a'..=b't', b'a'..=b'z']);
        match known {
            Some(base) => Self { base, local: None, region },
            None if is_local => Self { base: isolang::Language::Und, local: Some(base), region },
            None => Self { base: isolang::Language::Und, local: None, region: String::new() },
        }
    }

    /// Whether it is a language at all.
    pub fn is_known(&self) -> bool {
        self.local.is_some() || self.base != isolang::Language::Und
    }

    /// The BCP 47 tag: the shortest code, and the region if one was told; `und` for undetermined.
    pub fn tag(&self) -> String {
        format!("{}{}", self.base.to_639_1().unwrap_or(self.three_letters()), self.region)
    }

    /// The three letters that Matroska calls its language by (ISO 639-2/B).
    pub fn bibliographic(&self) -> &str {
        let code = self.three_letters();
        BIBLIOGRAPHIC.iter().find(|(_, new)| *new == code).map_or(code, |(old, _)| old)
    }

    /// The three letters that `mdhd` holds (ISO 639-2/T).
    pub fn three_letters(&self) -> &str {
        self.local.as_deref().unwrap_or(self.base.to_639_3())
    }
}

/// The name in English, or the code of one for local use.
impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.local.as_deref().unwrap_or(self.base.to_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(code: &str) -> String {
        Language::of(Some(code)).tag()
    }

    #[test]
    fn every_code_of_one_language_becomes_the_same_tag() {
        for code in ["de", "deu", "ger", "GER", " deu "] {
            assert_eq!(tag(code), "de", "{code}");
        }
        assert_eq!(Language::of(Some("ger")).three_letters(), "deu");
        assert_eq!(Language::of(Some("de")).bibliographic(), "ger");
        assert_eq!(Language::of(Some("en")).bibliographic(), "eng");
        assert_eq!(Language::of(Some("ger")).to_string(), "German");
    }

    #[test]
    fn a_language_without_a_two_letter_code_keeps_three() {
        assert_eq!(tag("gsw"), "gsw");
    }

    #[test]
    fn old_codes_the_first_of_several_and_codes_for_local_use_are_languages() {
        let old = ["iw", "in", "ji", "mo", "scr", "scc", "iw-IL"];
        assert_eq!(old.map(tag), ["he", "id", "yi", "ro", "hr", "sr", "he-IL"]);
        assert_eq!(["ger,eng", "en_GB, fr", ",de"].map(tag), ["de", "en-GB", "und"]);
        assert_eq!(
            ["qaa", "QTZ", "qaa-Latn", "qua", "qq", "qaaa"].map(tag),
            ["qaa", "qtz", "qaa-Latn", "qua", "und", "und"]
        );
        let local = Language::of(Some("qad"));
        assert!(local.is_known() && local.to_string() == "qad");
        assert_eq!((local.three_letters(), local.bibliographic()), ("qad", "qad"));
    }

    #[test]
    fn regions_are_kept_and_nonsense_is_undetermined() {
        assert_eq!(tag("pt-BR"), "pt-BR");
        assert_eq!(tag("zh_Hant_TW"), "zh-Hant-TW");
        assert_eq!(tag("en-\"x"), "en");
        assert_eq!(tag("english, probably"), "und");
        assert_eq!(Language::of(None).tag(), "und");
        assert!(!Language::of(Some("und")).is_known());
    }
}
