use std::path::Path;

use proptest::prelude::*;
use vtp_engine::coordinator::{Cost, Skill, Skills};

use super::*;
use crate::ledger::{Row, Submission};

fn attempt() -> AttemptId {
    AttemptId { job: 7, chunk: 42, attempt: 3 }
}

fn trace() -> TraceContext {
    TraceContext::new(0x1234_5678_9abc_def0, 42, true)
}

fn offer() -> Offer {
    Offer {
        id: attempt(),
        pool: Pool::new("cpu").expect("a name"),
        priority: 5,
        settings: Settings::Cautious,
        lease_ms: 30_000,
        cost: 120_063,
        fetch: vec!["quic://splitter-1:4433".to_owned()],
        deliver: vec!["quic://stitcher-1:4433".to_owned()],
        trace: trace(),
        body: b"what is to be done".to_vec(),
    }
}

fn report() -> Report {
    let (id, doing) = (attempt(), vec![attempt()]);
    let happened = vec![
        Happened::Joined { pool: Pool::new("nvenc").expect("a name"), slots: 4, doing: doing.clone() },
        Happened::Alive { doing },
        Happened::Started { id },
        Happened::Finished { id, result: vec![1, 2, 3] },
        Happened::Failed { id, why: Why::Crash, message: "it broke".to_owned() },
        Happened::HandedBack { id },
        Happened::Draining,
        Happened::Left,
        Happened::Unable { id },
    ];
    Report { node: NodeId::new("node-1").expect("a name"), session: 9, sequence: 2, happened }
}

fn golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).expect("the golden file can be written");
    }
    let expected = std::fs::read(&path).expect("a golden file; UPDATE_GOLDEN=1 writes it");
    assert!(bytes == expected, "{name} has other bytes than in version {VERSION}: count the version up");
}

#[test]
fn messages_have_the_bytes_that_their_version_had() {
    golden("offer.bin", &encode(&offer()).expect("it is valid"));
    golden("report.bin", &encode(&report()).expect("it is valid"));
    for (name, control) in [
        ("stop.bin", Control::Stop { id: attempt() }),
        ("join-again.bin", Control::JoinAgain),
        ("refused.bin", Control::Refused { session: 9, reason: "no such pool".to_owned() }),
    ] {
        golden(name, &encode(&control).expect("it is valid"));
    }
    let client = NodeId::new("stitcher-1").expect("a name");
    let submission = Submission {
        job: JobNumber::tended(9, 1).0,
        user: 3,
        weight: 1,
        priority: 5,
        deadline_ms: Some(1_800_000_000_000),
        fetch: vec!["splitter-1:4433".to_owned()],
        deliver: vec!["stitcher-1:4434".to_owned()],
        trace: trace(),
        tasks: vec![Row::new(42, Cost(120_063), Skills::of(Skill::Cpu), b"what is to be done".to_vec())],
    };
    let made = vec![Made { chunk: 42, attempt: 3, result: vec![1, 2, 3] }];
    for (name, request) in [
        ("submit.bin", Request::Submit(submission)),
        ("cancel.bin", Request::Cancel { job: 7 }),
        ("slots-wanted.bin", Request::Slots),
        ("tend.bin", Request::Tend { client, session: 9, jobs: vec![7, 8] }),
    ] {
        golden(name, &encode(&request).expect("it is valid"));
    }
    let standings =
        vec![Standing::Unknown, Standing::Active, Standing::Done { made: made.clone() }, Standing::Cancelled];
    golden("standings.bin", &encode(&Reply::Standings(standings)).expect("it is valid"));
    let slots = vec![(Pool::new("cpu").expect("a name"), 16)];
    golden("slots.bin", &encode(&Reply::Slots(slots)).expect("it is valid"));
    golden("ended.bin", &encode(&Ended { job: 7, standing: Standing::Done { made } }).expect("it is valid"));
    golden("lookup.bin", &encode(&Lookup { job: 7, chunk: 42 }).expect("it is valid"));
    golden("found.bin", &encode(&Found { packets: Some(b"these".to_vec()), trace: trace() }).expect("it is valid"));
}

