//! Requests at a rate, whether or not those before them are answered: each counts from when it was due (no coordinated omission).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Options;
use super::client::Client;
use super::people::{People, Writer};
use crate::table::Table;

/// What kind of request it is, and in which time 95 of 100 are to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Read,
    Write,
    Presign,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Presign => "presign",
        }
    }

    /// Milliseconds.
    fn goal(self) -> u32 {
        match self {
            Self::Read => 20,
            Self::Write => 50,
            Self::Presign => 10,
        }
    }
}

/// One request, in words.
struct Wanted {
    kind: Kind,
    method: &'static str,
    path: String,
    body: Option<Value>,
    person: super::people::Person,
}

/// The request that is due, by chance: seven of ten read, two write, one asks for addresses of parts.
fn due(people: &People, writers: &[Writer], chance: &mut fastrand::Rng) -> Wanted {
    let person = people.all[chance.usize(..people.all.len())].clone();
    let writer = &writers[chance.usize(..writers.len())];
    let of = |kind, method, path: String, body| Wanted { kind, method, path, body, person: writer.person.clone() };
    match chance.u8(..20) {
        0..4 => Wanted { kind: Kind::Read, method: "GET", path: "/v1/auth/me".to_owned(), body: None, person },
        4..7 => Wanted { kind: Kind::Read, method: "GET", path: "/v1/videos".to_owned(), body: None, person },
        7..10 => Wanted { kind: Kind::Read, method: "GET", path: "/v1/jobs".to_owned(), body: None, person },
        10..12 => of(Kind::Read, "GET", format!("/v1/videos/{}", writer.video), None),
        12..14 => of(Kind::Read, "GET", format!("/v1/jobs/{}", writer.job), None),
        14..16 => {
            let body = json!({ "filename": "film.mp4", "file_size": 1000 });
            Wanted { kind: Kind::Write, method: "POST", path: "/v1/videos/upload".to_owned(), body: Some(body), person }
        }
        16 => of(Kind::Write, "POST", format!("/v1/videos/{}/transcode", writer.video), Some(json!({}))),
        17 => of(Kind::Write, "POST", format!("/v1/jobs/{}/cancel", writer.job), None),
        _ => of(Kind::Presign, "POST", format!("/v1/videos/{}/urls", writer.open), Some(json!({ "parts": [0] }))),
    }
}

pub(super) async fn run(client: &Client, people: &People, options: &Options) -> Result<String> {
    let mut chance = fastrand::Rng::with_seed(options.seed);
    let writers: Vec<Writer> = people.writers().cloned().collect();
    let (began, mut under_way, mut number) = (Instant::now(), JoinSet::new(), 0_u32);
    loop {
        let at = began + Duration::from_secs_f64(f64::from(number) / options.rate);
        if at - began >= options.lasts {
            break;
        }
        tokio::time::sleep_until(at).await;
        let (client, wanted) = (client.clone(), due(people, &writers, &mut chance));
        under_way.spawn(async move {
            let Wanted { kind, method, path, body, person } = wanted;
            let answered = client.send(method, &path, &person, body.as_ref()).await;
            (kind, at.elapsed(), answered.map(|(status, _)| status).map_err(|error| format!("{error:#}")))
        });
        number += 1;
    }
    let (mut times, mut odd): (BTreeMap<Kind, Vec<Duration>>, BTreeMap<String, u32>) = Default::default();
    while let Some(done) = under_way.join_next().await {
        let (kind, took, answered) = done?;
        times.entry(kind).or_default().push(took);
        match answered {
            Ok(status) if status < 400 => {}
            Ok(status) => *odd.entry(format!("{} answered by {status}", kind.name())).or_default() += 1,
            Err(error) => *odd.entry(error).or_default() += 1,
        }
    }
    let head = ["", "requests", "a second", "p50 ms", "p95 ms", "p99 ms", "longest ms", "goal for p95"];
    let mut table = Table::new(&head);
    for (kind, mut times) in times {
        times.sort_unstable();
        let of = |part: f64| format!("{:.1}", quantile(&times, part).as_secs_f64() * 1e3);
        let rate = times.len() as f64 / options.lasts.as_secs_f64();
        let goal = format!("< {}", kind.goal());
        let (count, rate) = (times.len().to_string(), format!("{rate:.0}"));
        table.row(vec![kind.name().to_owned(), count, rate, of(0.5), of(0.95), of(0.99), of(1.0), goal]);
    }
    ensure!(odd.is_empty(), "not all went well: {odd:?}\n{}", table.text());
    Ok(table.text())
}

/// What so great a part took at most, of what is sorted.
fn quantile(sorted: &[Duration], part: f64) -> Duration {
    let place = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_those_that_were_measured() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!([0.5, 0.95, 1.0].map(|part| quantile(&times, part).as_millis()), [50, 95, 100]);
        assert_eq!(quantile(&times[..1], 0.99).as_millis(), 1);
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
