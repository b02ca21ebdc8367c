//! Requests to the outside, against a receiver that is inside.

use std::error::Error as _;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

fn rules(allowed: &[&str], http: bool) -> Rules {
    Rules { allowed: allowed.iter().map(|it| it.parse().unwrap()).collect(), http }
}

fn checked(rules: &Rules, url: &str) -> Result<(), Refused> {
    rules.check(&url.parse().unwrap())
}

#[test]
fn however_an_address_inside_is_written_it_is_refused() {
    let rules = rules(&[], true);
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "0",
        "169.254.169.254",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[fd00:ec2::254]",
        "[64:ff9b::a00:1]",
        "[2002:7f00:1::]",
        "10.0.0.1:8080",
        "\u{ff11}27.0.0.1",
    ] {
        let refused = checked(&rules, &format!("http://{host}/"));
        assert!(matches!(refused, Err(Refused::NotPublic(_))), "{host}: {refused:?}");
    }
    for fine in ["http://example.com/", "https://1.1.1.1:8443/x?y#z", "https://[2606:4700::1111]/"] {
        assert_eq!(checked(&rules, fine), Ok(()), "{fine}");
    }
}

#[test]
fn what_has_no_tls_says_who_asks_or_leads_nowhere_is_refused() {
    let (strict, loose) = (rules(&[], false), rules(&[], true));
    assert_eq!(checked(&strict, "http://example.com/"), Err(Refused::Scheme("https://")));
    for bad in ["ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "data:,x", "unix:/run/x"] {
        assert!(matches!(checked(&loose, bad), Err(Refused::Scheme(_))), "{bad}");
    }
    for bad in ["https://ann@example.com/", "https://ann:secret@example.com/", "https://:secret@example.com/"] {
        assert_eq!(checked(&loose, bad), Err(Refused::Credentials), "{bad}");
    }
    assert_eq!(checked(&loose, "https://example.com@127.0.0.1/"), Err(Refused::Credentials));
}

#[test]
fn a_network_that_is_allowed_is_and_no_other() {
    let rules = rules(&["127.0.0.0/8", "fd00::/8"], true);
    for fine in ["http://127.0.0.1:8000/", "http://[::ffff:127.0.0.1]/", "https://[fd00::1]/"] {
        assert_eq!(checked(&rules, fine), Ok(()), "{fine}");
    }
    for bad in ["http://10.0.0.1/", "http://[::1]/", "http://[fe80::1]/"] {
        assert!(matches!(checked(&rules, bad), Err(Refused::NotPublic(_))), "{bad}");
    }
}

proptest! {
    #[test]
    fn of_a_name_s_addresses_only_those_are_left_that_may_be_gone_to(found: Vec<(IpAddr, u16)>, allowed: Vec<IpAddr>) {
        // A network is written as what it is of.
        let allowed: Vec<IpAddr> = allowed.iter().map(IpAddr::to_canonical).collect();
        let rules = Rules { allowed: allowed.iter().map(|it| it.to_string().parse().unwrap()).collect(), http: false };
        let found: Vec<SocketAddr> = found.into_iter().map(SocketAddr::from).collect();
        let inside: Vec<SocketAddr> = allowed.iter().map(|it| SocketAddr::from((*it, 443))).collect();
        for address in rules.choose(found.into_iter().chain(inside.clone())) {
            prop_assert!(is_public(address.ip()) || allowed.contains(&address.ip().to_canonical()));
        }
        prop_assert_eq!(rules.choose(inside.clone().into_iter()), inside);
    }
}

fn outside(allowed: &[&str]) -> Outside {
    let allowed = allowed.iter().map(|it| it.parse().unwrap()).collect();
    Outside::new(&Config { outside_allowed: allowed, outside_http: true, ..Config::default() }).unwrap()
}

/// Answers each connection with this, until it is dropped; where.
async fn receiver(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            if stream.read(&mut head).await.is_ok() {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    port
}

async fn ask(outside: &Outside, url: &str) -> reqwest::Result<reqwest::Response> {
    outside.request(Method::GET, &url.parse().unwrap()).unwrap().send().await
}

#[tokio::test]
async fn a_name_that_means_an_address_inside_is_not_connected_to() {
    let port = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    let refused = ask(&outside(&[]), &format!("http://localhost:{port}/")).await.unwrap_err();
    let mut why = refused.to_string();
    let mut source = refused.source();
    while let Some(error) = source {
        why = error.to_string();
        source = error.source();
    }
    assert!(why.starts_with("no address of localhost is reached from everywhere"), "{why}");
    let answer = ask(&outside(&["127.0.0.0/8"]), &format!("http://localhost:{port}/")).await.unwrap();
    assert_eq!(answer.status(), 204);
}

#[tokio::test]
async fn a_name_that_means_another_address_from_one_time_to_the_next_is_looked_at_each_time() {
    let there = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = there.local_addr().unwrap().port();
    let inside = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let came = tokio::spawn(async move { inside.accept().await.is_ok() });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = there.accept().await {
            let mut head = [0; 1024];
            if stream.read(&mut head).await.is_ok() {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
            }
        }
    });
    // As a server of names that answers one thing to whoever checks, and another to whoever connects.
    let times = std::sync::atomic::AtomicUsize::new(0);
    let lookup: resolver::Lookup = Arc::new(move |_| {
        let time = times.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let host = if time == 0 { [127, 0, 0, 2] } else { [127, 0, 0, 1] };
        Box::pin(async move { Ok(vec![SocketAddr::from((host, 0))]) })
    });
    let allowed = vec!["127.0.0.2".parse().unwrap()];
    let config = Config { outside_allowed: allowed, outside_http: true, ..Config::default() };
    let outside = Outside::made(&config, system_roots(), lookup).unwrap();
    let url = format!("http://films.example:{port}/");
    assert_eq!(ask(&outside, &url).await.unwrap().status(), 204, "what was looked at is what is connected to");
    let refused = ask(&outside, &url).await.unwrap_err();
    assert!(is_inside(&refused), "{refused:?}");
    assert!(!came.is_finished(), "nobody came");
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let port = receiver("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n").await;
    let answer = ask(&outside(&["127.0.0.0/8"]), &format!("http://127.0.0.1:{port}/")).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (302, &"http://169.254.169.254/".parse().unwrap())
    );
}

#[tokio::test]
async fn whoever_has_no_certificate_that_is_trusted_is_told_nothing() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let (listener, acceptor) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TlsAcceptor::from(Arc::new(config)));
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 1024];
            if stream.read(&mut head).await.is_ok_and(|it| it > 0) {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        }
    });
    let config = Config { outside_allowed: vec!["127.0.0.0/8".parse().unwrap()], ..Config::default() };
    let mut roots = RootCertStore::empty();
    assert!(
        ask(&Outside::made(&config, roots.clone(), resolver::system()).unwrap(), &url).await.unwrap_err().is_connect()
    );
    roots.add(made.cert.der().clone()).unwrap();
    assert_eq!(ask(&Outside::made(&config, roots, resolver::system()).unwrap(), &url).await.unwrap().status(), 204);
}
