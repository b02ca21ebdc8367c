//! What listeners cost to whom nothing is told. It is measured of the process, in which nothing else goes on.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use fixture::Platform;
use vtp_control_plane::Config;

#[test]
fn a_listener_to_whom_nothing_is_told_costs_little() {
    let platform = Platform::without_limits(|config| Config { jobs: 0, streams_each: 1_000, ..config });
    let ann = platform.register("ann@example.com");
    let open = |count: usize| {
        let open = |_| {
            let mut stream = TcpStream::connect(ann.host()).unwrap();
            let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13";
            let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
            let token = &ann.token;
            write!(
                stream,
                "GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{upgrade}\r\n{key}\r\n\r\n"
            )
            .unwrap();
            let mut told = Vec::new();
            while !told.windows(9).any(|it| it == b"listening") {
                let mut some = [0; 1024];
                let count = stream.read(&mut some).unwrap();
                assert!(count > 0);
                told.extend_from_slice(&some[..count]);
            }
            stream
        };
        (0..count).map(open).collect::<Vec<_>>()
    };
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let some = open(50);
    let before = resident();
    let more = open(200);
    let each = resident().saturating_sub(before) / 200;
    assert!(each < 64, "{each} KiB each, of {}", some.len() + more.len());
}
