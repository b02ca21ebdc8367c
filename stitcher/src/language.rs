//! From what containers say of a language to what playlists want: BCP 47 (RFC 5646). Pure.

use std::fmt;

/// A language, possibly undetermined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Language {
    base: isolang::Language,
    region: String,
}

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
    /// such a code; undetermined where there is none or it is unknown.
    pub fn of(code: Option<&str>) -> Self {
        let code = code.unwrap_or_default().trim().replace('_', "-");
        let (base, rest) = code.split_once('-').unwrap_or((&code, ""));
        let base = base.to_ascii_lowercase();
        let modern = BIBLIOGRAPHIC.iter().find(|(old, _)| *old == base).map_or(base.as_str(), |(_, new)| new);
        let known = isolang::Language::from_639_1(modern).or_else(|| isolang::Language::from_639_3(modern));
        let subtags = rest.split('-').all(|tag| (2..=8).contains(&tag.len()) && tag.chars().all(char::is_alphanumeric));
        match known {
            Some(base) if subtags && rest.is_ascii() => Self { base, region: format!("-{rest}") },
            Some(base) => Self { base, region: String::new() },
            None => Self { base: isolang::Language::Und, region: String::new() },
        }
    }

    /// Whether it is a language at all.
    pub fn is_known(&self) -> bool {
        self.base != isolang::Language::Und
    }

    /// The BCP 47 tag: the shortest code, and the region if one was told; `und` for undetermined.
    pub fn tag(&self) -> String {
        format!("{}{}", self.base.to_639_1().unwrap_or(self.base.to_639_3()), self.region)
    }

    /// The three letters that Matroska calls its language by (ISO 639-2/B).
    pub fn bibliographic(&self) -> &'static str {
        let code = self.three_letters();
        BIBLIOGRAPHIC.iter().find(|(_, new)| *new == code).map_or(code, |(old, _)| old)
    }

    /// The three letters that `mdhd` holds (ISO 639-2/T).
    pub fn three_letters(&self) -> &'static str {
        self.base.to_639_3()
    }
}

/// The name in English.
impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.to_name())
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
    fn regions_are_kept_and_nonsense_is_undetermined() {
        assert_eq!(tag("pt-BR"), "pt-BR");
        assert_eq!(tag("zh_Hant_TW"), "zh-Hant-TW");
        assert_eq!(tag("en-\"x"), "en");
        assert_eq!(tag("english, probably"), "und");
        assert_eq!(Language::of(None).tag(), "und");
        assert!(!Language::of(Some("und")).is_known());
    }
}
