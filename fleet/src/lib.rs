//! What the roles of a fleet share: how work is handed out, and what is known of it.
//!
//! [`messages`] are the words on the bus, [`bus`] carries them. [`ledger`] is the truth about jobs; [`driver`] connects
//! both with the coordinator. [`node`] is the other end: it pulls tasks, has them done and says so. [`server`] starts a
//! nats-server. No FFmpeg, no SQL, no HTTP.

pub mod bus;
pub mod driver;
pub mod ledger;
pub mod messages;
pub mod node;
pub mod server;
