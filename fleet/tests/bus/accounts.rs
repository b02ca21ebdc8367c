//! The configurations that we ship: the server takes them, and each role may do what it has to and no more.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice::from_ref;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tempfile::TempDir;
use vtp_fleet::bus::nats::{Access, Login, NatsBus};
use vtp_fleet::bus::{Bus, Controls, Error, News, Piece, Receipt, Talk, Tasks, Topic, Whom};
use vtp_fleet::driver::alone;
use vtp_fleet::messages::{Control, Happened, Report};
use vtp_fleet::server::NatsServer;

use crate::support::{TERMS, binary, id, node, offer, pool, read_until};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/nats");

/// A copy of what we ship, with certificates and folders of this test's own.
fn shipped() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    certify(folder.path()).expect("certificates");
    let here = folder.path().display().to_string();
    for file in std::fs::read_dir(SHIPPED).expect("a folder") {
        let file = file.expect("a file").path();
        let text = std::fs::read_to_string(&file).expect("text");
        let text = text.replace("/etc/vtp", &here).replace("/var/lib/vtp", &here);
        std::fs::write(folder.path().join(file.file_name().expect("a name")), text).expect("written");
    }
    folder
}

/// An authority, and a certificate by it for servers, which are clients of each other, too.
fn certify(folder: &Path) -> anyhow::Result<()> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(vec!["localhost".to_owned()])?;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let server = server.signed_by(&key, &authority)?;
    std::fs::write(folder.join("ca.pem"), authority.pem())?;
    std::fs::write(folder.join("nats.pem"), server.pem())?;
    Ok(std::fs::write(folder.join("nats.key"), key.serialize_pem())?)
}

/// The users that we ship, the variables that their passwords come from, and passwords.
const USERS: [(&str, &str, &str); 5] = [
    ("driver", "VTP_DRIVER_PASSWORD", "of-the-driver"),
    ("node-1", "VTP_NODE_1_PASSWORD", "of-the-node"),
    ("splitter-1", "VTP_SPLITTER_1_PASSWORD", "of-the-splitter"),
    ("stitcher-1", "VTP_STITCHER_1_PASSWORD", "of-the-stitcher"),
    ("client", "VTP_CLIENT_PASSWORD", "of-the-client"),
];

fn passwords(command: &mut Command) -> &mut Command {
    command.envs(USERS.map(|(_, variable, password)| (variable, password)))
}

