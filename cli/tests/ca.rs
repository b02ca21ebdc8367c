//! Certificates as their users get them: files, readable by whom they should be, and refusals that say what to do.
#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::os::unix::fs::PermissionsExt as _;

use common::Scene;
use vtp_fleet::ca::Files;
use vtp_fleet::credentials::Credentials;

fn rights(scene: &Scene, file: &str) -> u32 {
    std::fs::metadata(scene.path(file)).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_issues_what_peers_can_use() {
    let scene = Scene::new();
    scene.vtp("ca init ca").ok();
    assert_eq!((rights(&scene, "ca/ca.key"), rights(&scene, "ca/ca.crt")), (0o600, 0o644));
    let told = scene.vtp("ca issue ca --role splitter --name fra-1 --host localhost --host 10.0.0.1 --out fra-1").ok();
    assert!(told.stdout.contains("vtp://splitter/fra-1, valid for 90 days"), "{}", told.stdout);
    assert_eq!((rights(&scene, "fra-1/fra-1.key"), rights(&scene, "fra-1/fra-1.crt")), (0o600, 0o644));
    let files = Files {
        authority: scene.path("fra-1/ca.crt"),
        certificate: scene.path("fra-1/fra-1.crt"),
        key: scene.path("fra-1/fra-1.key"),
    };
    assert_eq!(Credentials::load(&files).unwrap().identity().to_string(), "vtp://splitter/fra-1");
    assert!(!scene.path("fra-1/ca.key").exists());
}

#[test]
fn no_key_is_overwritten_and_what_can_t_be_certified_is_refused() {
    let scene = Scene::new();
    scene.vtp("ca init ca").ok();
    let key = std::fs::read(scene.path("ca/ca.key")).unwrap();
    scene.vtp("ca init ca").failed(2, "never overwritten");
    assert_eq!(std::fs::read(scene.path("ca/ca.key")).unwrap(), key);

    scene.vtp("ca issue ca --role node --name one --out out").ok();
    scene.vtp("ca issue ca --role node --name one --out out").failed(2, "never overwritten");
    scene.vtp("ca issue none --role node --name one --out out").failed(2, "make one with vtp ca init");
    scene.vtp("ca issue ca --role stitcher --name two --out out").failed(2, "add --host");
    scene.vtp("ca issue ca --role stitcher --name two --host a_b/c --out out").failed(2, "neither a host name nor");
    scene.vtp("ca issue ca --role origin --name two --out out").failed(2, "is no role");
    scene.vtp("ca issue ca --role node --name Two --out out").failed(2, "can't be a name");
    scene.vtp("ca issue ca --role node --name two --days 0 --out out").failed(2, "1 to 7300 days");
    scene.vtp("ca init other").ok();
    scene.vtp("ca issue other --role node --name two --out out").failed(2, "another authority");
    assert!(!scene.path("out/two.key").exists());
}
