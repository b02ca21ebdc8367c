//! Every bus does what buses do: within one process, with faults, and over a real nats-server.

mod accounts;
mod nats;
mod news;
mod others;
mod suite;
mod support;
