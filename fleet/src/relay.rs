//! A bad network in user space: a relay of UDP datagrams that delays, loses, limits and cuts, for tests and
//! measurements. It forwards everything from anybody, so it has no place in a fleet.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// What it does to datagrams, in each direction.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// How much later each one arrives.
    pub delay: Duration,
    /// How many of a thousand get lost.
    pub loss_permille: u32,
    /// Bytes a second that get through; what waits for more than `queue` gets lost.
    pub rate: Option<u64>,
    /// How long a datagram may wait for its turn.
    pub queue: Duration,
    /// The same seed loses the same datagrams.
    pub seed: u64,
}

impl Weather {
    /// Delay in each direction, and loss; as fast as this machine relays.
    #[must_use]
    pub const fn new(delay: Duration, loss_permille: u32, seed: u64) -> Self {
        Self { delay, loss_permille, rate: None, queue: Duration::from_millis(100), seed }
    }
}

/// A relay to one address. Ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    cut: AtomicBool,
    arrived: AtomicU64,
    lost: AtomicU64,
}

/// The largest datagram, and how much of them the sockets and each direction's queue hold.
const DATAGRAM: usize = 65_535;
const SOCKET_BUFFER: usize = 4 << 20;
const QUEUED: usize = 1 << 16;

impl Relay {
    /// Listens at a port of 127.0.0.1, and forwards to `target` and back. Needs a runtime of tokio.
    ///
    /// # Errors
    /// There is no socket to be had.
    pub fn start(target: SocketAddr, weather: Weather) -> io::Result<Self> {
        let socket = Arc::new(socket()?);
        let state = Arc::new(State::default());
        let mut tasks = JoinSet::new();
        let address = socket.local_addr()?;
        let target = Arc::new(Mutex::new(target));
        tasks.spawn(clients(socket, Arc::clone(&target), weather, Arc::clone(&state)));
        Ok(Self { address, target, state, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards to another target from now on, as to a server that was started again.
    pub fn redirect(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Loses everything from now on, or no more.
    pub fn cut(&self, cut: bool) {
        self.state.cut.store(cut, Ordering::Relaxed);
    }

    /// Datagrams that arrived here, and those of them that got lost.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.state.arrived.load(Ordering::Relaxed), self.state.lost.load(Ordering::Relaxed))
    }
}

fn socket() -> io::Result<UdpSocket> {
    let socket = StdSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    sockopt::set_socket_recv_buffer_size(socket.as_fd(), SOCKET_BUFFER)?;
    sockopt::set_socket_send_buffer_size(socket.as_fd(), SOCKET_BUFFER)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Takes what clients send; each gets a socket of its own towards the target, so that answers find back.
async fn clients(socket: Arc<UdpSocket>, target: Arc<Mutex<SocketAddr>>, weather: Weather, state: Arc<State>) {
    let mut known: HashMap<SocketAddr, Way> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut bytes = vec![0; DATAGRAM];
    loop {
        let Ok((size, client)) = socket.recv_from(&mut bytes).await else { continue };
        if !known.contains_key(&client) {
            let Ok(upstream) = self::socket() else { continue };
            let upstream = Arc::new(upstream);
            let seed = weather.seed.wrapping_add(2 * known.len() as u64);
            let there = Way::new(Arc::clone(&upstream), Arc::clone(&target), weather, seed, &state, &mut tasks);
            let mut back =
                Way::new(Arc::clone(&socket), Arc::new(Mutex::new(client)), weather, seed + 1, &state, &mut tasks);
            tasks.spawn(async move {
                let mut bytes = vec![0; DATAGRAM];
                loop {
                    if let Ok(size) = upstream.recv(&mut bytes).await {
                        back.send(&bytes[..size]);
                    }
                }
            });
            known.insert(client, there);
        }
        if let Some(way) = known.get_mut(&client) {
            way.send(&bytes[..size]);
        }
    }
}

/// One direction between two sockets.
struct Way {
    weather: Weather,
    random: fastrand::Rng,
    /// When the line is free for the next datagram.
    free: Instant,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
    state: Arc<State>,
}

impl Way {
    fn new(
        socket: Arc<UdpSocket>,
        to: Arc<Mutex<SocketAddr>>,
        weather: Weather,
        seed: u64,
        state: &Arc<State>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let (queue, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(QUEUED);
        tasks.spawn(async move {
            while let Some((at, datagram)) = due.recv().await {
                if at > Instant::now() {
                    sleep_until(at).await;
                }
                let to = *to.lock().unwrap_or_else(PoisonError::into_inner);
                // Lost is lost.
                let _ = socket.send_to(&datagram, to).await;
            }
        });
        let random = fastrand::Rng::with_seed(seed);
        Self { weather, random, free: Instant::now(), queue, state: Arc::clone(state) }
    }

    fn send(&mut self, datagram: &[u8]) {
        self.state.arrived.fetch_add(1, Ordering::Relaxed);
        if !self.carry(datagram) {
            self.state.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Puts a datagram on its way, unless it gets lost.
    fn carry(&mut self, datagram: &[u8]) -> bool {
        let Weather { delay, loss_permille, rate, queue, .. } = self.weather;
        if self.random.u32(..1000) < loss_permille || self.state.cut.load(Ordering::Relaxed) {
            return false;
        }
        let now = Instant::now();
        let mut leaves = now;
        if let Some(rate) = rate {
            let turn = self.free.max(now);
            if turn - now > queue {
                return false;
            }
            leaves = turn + Duration::from_secs_f64(datagram.len() as f64 / rate as f64);
            self.free = leaves;
        }
        self.queue.try_send((leaves + delay, datagram.to_vec())).is_ok()
    }
}
