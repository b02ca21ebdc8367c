//! What only a server can keep or break. Told so that the list is whole.

use super::super::rule::{Area, Level, Rule};
use super::needs_server;

const fn rule(id: &'static str, source: &'static str, level: Level, text: &'static str) -> Rule {
    Rule { id, source, area: Area::Delivery, level, text, judge: needs_server }
}

pub(super) const RULES: &[Rule] = &[
    rule("gzip", "Apple 10.1", Level::Must, "Playlists are sent compressed by gzip"),
    rule("mime-types", "Apple 10.4", Level::Should, "Every file is sent with its MIME type"),
    rule("tls", "Apple 12.1", Level::Must, "Connections use TLS 1.2 or newer"),
];
