//! Who gets in, with real certificates: only peers of the same authority, in their time, under their names, in their
//! roles.

use std::time::Duration;

use quinn::ConnectionError;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use time::OffsetDateTime;
use vtp_fleet::ca::{CERTIFICATE, Issued, KEY};
use vtp_fleet::credentials::Credentials;
use vtp_fleet::identity::Role;
use vtp_fleet::transfer::quic::{Client, Server, Serves, StartError, Tuning};
use vtp_fleet::transfer::{Error, Kind, Nothing, ObjectId, Transfer as _};

use crate::bad_peers::connect;
use crate::scene::{MOST, Scene, anywhere, encoded, packets, small, some_bytes, within};

/// A certificate that the authority would not issue: one whose time is over.
fn expired(scene: &Scene, role: Role) -> Credentials {
    let read = |name| std::fs::read_to_string(scene.folder.path().join("ca").join(name)).unwrap();
    let authority = read(CERTIFICATE);
    let issuer = Issuer::from_ca_cert_pem(&authority, KeyPair::from_pem(&read(KEY)).unwrap()).unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::URI(format!("vtp://{role}/late").try_into().unwrap()));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = OffsetDateTime::now_utc() - Duration::from_secs(7200);
    params.not_after = OffsetDateTime::now_utc() - Duration::from_secs(3600);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    Credentials::new(&Issued { authority, certificate, key: key.serialize_pem() }).unwrap()
}

fn origin(scene: &Scene, credentials: &Credentials) -> Server {
    let serves = Serves { origin: scene.shelf.clone(), spool: Nothing };
    Server::start(anywhere(), credentials, serves, small()).unwrap()
}

/// What a node with `credentials` gets from an origin.
async fn fetch(scene: &Scene, credentials: &Credentials, origin: &Server) -> Result<(), Error> {
    scene.shelf.put(packets(1), some_bytes(1000, 1));
    let address = origin.address().unwrap();
    let node = Client::new(credentials, address.into(), address.into(), MOST, small()).unwrap();
    within(20, node.fetch(packets(1), &scene.place(1))).await.map(|_| ())
}

fn refusal(result: Result<(), Error>) -> String {
    match result {
        Err(Error::Forbidden(reason)) => reason,
        other => panic!("it should have been refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_of_one_authority_get_in() {
    let scene = Scene::new();
    let origin = origin(&scene, &scene.credentials(Role::Splitter));
    fetch(&scene, &scene.credentials(Role::Node), &origin).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_whose_time_is_over_does_not_get_in() {
    let scene = Scene::new();
    let late = origin(&scene, &expired(&scene, Role::Splitter));
    let reason = refusal(fetch(&scene, &scene.credentials(Role::Node), &late).await);
    assert!(reason.contains("expired"), "{reason}");

    let good = origin(&scene, &scene.credentials(Role::Splitter));
    let reason = refusal(fetch(&scene, &expired(&scene, Role::Node), &good).await);
    assert!(reason.contains("expired") || reason.contains("Expired"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_authority_does_not_get_in() {
    let (scene, other) = (Scene::new(), Scene::new());
    let foreign = origin(&scene, &other.credentials(Role::Splitter));
    let reason = refusal(fetch(&scene, &scene.credentials(Role::Node), &foreign).await);
    assert!(reason.contains("UnknownIssuer") || reason.contains("BadSignature"), "{reason}");

    // One that takes the origin for what it is, but has its own certificate from elsewhere.
    let good = origin(&scene, &scene.credentials(Role::Splitter));
    let Issued { authority, .. } = scene.issue(Role::Node, "127.0.0.1");
    let stranger = Credentials::new(&Issued { authority, ..other.issue(Role::Node, "127.0.0.1") }).unwrap();
    let reason = refusal(fetch(&scene, &stranger, &good).await);
    assert!(reason.starts_with("the peer does not accept this one"), "{reason}");
    assert_eq!(good.traffic().sent(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_under_another_name_is_not_believed() {
    let scene = Scene::new();
    let elsewhere = origin(&scene, &scene.credentials_for(Role::Splitter, "origin.example.com"));
    let reason = refusal(fetch(&scene, &scene.credentials(Role::Node), &elsewhere).await);
    assert!(reason.contains("not valid for name"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stitcher_is_no_origin() {
    let scene = Scene::new();
    let stitcher = scene.stitcher(small());
    let reason = refusal(fetch(&scene, &scene.credentials(Role::Node), &stitcher).await);
    assert!(reason.contains("vtp://stitcher/one, and no origin"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_can_t_pretend_to_be_an_origin() {
    let scene = Scene::new();
    let serves = Serves { origin: scene.shelf.clone(), spool: Nothing };
    let started = Server::start(anywhere(), &scene.credentials(Role::Node), serves, Tuning::default());
    assert!(matches!(started, Err(StartError::Role { .. })), "{started:?}");

    // One that would not be stopped by our own code is stopped by its certificate, which is none for servers.
    let tls = scene.credentials(Role::Node).server(vtp_fleet::transfer::protocol::ALPN).unwrap();
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let config = quinn::ServerConfig::with_crypto(std::sync::Arc::new(crypto));
    let rogue = quinn::Endpoint::server(config, anywhere()).unwrap();
    let address = rogue.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = rogue.accept().await {
            let _ = incoming.await;
        }
    });
    let node = scene.node(address, address, small());
    let fetched = within(20, node.fetch(packets(1), &scene.place(1))).await.map(|_| ());
    let reason = refusal(fetched);
    assert!(
        reason.contains("ExtendedKeyUsage") || reason.contains("extended key usage") || reason.contains("Purpose"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_nodes_fetch_and_others_are_told_so() {
    let scene = Scene::new();
    let origin = origin(&scene, &scene.credentials(Role::Splitter));
    for role in [Role::Client, Role::ControlPlane, Role::Stitcher] {
        let connection = connect(&scene.credentials(role), origin.address().unwrap()).await.unwrap();
        let closed = within(10, connection.closed()).await;
        let ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed:?}") };
        let reason = String::from_utf8_lossy(&close.reason).into_owned();
        assert_eq!(reason, format!("vtp://{role}/one may neither fetch nor deliver anything; nodes and splitters do"));

        let address = origin.address().unwrap();
        let client = Client::new(&scene.credentials(role), address.into(), address.into(), MOST, small());
        assert!(matches!(client, Err(StartError::Role { .. })), "{role}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_splitter_delivers_what_it_found_in_a_source_and_nothing_else() {
    let scene = Scene::new();
    let stitcher = scene.stitcher(small());
    let address = stitcher.address().unwrap();
    let client =
        Client::new(&scene.credentials(Role::Splitter), address.into(), address.into(), MOST, small()).unwrap();
    let found = ObjectId { kind: Kind::Index, ..encoded(1) };
    within(10, client.deliver(found, &some_bytes(1000, 1))).await.unwrap();
    let refused = within(10, client.deliver(encoded(1), &some_bytes(1000, 1))).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    let node = scene.node(address, address, small());
    let refused = within(10, node.deliver(found, &some_bytes(1000, 2))).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    let origin = scene.origin(small());
    let client = Client::new(
        &scene.credentials(Role::Splitter),
        origin.address().unwrap().into(),
        address.into(),
        MOST,
        small(),
    );
    scene.shelf.put(packets(1), some_bytes(1000, 3));
    let refused = within(10, client.unwrap().fetch(packets(1), &scene.place(1))).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
}
