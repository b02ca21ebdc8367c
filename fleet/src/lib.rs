//! What the roles of a fleet share: who they are to each other, how work is handed out and what is known of it, and how chunk
//! bytes travel.
//!
//! [`identity`] says which roles there are and what each may do; [`ca`] certifies them, [`credentials`] carries that into TLS.
//! [`messages`] are the words on the bus, [`bus`] carries them. [`ledger`] is the truth about jobs; [`driver`] connects both
//! with the coordinator. [`node`] is the other end: it pulls tasks, has them done and says so; [`client`] wants jobs done. [`transfer`] moves objects,
//! whole and proven. [`server`] is a nats-server and [`relay`] a bad network, for tests and measurements. No FFmpeg, no HTTP, and
//! no SQL but the ledger's.

pub mod bus;
pub mod ca;
pub mod client;
pub mod credentials;
pub mod driver;
pub mod identity;
pub mod ledger;
pub mod messages;
pub mod metrics;
pub mod node;
pub mod relay;
pub mod server;
pub mod transfer;
