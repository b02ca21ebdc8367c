//! The jobs for Nomad: they can be read, and whatever they ask of our binary is there.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use hcl::{Body, Expression};

fn jobs() -> Vec<(PathBuf, String, Body)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nomad");
    let files = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let jobs: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|it| it == "hcl"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let body = hcl::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, text, body)
        })
        .collect();
    assert_eq!(jobs.len(), 5);
    jobs
}

/// The blocks of this kind, however deep.
fn blocks<'a>(body: &'a Body, kind: &str) -> Vec<&'a hcl::Block> {
    body.blocks()
        .flat_map(|block| {
            let own = (block.identifier() == kind).then_some(block);
            own.into_iter().chain(blocks(block.body(), kind))
        })
        .collect()
}

fn attribute<'a>(body: &'a Body, name: &str) -> Option<&'a Expression> {
    body.attributes().find(|it| it.key() == name).map(hcl::Attribute::expr)
}

/// The words that a task has our binary started with.
fn words(task: &hcl::Block) -> Option<Vec<String>> {
    let config = blocks(task.body(), "config").into_iter().next()?;
    attribute(config.body(), "command").filter(|it| it.to_string().contains("var.vtp"))?;
    let Some(Expression::Array(words)) = attribute(config.body(), "args") else { panic!("no words") };
    Some(words.iter().map(|word| word.to_string().trim_matches('"').to_owned()).collect())
}

fn seconds(text: &str) -> f64 {
    text.trim_matches('"').trim_end_matches('s').parse().unwrap()
}

fn help(subcommand: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_vtp")).args([subcommand, "--help"]).output().unwrap();
    assert!(output.status.success(), "vtp {subcommand}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_flag_and_variable_that_the_jobs_name_is_there() {
    let mut started = BTreeSet::new();
    for (path, text, body) in jobs() {
        let name = path.display();
        for task in blocks(&body, "task") {
            let Some(words) = words(task) else { continue };
            let help = help(&words[0]);
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(help.contains(&format!("{flag} ")), "{name}: vtp {} has no {flag}", words[0]);
            }
            assert!(help.contains("VTP_NATS_LOGIN") && text.contains("VTP_NATS_LOGIN="), "{name}: who it is to NATS");
            let env = blocks(task.body(), "env").into_iter().next().unwrap();
            let traces = attribute(env.body(), "OTEL_EXPORTER_OTLP_ENDPOINT").map(Expression::to_string);
            assert!(traces.is_some_and(|it| it.contains("var.traces")), "{name}: where spans go");
            if let Some(drain) = words.iter().position(|word| word == "--drain") {
                let kill = seconds(&attribute(task.body(), "kill_timeout").unwrap().to_string());
                assert!(seconds(&words[drain + 1]) < kill, "{name}: it is killed before it has handed back");
            }
            started.insert(words[0].clone());
        }
        let declared: BTreeSet<String> =
            blocks(&body, "variable").iter().map(|it| it.labels()[0].as_str().to_owned()).collect();
        let named = text.split("var.").skip(1).map(|rest| {
            rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap().to_owned()
        });
        assert_eq!(named.collect::<BTreeSet<_>>(), declared, "{name}");
    }
    assert_eq!(started.into_iter().collect::<Vec<_>>(), ["driver", "node", "splitter", "stitcher"]);
}

#[test]
fn volumes_and_ports_that_tasks_use_are_those_of_their_groups() {
    for (path, text, body) in jobs() {
        let name = path.display();
        for group in blocks(&body, "group") {
            let labels = |kind: &str| -> BTreeSet<String> {
                blocks(group.body(), kind).iter().map(|it| it.labels()[0].as_str().to_owned()).collect()
            };
            let mounted: BTreeSet<String> = blocks(group.body(), "volume_mount")
                .iter()
                .map(|it| attribute(it.body(), "volume").unwrap().to_string().trim_matches('"').to_owned())
                .collect();
            assert_eq!(mounted, labels("volume"), "{name}");
            let ports = labels("port");
            let used = text.split("NOMAD_PORT_").skip(1).map(|rest| rest.split('}').next().unwrap().to_owned());
            assert!(used.into_iter().all(|port| ports.contains(&port)), "{name}");
        }
    }
}

#[test]
fn two_drivers_on_two_machines_have_one_ledger_whose_address_is_a_secret() {
    let (_, text, body) = jobs().into_iter().find(|(path, _, _)| path.ends_with("driver.nomad.hcl")).unwrap();
    let group = blocks(&body, "group")[0].body();
    assert_eq!(attribute(group, "count").map(Expression::to_string).as_deref(), Some("2"));
    let apart = blocks(group, "constraint").into_iter().filter_map(|it| attribute(it.body(), "operator"));
    assert_eq!(apart.map(Expression::to_string).collect::<Vec<_>>(), ["\"distinct_hosts\""]);
    let words = words(blocks(group, "task")[0]).unwrap();
    assert!(!words.iter().any(|word| word == "--ledger" || word == "--data"), "{words:?}");
    assert!(help("driver").contains("VTP_LEDGER") && text.contains("VTP_LEDGER={{ .ledger }}"));
}

#[test]
fn nodes_are_scaled_by_what_the_fleet_measures() {
    let all = [vtp_fleet::metrics::QUEUE_WAIT, vtp_fleet::metrics::TASKS_WAITING, vtp_fleet::metrics::SLOTS];
    let (_, _, body) = jobs().into_iter().find(|(path, _, _)| path.ends_with("node.nomad.hcl")).unwrap();
    let checks = blocks(&body, "check");
    let queries: Vec<String> =
        checks.iter().filter_map(|it| Some(attribute(it.body(), "query")?.to_string())).collect();
    assert_eq!(queries.len(), 2);
    assert!(queries.iter().any(|query| query.contains("or vector(0)")), "without a node there is one to be started");
    for query in &queries {
        let named = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for metric in named.filter(|word| word.starts_with("vtp_")) {
            let metric = metric.trim_end_matches("_bucket");
            assert!(all.contains(&metric), "{metric} is not measured");
        }
    }
}
