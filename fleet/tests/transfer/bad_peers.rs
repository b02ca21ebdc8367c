//! Peers that have the right certificate and do the wrong thing: damage, nonsense, silence.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, ServerConfig, TransportConfig};
use vtp_fleet::credentials::Credentials;
use vtp_fleet::identity::Role;
use vtp_fleet::transfer::protocol::{ALPN, BLOCK, HEAD, Layout, Message, Want};
use vtp_fleet::transfer::sending::Sending;
use vtp_fleet::transfer::tree::block_hash;
use vtp_fleet::transfer::{Error, Transfer as _};

use crate::scene::{Scene, anywhere, encoded, packets, small, some_bytes, within};

/// A connection that the test has in its own hands.
pub(crate) async fn connect(credentials: &Credentials, to: SocketAddr) -> Result<Connection, ConnectionError> {
    let crypto = QuicClientConfig::try_from(credentials.client(ALPN).unwrap()).unwrap();
    let mut config = ClientConfig::new(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    transport.receive_window(small().connection_window.into()).stream_receive_window(small().stream_window.into());
    config.transport_config(Arc::new(transport));
    Endpoint::client(anywhere()).unwrap().connect_with(config, to, "127.0.0.1").unwrap().await
}

/// An origin that the test has in its own hands: what it sends for each request in turn, after it has been asked.
fn rogue(scene: &Scene, answers: Vec<Vec<Bytes>>) -> (SocketAddr, Arc<Mutex<Vec<Want>>>) {
    let crypto = QuicServerConfig::try_from(scene.credentials(Role::Splitter).server(ALPN).unwrap()).unwrap();
    let endpoint = Endpoint::server(ServerConfig::with_crypto(Arc::new(crypto)), anywhere()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let wants = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&wants);
    tokio::spawn(async move {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        for answer in answers {
            let (mut send, mut receive) = connection.accept_bi().await.unwrap();
            let mut head = [0; HEAD];
            receive.read_exact(&mut head).await.unwrap();
            let mut body = vec![0; Message::length(head).unwrap()];
            receive.read_exact(&mut body).await.unwrap();
            let Ok(Message::Fetch { want, .. }) = Message::read(&body) else { panic!("it asks for nothing") };
            asked.lock().unwrap().push(want);
            for mut piece in answer {
                // The client may have seen enough.
                let _ = send.write_chunk(std::mem::take(&mut piece)).await;
            }
            let _ = send.finish();
        }
        connection.closed().await;
    });
    (address, wants)
}

/// What a good origin sends from block `from` on.
async fn honest(object: &Bytes, from: u64) -> Vec<Bytes> {
    let mut all = Vec::new();
    let mut sending = Sending::new(object, Want::default()).await.unwrap();
    all.push(Message::Start { length: object.len() as u64, from }.bytes());
    let mut block = 0;
    while let Some(pieces) = sending.next().await.unwrap() {
        if block >= from {
            all.extend(pieces);
        }
        block += 1;
    }
    all.push(sending.end().bytes());
    all
}

fn damage(pieces: &mut [Bytes], piece: usize) {
    let mut bytes = pieces[piece].to_vec();
    bytes[7] ^= 1;
    pieces[piece] = bytes.into();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_is_refused_and_asked_for_again() {
    let scene = Scene::new();
    let object = some_bytes(4 * BLOCK + 5, 1);
    let mut damaged = honest(&object, 0).await;
    // Start, then a hash and bytes for each block: the bytes of block 2.
    damage(&mut damaged, 6);
    let (address, wants) = rogue(&scene, vec![damaged, honest(&object, 2).await]);
    let node = scene.node(address, anywhere(), small());
    within(20, node.fetch(packets(1), &scene.place(1))).await.unwrap();
    assert_eq!(std::fs::read(scene.place(1)).unwrap(), object);
    let asked: Vec<u64> = wants.lock().unwrap().iter().map(|want| want.blocks).collect();
    assert_eq!(asked, [0, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_always_damaged_ends_it() {
    let scene = Scene::new();
    let object = some_bytes(3 * BLOCK, 1);
    let mut first = honest(&object, 0).await;
    damage(&mut first, 4);
    let mut again = honest(&object, 1).await;
    damage(&mut again, 2);
    let (address, _) = rogue(&scene, vec![first, again.clone(), again]);
    let node = scene.node(address, anywhere(), small());
    let fetched = within(20, node.fetch(packets(1), &scene.place(1))).await;
    assert!(matches!(fetched, Err(Error::Damaged(1))), "{fetched:?}");
    assert!(!scene.place(1).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_are_not_the_whole_that_was_announced_get_no_name() {
    let scene = Scene::new();
    let (object, other) = (some_bytes(3 * BLOCK, 1), some_bytes(3 * BLOCK, 2));
    let layout = Layout { length: 3 * BLOCK };
    let mut mixed = honest(&object, 0).await;
    let block = other.slice(BLOCK as usize..2 * BLOCK as usize);
    mixed[3] = Bytes::copy_from_slice(&block_hash(layout, 1, &block));
    mixed[4] = block;
    let (address, wants) = rogue(&scene, vec![mixed, honest(&object, 0).await]);
    let node = scene.node(address, anywhere(), small());
    within(20, node.fetch(packets(1), &scene.place(1))).await.unwrap();
    assert_eq!(std::fs::read(scene.place(1)).unwrap(), object);
    assert_eq!(wants.lock().unwrap().iter().map(|want| want.blocks).collect::<Vec<_>>(), [0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_harms_nobody_else() {
    let scene = Scene::new();
    let (origin, stitcher) = (scene.origin(small()), scene.stitcher(small()));
    let mut random = fastrand::Rng::with_seed(11);
    let object = some_bytes(2 * BLOCK, 1);
    scene.shelf.put(packets(1), object.clone());
    let honest = honest(&object, 0).await.concat();
    let deliver = Message::Deliver { id: (encoded(9)).into(), length: 2 * BLOCK }.bytes();
    for server in [&origin, &stitcher] {
        let connection = connect(&scene.credentials(Role::Node), server.address().unwrap()).await.unwrap();
        for _ in 0..200 {
            let (mut send, mut receive) = connection.open_bi().await.unwrap();
            // Noise, or what could be right up to a bit somewhere, cut off somewhere.
            let mut bytes = match random.bool() {
                true => (0..random.usize(..600)).map(|_| random.u8(..)).collect::<Vec<_>>(),
                false => [&deliver[..], &honest].concat(),
            };
            bytes.truncate(random.usize(..=bytes.len().min(4000)));
            if !bytes.is_empty() {
                let at = random.usize(..bytes.len().min(200));
                bytes[at] ^= 1 << random.u8(..8);
            }
            let _ = send.write_all(&bytes).await;
            let _ = send.finish();
            if random.bool() {
                let _ = tokio::time::timeout(Duration::from_millis(20), receive.read_to_end(1 << 20)).await;
            }
        }
    }
    let node = scene.node(origin.address().unwrap(), stitcher.address().unwrap(), small());
    within(20, node.fetch(packets(1), &scene.place(1))).await.unwrap();
    within(20, node.deliver(encoded(1), &object)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_a_word_is_not_kept() {
    let scene = Scene::new();
    let tuning = vtp_fleet::transfer::quic::Tuning { stall: Duration::from_millis(200), ..small() };
    let origin = scene.origin(tuning);
    let connection = connect(&scene.credentials(Role::Node), origin.address().unwrap()).await.unwrap();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&[1]).await.unwrap();
    let answer = within(10, receive.read_to_end(1024)).await.unwrap();
    let refused = Message::read(&answer[HEAD..]).unwrap();
    assert!(matches!(refused, Message::Refused(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_has_not_shown_where_it_is_gets_no_more_than_a_word_to_show_it() {
    let scene = Scene::new();
    let origin = scene.origin(small());
    scene.shelf.put(packets(1), some_bytes(BLOCK, 1));
    let between = tokio::net::UdpSocket::bind(anywhere()).await.unwrap();
    let node = scene.node(between.local_addr().unwrap(), anywhere(), small());
    let place = scene.place(1);
    let fetching = tokio::spawn(async move { node.fetch(packets(1), &place).await });
    let mut first = [0; 2048];
    let (sent, _) = within(10, between.recv_from(&mut first)).await.unwrap();
    // As somebody would send it who has written another's address on it.
    between.send_to(&first[..sent], origin.address().unwrap()).await.unwrap();
    let mut answer = [0; 65_535];
    let (received, from) = within(10, between.recv_from(&mut answer)).await.unwrap();
    assert_eq!(from, origin.address().unwrap());
    // A long header of the kind Retry (RFC 9000, 17.2.5).
    assert_eq!(answer[0] & 0xf0, 0xf0);
    assert!(received < sent / 4, "{received} for {sent}");
    fetching.abort();
}
