//! Inputs that try to reach another file or another host through the parsers get nothing: they are refused as no videos,
//! nothing connects to them, and no output is made of what they point at.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;

use common::{Scene, bundled};

/// A host on this machine that waits for somebody to fall for a reference to it.
struct Bait(TcpListener);

impl Bait {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    fn assert_untouched(&self, by: &str) {
        let touched = self.0.accept();
        assert!(matches!(&touched, Err(error) if error.kind() == ErrorKind::WouldBlock), "{by}: {touched:?}");
    }
}

/// A folder with films of somebody else's, and one of one's own to put the inputs in.
fn scene() -> Scene {
    let scene = Scene::new();
    fs::create_dir(scene.path("mine")).unwrap();
    for name in ["victim.mp4", "victim.ts", "mine/victim.ts"] {
        scene.ffmpeg(&format!("-i {} -c copy -t 1 {name}", bundled().display()));
    }
    scene
}

/// Every command that reads a video refuses this one with this code, says nothing on stdout, and leaves nothing.
fn assert_refused(scene: &Scene, bait: &Bait, input: &str, code: &str) {
    let before = scene.files();
    for line in [format!("encode {input} --out out --progress none"), format!("probe {input}"), format!("plan {input}")]
    {
        scene.vtp(&line).failed(3, code);
        bait.assert_untouched(&line);
    }
    assert_eq!(scene.files(), before, "{input}");
}

#[test]
fn playlists_that_call_themselves_videos_open_nothing() {
    let (scene, bait) = (scene(), Bait::new());
    let victim = scene.path("victim").display().to_string();
    let host = bait.address();
    let media_playlist =
        |uri: &str| format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{uri}\n#EXT-X-ENDLIST\n");
    let manifest = |url: &str| {
        format!(
            "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
             mediaPresentationDuration=\"PT1S\"><Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" \
             bandwidth=\"1\"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        )
    };
    let session = format!(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:rtsp://{host}/\nm=video 9 RTP/AVP 96\n"
    );
    let inputs = [
        ("HLS, the file beside it", media_playlist("victim.ts")),
        ("HLS, a file above it", media_playlist("../victim.ts")),
        ("HLS, a file by its full name", media_playlist(&format!("{victim}.ts"))),
        ("HLS, a file by its address", media_playlist(&format!("file://{victim}.ts"))),
        ("HLS, a host", media_playlist(&format!("http://{host}/victim.ts"))),
        ("HLS, parts joined", media_playlist(&format!("concat:{victim}.ts|/etc/passwd"))),
        ("HLS, a key on a host", {
            let key = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"http://{host}/key\"\n#EXTINF");
            media_playlist("victim.ts").replacen("#EXTINF", &key, 1)
        }),
        ("HLS, other playlists", format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://{host}/index.m3u8\n")),
        ("DASH, a file", manifest(&format!("{victim}.mp4"))),
        ("DASH, a host", manifest(&format!("http://{host}/"))),
        ("a list of files", "ffconcat version 1.0\nfile victim.ts\n".to_owned()),
        ("a list with a file of another folder", format!("ffconcat version 1.0\nfile {victim}.ts\n")),
        ("a session description", session),
        ("an address", format!("[InternetShortcut]\nURL=http://{host}/victim.mp4\n")),
        ("RTSP in text", format!("rtsptext\nrtsp://{host}/victim\n")),
    ];
    for (what, text) in inputs {
        fs::write(scene.path("mine/in.mp4"), text).unwrap();
        println!("{what}");
        assert_refused(&scene, &bait, "mine/in.mp4", "error 1001");
    }
}

/// A QuickTime movie whose samples are said to lie in another file (an alias in `dref`, ISO/IEC 14496-12, 8.7.2).
#[test]
fn a_movie_that_refers_to_another_file_does_not_get_it() {
    let (scene, bait) = (scene(), Bait::new());
    let movie = fs::read(scene.path("victim.mp4")).unwrap();
    // `url ` with the flag "in this file" becomes `alis` without it.
    let entry = |kind: &[u8; 4], flags: u8| [&[0, 0, 0, 12], kind.as_slice(), &[0, 0, 0, flags]].concat();
    let (own, other) = (entry(b"url ", 1), entry(b"alis", 0));
    let mut places = 0;
    let mut referring = movie.clone();
    for at in 0..movie.len() - own.len() {
        if movie[at..].starts_with(&own) {
            referring[at..at + own.len()].copy_from_slice(&other);
            places += 1;
        }
    }
    assert!(places > 0, "the film has data references");
    fs::write(scene.path("mine/in.mp4"), referring).unwrap();
    let before = scene.files();
    let ended = scene.vtp("encode mine/in.mp4 --out out --progress none --speed ultrafast --ladder mobile");
    // An alias that names no file means this one to some readers.
    match ended.code {
        Some(3) => assert_eq!(scene.files(), before),
        code => assert_eq!(code, Some(0), "{}", ended.stderr),
    }
    bait.assert_untouched("a reference movie");
}

#[test]
fn addresses_in_the_place_of_files_are_names_of_files() {
    let (scene, bait) = (scene(), Bait::new());
    let names =
        ["http://{}/victim.mp4", "tcp://{}", "rtsp://{}/victim", "concat:victim.ts|victim.ts", "file:victim.mp4"];
    for name in names {
        let name = name.replace("{}", &bait.address());
        let ended = scene.vtp(&format!("probe {name}"));
        assert!(matches!(ended.code, Some(2 | 3)), "{name}: {ended:?}");
        assert_eq!(ended.stdout, "", "{name}");
        bait.assert_untouched(&name);
    }
}