#[test]
fn a_jobs_number_says_who_tends_it() {
    assert_eq!(JobNumber::tended(9, 5).session(), Some(9));
    assert_eq!(JobNumber::tended(u32::MAX >> 1, u32::MAX).session(), Some(u32::MAX >> 1));
    assert_eq!(JobNumber::kept(9 << 32).session(), None);
    assert_ne!(JobNumber::tended(9, 5), JobNumber::tended(9, 6));
}

#[test]
fn another_version_is_refused_by_its_number() {
    let mut bytes = encode(&offer()).expect("it is valid").to_vec();
    bytes[4] = 9;
    let error = decode::<Offer>(&bytes).expect_err("it is another version's");
    assert_eq!(error, NoMessage::Version { found: 9, spoken: VERSION });
    assert!(error.to_string().contains("run the same release everywhere"));
}

#[test]
fn one_message_is_not_taken_for_another() {
    let bytes = encode(&report()).expect("it is valid");
    assert_eq!(decode::<Offer>(&bytes), Err(NoMessage::Kind { found: 2, expected: Kind::Offer }));
    assert_eq!(decode::<Offer>(b"{\"job\":1}"), Err(NoMessage::NotOurs));
}

#[test]
fn a_message_that_belongs_to_no_trace_is_valid() {
    let (offer, found) =
        (Offer { trace: TraceContext::NONE, ..offer() }, Found { packets: None, trace: TraceContext::NONE });
    assert_eq!(decode::<Offer>(&encode(&offer).expect("it is valid")), Ok(offer));
    assert_eq!(decode::<Found>(&encode(&found).expect("it is valid")), Ok(found));
}

#[test]
fn a_message_that_is_longer_than_any_is_not_written() {
    let long = Offer { body: vec![0; LIMIT], ..offer() };
    assert!(matches!(encode(&long), Err(NoMessage::Length(_))));
}

#[test]
fn what_breaks_a_messages_rules_is_not_written_nor_read() {
    assert!(encode(&Offer { priority: 0, ..offer() }).is_err());
    assert!(encode(&Offer { id: AttemptId { attempt: 0, ..attempt() }, ..offer() }).is_err());
    assert!([0, u64::MAX].into_iter().all(|sequence| encode(&Report { sequence, ..report() }).is_err()));
    assert!(Pool::new("a.b").is_err() && Pool::new("*").is_err() && NodeId::new("").is_err());
    let bytes = encode(&offer()).expect("it is valid").to_vec();
    let at = bytes.windows(3).position(|it| it == b"cpu").expect("the pool's name is in there");
    let mut evil = bytes;
    evil[at] = b'>';
    assert!(matches!(decode::<Offer>(&evil), Err(NoMessage::Content(_))));
}

proptest! {
    #[test]
    fn what_is_written_is_read(job: u64, chunk: u32, attempt in 1u32.., priority in 1u8..=10, body: Vec<u8>, urls: Vec<String>) {
        let id = AttemptId { job, chunk, attempt };
        let offer = Offer { id, priority, body, fetch: urls, ..offer() };
        prop_assert_eq!(decode::<Offer>(&encode(&offer).unwrap()), Ok(offer));
    }

    #[test]
    fn damage_never_makes_the_reader_panic(at in 0usize..4096, flips: Vec<(u16, u8)>, cut in 0usize..2048) {
        for bytes in [encode(&offer()).unwrap(), encode(&report()).unwrap()] {
            let mut bytes = bytes.to_vec();
            for (place, value) in flips.iter().chain([&(at as u16, 0xff)]) {
                let place = usize::from(*place) % bytes.len();
                bytes[place] ^= value;
            }
            let kept = bytes.len() - cut.min(bytes.len()) * usize::from(at % 2 == 0);
            let _ = decode::<Offer>(&bytes[..kept]);
            let _ = decode::<Report>(&bytes[..kept]);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, kind in 1u8..=8) {
        let mut whole = b"VTPM\x03\0\0\0".to_vec();
        whole[6] = kind;
        whole.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        whole.extend_from_slice(&[0; 4]);
        whole.extend_from_slice(&bytes);
        let _ = (decode::<Offer>(&whole), decode::<Report>(&whole), decode::<Control>(&whole), decode::<Offer>(&bytes));
        let _ = (decode::<Request>(&whole), decode::<Reply>(&whole), decode::<Ended>(&whole));
        let _ = (decode::<Lookup>(&whole), decode::<Found>(&whole));
    }
}
