//! What a connection may take: windows, buffers, times. The figures behind the defaults are in docs/transfer.md.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::{BbrConfig, CubicConfig};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{
    AckFrequencyConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    TransportConfig, VarInt,
};
use rustix::io::Errno;
use rustix::net::{self, sockopt};
use rustls::crypto::ring;

use crate::credentials::Credentials;

/// How the rate is found that the network bears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Congestion {
    /// Takes every loss for congestion (RFC 9438).
    Cubic,
    /// Goes by the rate that arrives, and bears losses.
    Bbr,
}

/// Settings of all connections of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Bytes of one stream that may be on their way or wait to be taken. One object alone goes no faster than one
    /// window a round trip: 8 MiB in 100 ms are 670 Mb/s.
    pub stream_window: u32,
    /// The same of all streams of a connection together, and the most that either side holds for it in memory: 32 MiB
    /// in 100 ms are 2.7 Gb/s. Streams that nobody reads would take it from the others; the receiving end reads all
    /// of them as long as they are open.
    pub connection_window: u32,
    /// Objects that a client may move at once over a connection; others wait.
    pub streams: u32,
    /// Connections that a server keeps; others are refused.
    pub connections: usize,
    /// How long a peer may be silent before its connection is given up.
    pub idle: Duration,
    /// How often a connection without traffic says that it lives.
    pub keep_alive: Duration,
    /// How long one object may stand still before it is asked for again.
    pub stall: Duration,
    /// How long a client tries again without any new block before it gives up.
    pub patience: Duration,
    /// How the rate is found.
    pub congestion: Congestion,
    /// Largest UDP payload in bytes that is looked for on a path; what the path bears is found out (RFC 8899).
    pub largest_payload: u16,
    /// UDP payload in bytes towards peers on the same machine, whose loopback device takes packets of 65,536 bytes;
    /// `None` treats them as any other.
    pub loopback_payload: Option<u16>,
    /// Send and receive buffer of the UDP socket in bytes; the system may give less (`net.core.rmem_max`, `wmem_max`).
    pub socket_buffer: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            stream_window: 8 << 20,
            connection_window: 32 << 20,
            streams: 128,
            connections: 1024,
            idle: Duration::from_secs(15),
            keep_alive: Duration::from_secs(4),
            stall: Duration::from_secs(30),
            patience: Duration::from_secs(120),
            congestion: Congestion::Bbr,
            largest_payload: 6500,
            loopback_payload: Some(LOOPBACK_PAYLOAD),
            socket_buffer: 4 << 20,
        }
    }
}

/// What the loopback device takes in one packet, less IPv6's and UDP's heads, and a little.
const LOOPBACK_PAYLOAD: u16 = 65_400;

/// What may be sent before anything has come back, in bytes; two packets at least (RFC 9002, 7.2).
const INITIAL_WINDOW: u64 = 14_720;

/// How many packets quinn hands to the system at once where it may. It does not look whether they are too many bytes
/// for one call, which takes no more than [`MOST_PAYLOAD`]; what are too many are lost, always, and taken for a path
/// that bears none of their size.
const SEGMENTS: u32 = 10;

/// The most that UDP can carry.
const MOST_PAYLOAD: u16 = 65_527;

/// The key of the tokens by which an endpoint tells peers that it knows nothing of their connection (RFC 9000, 10.3). No other
/// endpoint may have it: whoever led a connection's packets there would have it ended (21.11).
pub(super) struct ResetKey([u8; 32]);

impl ResetKey {
    /// That of the server at `port`. One that was killed and started again has the same, so its peers notice at once, and don't wait
    /// until it is too long silent.
    pub(super) fn of_server(credentials: &Credentials, port: u16) -> Self {
        let secret = credentials.secret("vtp 2026-11-27 stateless resets of a server of QUIC");
        Self(*blake3::keyed_hash(&secret, &port.to_be_bytes()).as_bytes())
    }

    /// That of a client, which has another port in each life.
    pub(super) fn by_chance() -> Self {
        let mut key = [0; 32];
        fill(&mut key);
        Self(key)
    }
}

/// Fills `bytes` with what nobody can foresee.
fn fill(bytes: &mut [u8]) {
    // Where the system has nothing to give, which does not happen on Linux, they are hard to guess at least.
    fastrand::fill(bytes);
    if ring::default_provider().secure_random.fill(bytes).is_err() {
        tracing::warn!("the system gives no random numbers");
    }
}

/// A keyed hash of BLAKE3.
impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        blake3::Hasher::new_keyed(&self.0).update(data).finalize_xof().fill(signature_out);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let right = blake3::keyed_hash(&self.0, data);
        // Compared in constant time.
        let signature: [u8; 32] = signature.try_into().map_err(|_| CryptoError)?;
        if right == blake3::Hash::from(signature) { Ok(()) } else { Err(CryptoError) }
    }
}

/// Names of connections by chance. Quinn's own are made by a key of each endpoint, which drops those of another without a word, so
/// also those of the one that was there before it.
struct AnyId;

/// Bytes of a connection's name.
const ID: usize = 8;

