//! What the files of a ladder are, for whoever fetches them over HTTP.

/// The media type of a file of this name (RFC 8216, 10; ISO/IEC 23009-1, Annex C; RFC 9559). One that is none of a ladder's files
/// is a row of bytes.
pub fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("m3u8") => "application/vnd.apple.mpegurl",
        Some("mpd") => "application/dash+xml",
        Some("m4s") => "video/iso.segment",
        Some("mp4") => "video/mp4",
        Some("ts") => "video/mp2t",
        Some("mov") => "video/quicktime",
        Some("mkv") => "video/matroska",
        Some("webm") => "video/webm",
        Some("vtt") => "text/vtt; charset=utf-8",
        Some("jpg") => "image/jpeg",
        Some("json") => "application/json",
        Some("html") => "text/html; charset=utf-8",
        _ => "application/octet-stream",
    }
}
