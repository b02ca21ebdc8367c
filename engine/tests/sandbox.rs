//! What a confined process can still do, and what it can't. Each scene has a process of its own, which confines itself and
//! tells; confinement is for good, and takes a process of one thread, which one under the usual test harness is not.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use vtp_engine::sandbox::confine;

/// Tells a process which scene is its own.
const SCENE: &str = "VTP_TEST_SCENE";

const SCENES: [(&str, fn()); 5] = [
    ("a_confined_process_opens_no_file_and_lists_no_folder", files),
    ("a_confined_process_reaches_no_host_and_offers_nothing", network),
    ("a_confined_process_starts_no_program_and_signals_no_other", processes),
    ("a_confined_process_reads_what_it_holds_and_works_with_threads_and_memory", work),
    ("a_confined_process_can_still_abort", abort),
];

fn main() -> ExitCode {
    if let Ok(own) = std::env::var(SCENE) {
        let (_, scene) = SCENES.iter().find(|(name, _)| *name == own).unwrap();
        scene();
        return ExitCode::SUCCESS;
    }
    let filters: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    let results: Vec<bool> = SCENES.iter().filter(|(name, _)| is_wanted(name)).map(|(name, _)| passes(name)).collect();
    let failed = results.iter().filter(|passed| !**passed).count();
    let passed = results.len() - failed;
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the scene called `name` ends as it has to, in a process of its own.
fn passes(name: &str) -> bool {
    let status = Command::new(std::env::current_exe().unwrap()).env(SCENE, name).status().unwrap();
    let passes = if name.ends_with("abort") { status.signal() == Some(libc::SIGABRT) } else { status.success() };
    if !passes {
        println!("{name} ended with {status}");
    }
    println!("test {name} ... {}", if passes { "ok" } else { "FAILED" });
    passes
}

/// Confines this process; every wall has to stand here.
fn confined() {
    let missing = confine().unwrap();
    if !missing.is_empty() {
        eprintln!("SKIPPED in part: {missing:?}");
    }
}

fn files() {
    confined();
    for path in ["/etc/passwd", "/proc/self/environ", "/dev/null", "."] {
        assert!(File::open(path).is_err(), "{path}");
        assert!(std::fs::metadata(path).is_err(), "{path}");
    }
    assert!(std::fs::read_dir("/").is_err());
    assert!(File::create("/tmp/vtp-must-not-be-there").is_err());
    assert!(std::fs::rename("/etc/passwd", "/etc/group").is_err());
}

fn network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    confined();
    assert!(TcpStream::connect(address).is_err());
    assert!(UdpSocket::bind("127.0.0.1:0").is_err());
    assert!(TcpListener::bind("127.0.0.1:0").is_err());
    assert!(std::os::unix::net::UnixStream::pair().is_err());
}

fn processes() {
    let parent = rustix::process::getppid().unwrap();
    confined();
    assert!(Command::new("/bin/true").status().is_err());
    assert!(rustix::process::kill_process(parent, rustix::process::Signal::CONT).is_err());
    assert!(rlimit::setrlimit(rlimit::Resource::NOFILE, 10, 10).is_err());
}

fn work() {
    let mut held = File::open("/proc/self/cmdline").unwrap();
    confined();
    let mut text = String::new();
    held.rewind().unwrap();
    held.read_to_string(&mut text).unwrap();
    assert!(text.contains("sandbox"), "{text}");
    let started = Instant::now();
    let work = |number: u64| std::thread::spawn(move || vec![number; 1 << 20].into_iter().sum::<u64>());
    let sums: Vec<u64> = (0..4).map(work).map(|thread| thread.join().unwrap()).collect();
    assert_eq!(sums, [0, 1 << 20, 2 << 20, 3 << 20]);
    std::thread::sleep(Duration::from_millis(1));
    assert!(started.elapsed() >= Duration::from_millis(1));
    assert!(std::thread::available_parallelism().unwrap().get() > 0);
}

fn abort() {
    confined();
    std::process::abort();
}
