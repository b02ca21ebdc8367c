//! What a confined process can still do, and what it can't. Each test is run again by itself in a process of its own,
//! which confines itself and tells; confinement is for good.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use vtp_engine::sandbox::confine;

/// Marks the process in which a test confines itself.
const CONFINED: &str = "VTP_TEST_CONFINED";

/// Whether this is the confined process of the test called `name`. In any other it is started and has to succeed.
fn is_confined(name: &str) -> bool {
    if std::env::var_os(CONFINED).is_some() {
        return true;
    }
    // One thread for the tests is one besides the first; the walls go around both, since they stand before it is there.
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output =
        command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(CONFINED, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(said.contains("1 passed"), "{said}");
    false
}

/// Confines this process; every wall has to stand here.
fn confined() {
    let missing = confine();
    if !missing.is_empty() {
        eprintln!("SKIPPED in part: {missing:?}");
    }
}

#[test]
fn a_confined_process_opens_no_file_and_lists_no_folder() {
    if !is_confined("a_confined_process_opens_no_file_and_lists_no_folder") {
        return;
    }
    confined();
    for path in ["/etc/passwd", "/proc/self/environ", "/dev/null", "."] {
        assert!(File::open(path).is_err(), "{path}");
        assert!(std::fs::metadata(path).is_err(), "{path}");
    }
    assert!(std::fs::read_dir("/").is_err());
    assert!(File::create("/tmp/vtp-must-not-be-there").is_err());
    assert!(std::fs::rename("/etc/passwd", "/etc/group").is_err());
}

#[test]
fn a_confined_process_reaches_no_host_and_offers_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0");
    if !is_confined("a_confined_process_reaches_no_host_and_offers_nothing") {
        return;
    }
    let address = listener.unwrap().local_addr().unwrap();
    confined();
    assert!(TcpStream::connect(address).is_err());
    assert!(UdpSocket::bind("127.0.0.1:0").is_err());
    assert!(TcpListener::bind("127.0.0.1:0").is_err());
    assert!(std::os::unix::net::UnixStream::pair().is_err());
}

#[test]
fn a_confined_process_starts_no_program_and_signals_no_other() {
    if !is_confined("a_confined_process_starts_no_program_and_signals_no_other") {
        return;
    }
    let parent = rustix::process::getppid().unwrap();
    confined();
    assert!(Command::new("/bin/true").status().is_err());
    assert!(rustix::process::kill_process(parent, rustix::process::Signal::CONT).is_err());
    assert!(rlimit::setrlimit(rlimit::Resource::NOFILE, 10, 10).is_err());
}

#[test]
fn a_confined_process_reads_what_it_holds_and_works_with_threads_and_memory() {
    if !is_confined("a_confined_process_reads_what_it_holds_and_works_with_threads_and_memory") {
        return;
    }
    let mut held = File::open("/proc/self/cmdline").unwrap();
    confined();
    let mut text = String::new();
    held.rewind().unwrap();
    held.read_to_string(&mut text).unwrap();
    assert!(text.contains("a_confined_process"));
    let started = Instant::now();
    let work = |number: u64| std::thread::spawn(move || vec![number; 1 << 20].into_iter().sum::<u64>());
    let sums: Vec<u64> = (0..4).map(work).map(|thread| thread.join().unwrap()).collect();
    assert_eq!(sums, [0, 1 << 20, 2 << 20, 3 << 20]);
    std::thread::sleep(Duration::from_millis(1));
    assert!(started.elapsed() >= Duration::from_millis(1));
    assert!(std::thread::available_parallelism().unwrap().get() > 0);
}

#[test]
fn a_confined_process_can_still_abort() {
    if std::env::var_os(CONFINED).is_some() {
        confined();
        std::process::abort();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["a_confined_process_can_still_abort", "--exact", "--test-threads=1"]).env(CONFINED, "1");
    let status = command.output().unwrap().status;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6), "{status}");
}