impl ConnectionIdGenerator for AnyId {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID];
        fill(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

impl Tuning {
    /// The settings of a connection with `peer`.
    pub(super) fn transport(&self, peer: SocketAddr) -> Arc<TransportConfig> {
        let mut config = TransportConfig::default();
        config
            .max_concurrent_bidi_streams(self.streams.into())
            .max_concurrent_uni_streams(0_u32.into())
            .datagram_receive_buffer_size(None)
            .stream_receive_window(self.stream_window.into())
            .receive_window(self.connection_window.into())
            .send_window(self.connection_window.into())
            .max_idle_timeout(IdleTimeout::try_from(self.idle).ok())
            .keep_alive_interval(Some(self.keep_alive));
        let mut initial_window = INITIAL_WINDOW;
        match self.loopback_payload {
            // Nothing to be found out, and nothing that could be lost for its size.
            Some(payload) if peer.ip().to_canonical().is_loopback() => {
                config.initial_mtu(payload).mtu_discovery_config(None);
                config.enable_segmentation_offload(u32::from(payload) * SEGMENTS <= MOST_PAYLOAD.into());
                initial_window = initial_window.max(2 * u64::from(payload));
            }
            _ => {
                let mut discovery = MtuDiscoveryConfig::default();
                discovery.upper_bound(self.largest_payload);
                let mut acks = AckFrequencyConfig::default();
                acks.ack_eliciting_threshold(VarInt::from_u32(10));
                config.mtu_discovery_config(Some(discovery)).ack_frequency_config(Some(acks));
            }
        }
        match self.congestion {
            Congestion::Cubic => {
                let mut cubic = CubicConfig::default();
                cubic.initial_window(initial_window);
                config.congestion_controller_factory(Arc::new(cubic))
            }
            Congestion::Bbr => config.congestion_controller_factory(Arc::new(BbrConfig::default())),
        };
        Arc::new(config)
    }

    /// Settings of the endpoint: what it takes of others.
    pub(super) fn endpoint(&self, resets: ResetKey) -> EndpointConfig {
        let mut config = EndpointConfig::new(Arc::new(resets));
        config.cid_generator(|| Box::new(AnyId));
        // Never an error: it is between 1200 and 65,527.
        let _ = config.max_udp_payload_size(MOST_PAYLOAD);
        config
    }

    /// A UDP socket at `address`; one for IPv6 takes IPv4, too. Where there is no IPv6, every address of this machine is every one of
    /// IPv4.
    pub(super) fn socket(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        with_or_without_ipv6(address, |address| self.socket_at(address))
    }

    fn socket_at(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        let family = match address {
            SocketAddr::V4(_) => net::AddressFamily::INET,
            SocketAddr::V6(_) => net::AddressFamily::INET6,
        };
        let flags = net::SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, net::SocketType::DGRAM, flags, Some(net::ipproto::UDP))?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, false)?;
        }
        net::bind(&socket, &address)?;
        let socket = UdpSocket::from(socket);
        sockopt::set_socket_recv_buffer_size(socket.as_fd(), self.socket_buffer)?;
        sockopt::set_socket_send_buffer_size(socket.as_fd(), self.socket_buffer)?;
        // Linux gives twice what it was asked for, for its own accounts.
        let given = sockopt::socket_recv_buffer_size(socket.as_fd())? / 2;
        if given < self.socket_buffer {
            tracing::info!(
                asked_bytes = self.socket_buffer,
                given_bytes = given,
                "net.core.rmem_max is small for QUIC"
            );
        }
        Ok(socket)
    }
}

/// Opens `address`, or where that is every address of IPv6 and the system has no IPv6, every one of IPv4.
fn with_or_without_ipv6<T>(address: SocketAddr, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let opened = open(address);
    match &opened {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && lacks_ipv6(error) => {
            open((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        _ => opened,
    }
}

fn lacks_ipv6(error: &io::Error) -> bool {
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::{Authority, Request};
    use crate::identity::{Identity, Role};

    #[test]
    fn a_server_that_is_started_again_has_its_key_of_resets_and_no_other_endpoint_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::init(&folder.path().join("ca"), 1).unwrap();
        let identity = Identity { role: Role::Splitter, name: "one".parse().unwrap() };
        let request = Request { identity, hosts: vec!["localhost".to_owned()], days: 1 };
        let credentials = Credentials::new(&authority.issue(&request).unwrap()).unwrap();
        let key = |port| ResetKey::of_server(&credentials, port).0;
        assert_eq!(key(4433), key(4433));
        assert_ne!(key(4433), key(4434));
        assert_ne!(ResetKey::by_chance().0, ResetKey::by_chance().0);
    }

    #[test]
    fn where_the_system_has_no_ipv6_a_peer_listens_on_ipv4() {
        let without = |address: SocketAddr| match address {
            SocketAddr::V4(_) => Ok(address),
            SocketAddr::V6(_) => Err(Errno::AFNOSUPPORT.into()),
        };
        let anywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 4433));
        assert_eq!(with_or_without_ipv6(anywhere, without).unwrap(), SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4433)));
        with_or_without_ipv6((Ipv6Addr::LOCALHOST, 4433).into(), without).expect_err("that one address was asked for");
        let taken = |_| Err::<(), _>(Errno::ADDRINUSE.into());
        let error = with_or_without_ipv6(anywhere, taken).expect_err("another listens there");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