#[test]
fn the_server_takes_every_configuration_that_we_ship() {
    let Some(binary) = binary() else { return };
    let folder = shipped();
    for name in ["single", "cluster-1", "cluster-2", "cluster-3"] {
        let mut command = Command::new(&binary);
        let output =
            passwords(&mut command).args(["-t", "-c"]).arg(folder.path().join(format!("{name}.conf"))).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_server_that_we_ship_syncs_before_it_acknowledges() {
    let files: Vec<PathBuf> =
        std::fs::read_dir(SHIPPED).expect("a folder").map(|it| it.expect("a file").path()).collect();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("text"));
    let servers: Vec<String> = texts.filter(|text| text.contains("jetstream {")).collect();
    assert_eq!(servers.len(), 4);
    assert!(servers.iter().all(|text| text.contains("sync_interval: always")));
}

/// A server with the accounts, or all of the security, that we ship.
struct Secured {
    server: NatsServer,
    folder: TempDir,
    tls: bool,
}

impl Secured {
    fn start(tls: bool) -> Option<Self> {
        let binary = binary()?;
        let folder = shipped();
        let mut text =
            "jetstream { store_dir: \"store\", sync_interval: always }\ninclude \"accounts.conf\"\n".to_owned();
        if tls {
            text += "include \"tls.conf\"\n";
        }
        // In place of the environment, which all tests share.
        let accounts = folder.path().join("accounts.conf");
        let users = std::fs::read_to_string(&accounts).expect("text");
        let given = |text: String, (_, variable, password): (&str, &str, &str)| {
            text.replace(&format!("${variable}"), &format!("\"{password}\""))
        };
        std::fs::write(&accounts, USERS.into_iter().fold(users, given)).expect("written");
        let server = NatsServer::start_with(&binary, folder.path(), &text).expect("the server starts");
        Some(Self { server, folder, tls })
    }

    fn access(&self, user: &str, password: &str) -> Access {
        let login = Login::Password { user: user.to_owned(), password: password.to_owned() };
        let mut access = Access { login, ..Access::anonymous(self.server.url(), user) };
        if self.tls {
            access.servers = vec![self.server.url().replace("nats://127.0.0.1", "tls://localhost")];
            access.roots = Some(self.folder.path().join("ca.pem"));
        }
        access
    }

    async fn bus_of(&self, user: &str) -> NatsBus {
        let (_, _, password) = USERS.into_iter().find(|(name, _, _)| *name == user).expect("a user");
        self.bus(user, password).await
    }

    async fn bus(&self, user: &str, password: &str) -> NatsBus {
        NatsBus::connect(&self.access(user, password), TERMS, 1).await.expect("let in")
    }
}

/// The work of both roles, with no more than their rights.
async fn work_is_done(secured: &Secured) {
    let cpu = pool("cpu");
    let driver = secured.bus("driver", "of-the-driver").await;
    alone(&driver).await.expect("nobody else drives");
    driver.prepare(from_ref(&cpu)).await.expect("prepared");
    let worker = secured.bus("node-1", "of-the-node").await;
    let mut controls = worker.controls(&node("node-1")).await.expect("listens");
    let mut tasks = worker.tasks(from_ref(&cpu)).await.expect("tasks");
    driver.publish(vec![offer(&cpu, 1, 5)]).await.expect("published");
    let pulled = tasks.pull(1, Duration::from_secs(10)).await.expect("pulled");
    let happened = vec![Happened::Started { id: pulled[0].offer.id }];
    worker.report(&Report { node: node("node-1"), session: 1, sequence: 1, happened }).await.expect("reported");
    pulled[0].receipt.ack().await.expect("acknowledged");
    let mut news = driver.news().await.expect("news");
    read_until(&mut news, |all| matches!(all, [Piece::Report(_)])).await;
    news.ack().await.expect("acknowledged");
    driver.control(&node("node-1"), &Control::JoinAgain).await.expect("said");
    assert_eq!(controls.next().await, Some(Control::JoinAgain));
}

#[tokio::test(flavor = "multi_thread")]
async fn driver_and_node_do_their_work_with_their_own_rights() {
    let Some(secured) = Secured::start(false) else { return };
    work_is_done(&secured).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn driver_and_node_do_their_work_over_tls_by_name_and_password() {
    let Some(secured) = Secured::start(true) else { return };
    work_is_done(&secured).await;
    let nobody = Access { login: Login::None, ..secured.access("driver", "") };
    assert!(NatsBus::connect(&nobody, TERMS, 1).await.is_err(), "nobody comes in without a login");
}

#[test]
fn over_plain_tcp_nobody_comes_in_where_there_is_tls() {
    let (Some(plain), Some(tls)) = (Secured::start(false), Secured::start(true)) else { return };
    assert!(is_let_in(&plain), "the login is right");
    assert!(!is_let_in(&tls));
}

/// Whether the driver gets an answer of the server that was reached without TLS.
fn is_let_in(secured: &Secured) -> bool {
    let mut stream = TcpStream::connect(secured.server.url().trim_start_matches("nats://")).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let login = r#"{"verbose":false,"pedantic":false,"user":"driver","pass":"of-the-driver"}"#;
    stream.write_all(format!("CONNECT {login}\r\nPING\r\n").as_bytes()).expect("sent");
    // What refuses us may do so with a word, or just end the connection.
    let (mut said, mut some) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = stream.read(&mut some) {
        said.extend_from_slice(&some[..count]);
        if String::from_utf8_lossy(&said).contains("PONG\r\n") {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told() {
    for tls in [false, true] {
        let Some(secured) = Secured::start(tls) else { return };
        let error = NatsBus::connect(&secured.access("driver", "wrong"), TERMS, 1).await.expect_err("not let in");
        assert!(error.to_string().contains("authorization"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_neither_makes_tasks_nor_reads_what_is_not_for_it() {
    let Some(secured) = Secured::start(false) else { return };
    let cpu = pool("cpu");
    let driver = secured.bus("driver", "of-the-driver").await;
    driver.prepare(&[cpu.clone(), pool("gpu")]).await.expect("prepared");
    let worker = secured.bus("node-1", "of-the-node").await;
    let refused = |outcome: Result<(), Error>| assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");

    refused(worker.publish(vec![offer(&cpu, 1, 5)]).await);
    let other = Report { node: node("node-2"), session: 1, sequence: 1, happened: Vec::new() };
    refused(worker.report(&other).await);
    assert!(worker.prepare(from_ref(&cpu)).await.is_err(), "it changes no stream");
    let mut gpu = worker.tasks(&[pool("gpu")]).await.expect("nothing is asked yet");
    driver.publish(vec![offer(&pool("gpu"), 2, 5)]).await.expect("published");
    assert!(gpu.pull(1, Duration::from_millis(500)).await.is_err(), "another pool's tasks are not for it");

    // What the server refuses to subscribe to is silent.
    let mut theirs = worker.controls(&node("node-2")).await.expect("asked for");
    refused(worker.news().await.map(drop));
    driver.control(&node("node-2"), &Control::Stop { id: id(1, 1) }).await.expect("said");
    let mine = Report { node: node("node-1"), session: 1, sequence: 1, happened: Vec::new() };
    worker.report(&mine).await.expect("its own name it may use");
    assert!(tokio::time::timeout(Duration::from_millis(500), theirs.next()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_roles_talk_to_each_other_as_far_as_they_have_to() {
    let Some(secured) = Secured::start(false) else { return };
    let (driver, splitter) = (secured.bus_of("driver").await, secured.bus_of("splitter-1").await);
    let (stitcher, client) = (secured.bus_of("stitcher-1").await, secured.bus_of("client").await);
    for (asked, whom, askers) in
        [(&driver, Whom::Driver, vec![&stitcher, &client]), (&stitcher, Whom::Session(7), vec![&splitter])]
    {
        let mut questions = asked.questions(whom).await.expect("listens");
        let answering = tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                let answer = [b"so: ", &question.bytes[..]].concat();
                question.answer(answer.into());
            }
        });
        for asker in askers {
            // The server may hear of the question before it hears of who answers.
            let mut answer = asker.ask(whom, "well?".into()).await;
            for _ in 0..50 {
                if answer.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                answer = asker.ask(whom, "well?".into()).await;
            }
            assert_eq!(answer.expect("answered"), "so: well?");
        }
        answering.abort();
    }
    for (teller, topic, listeners) in [
        (&driver, Topic::EndedOf(7), vec![&stitcher, &client]),
        (&driver, Topic::Ended(9), vec![&client]),
        (&stitcher, Topic::Progress(9), vec![&client]),
    ] {
        for listener in listeners {
            let mut heard = listener.listen(topic).await.expect("listens");
            // The server may hear of the listener after what is said first.
            let mut words = None;
            for _ in 0..50 {
                teller.announce(topic, "done".into()).await.expect("told");
                words = tokio::time::timeout(Duration::from_millis(200), heard.recv()).await.ok().flatten();
                if words.is_some() {
                    break;
                }
            }
            assert_eq!(words.expect("heard"), "done");
        }
    }
    let pools = ["splitter", "stitcher"].map(pool);
    driver.prepare(&pools).await.expect("prepared");
    for (bus, pool) in [(&splitter, &pools[0]), (&stitcher, &pools[1])] {
        driver.publish(vec![offer(pool, 1, 5)]).await.expect("published");
        let mut tasks = bus.tasks(from_ref(pool)).await.expect("tasks");
        let pulled = tasks.pull(1, Duration::from_secs(10)).await.expect("pulled");
        pulled[0].receipt.ack().await.expect("acknowledged");
    }
    // Who may not ask is not heard, and who may not answer neither.
    assert!(secured.bus_of("node-1").await.ask(Whom::Driver, "well?".into()).await.is_err());
    assert!(client.publish(vec![offer(&pools[0], 2, 5)]).await.is_err());
}
