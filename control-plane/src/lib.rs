//! The control plane: users, uploads, jobs and what becomes of them; on Postgres and a store. It is read in the order that a video
//! travels: `http/` takes it in, or `fetching/` fetches it, `checking.rs` has it looked at, `dispatch.rs` has it made by the fleet, `http/playback.rs` serves
//! it. It looks into no video itself, and links nothing that does.

pub mod app;
pub mod auth;
mod checking;
pub mod config;
pub mod db;
pub mod dispatch;
pub mod end;
pub mod estimate;
mod fetching;
pub mod fleet;
pub mod hooks;
mod housekeeping;
pub mod http;
pub mod ids;
mod leases;
pub mod limits;
pub mod metrics;
mod news;
pub mod outside;
mod part_key;
mod part_urls;
pub mod playback;
pub mod postgres;
pub mod price;
pub mod problem;
pub mod public_url;
mod receiving;
pub mod report;
mod status;
pub mod storage;
mod streams;
pub mod template;
pub mod traceparent;
pub mod traces;
pub mod tus;
mod upload_memory;
mod usage;

pub use app::{App, StartError};
pub use config::{Config, ConfigError};
pub use metrics::Render;
