//! What handlers share: connections, keys, settings. One value, cheap to clone.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{OnceCell, Semaphore};
use vtp_store::{AnyStore, Client, Directory, Location, S3};

use crate::auth::{Hasher, KeySet};
use crate::config::Config;
use crate::db::{self, events, jobs};
use crate::fleet::Fleet;
use crate::limits::Limits;
use crate::metrics::Render;
use crate::news::News;
use crate::outside::{NoClient, Outside};
use crate::part_key::PartKey;
use crate::playback::PlaybackKey;
use crate::status::LastStatus;
use crate::streams::Streams;
use crate::traces::{Traces, Untraced};
use crate::upload_memory::UploadMemory;
use crate::usage::Usage;

/// Uploads that somebody else had begun to check and that are checked here at the same time.
const TAKEN_OVER: usize = 8;

/// What handlers share. Clones share it.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// The database.
    pub db: PgPool,
    /// Where bytes are.
    pub store: AnyStore,
    /// Who makes ladders.
    pub fleet: Arc<dyn Fleet>,
    /// What signs tokens.
    pub keys: KeySet,
    /// What signs the addresses of ladders.
    pub playback: PlaybackKey,
    /// What signs the addresses of parts, where the store signs none.
    pub(crate) part_key: PartKey,
    /// What goes to addresses that somebody else chose.
    pub outside: Outside,
    /// The database again, for whoever drives jobs: so that these don't wait for requests, nor requests for them.
    pub(crate) drive: PgPool,
    pub(crate) hasher: Hasher,
    /// What reads sources in S3, once there is one.
    pub(crate) sources: Arc<OnceCell<Client>>,
    pub(crate) limits: Limits,
    pub(crate) streams: Streams,
    /// Room for the bytes of uploads that are on their way.
    pub(crate) upload_memory: UploadMemory,
    /// Room for checks that others had begun.
    pub(crate) checks: Arc<Semaphore>,
    pub(crate) usage: Usage,
    pub(crate) last_status: LastStatus,
    /// What writes down the metrics of this process, if it keeps any.
    pub(crate) metrics: Option<Render>,
    /// What becomes of spans.
    pub(crate) traces: Arc<dyn Traces>,
    /// What happens to jobs.
    pub(crate) news: News,
    /// Which jobs are wanted no longer.
    pub(crate) cancels: News,
}

/// Why a control plane can't start; the sentence says what to change.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database can't be reached.
    #[error("the database can't be reached: {0}")]
    Database(#[from] sqlx::Error),
    /// Its tables can't be brought up to this build.
    #[error("the tables can't be brought up to this build: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The store can't be used.
    #[error("the store {0}: {1}")]
    Store(String, String),
    /// There are no keys.
    #[error(transparent)]
    Keys(#[from] crate::auth::KeyTrouble),
    /// The file of the key of playback can't be read or made.
    #[error("the key of playback: {0}")]
    Playback(std::io::Error),
    /// There is no way to the outside.
    #[error(transparent)]
    Outside(#[from] NoClient),
    /// Passwords can't be hashed.
    #[error("{0}")]
    Hasher(String),
}

impl App {
    /// Connects to what `config` names, and brings the tables up to this build.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config, fleet: Arc<dyn Fleet>) -> Result<Self, StartError> {
        let hasher = Hasher::new().map_err(|error| StartError::Hasher(error.to_string()))?;
        Self::start_with(config, fleet, hasher).await
    }

    /// The same with another hasher of passwords.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_with(config: Config, fleet: Arc<dyn Fleet>, hasher: Hasher) -> Result<Self, StartError> {
        let store = open(&config.store).await?;
        Self::start_on(config, fleet, hasher, store).await
    }

    /// The same on this store, whatever the settings say of it.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_on(
        config: Config,
        fleet: Arc<dyn Fleet>,
        hasher: Hasher,
        store: AnyStore,
    ) -> Result<Self, StartError> {
        let keys = KeySet::open(&config.keys)?;
        let playback = PlaybackKey::open(&config.keys).map_err(StartError::Playback)?;
        let part_key = PartKey::of(&playback);
        let outside = Outside::new(&config)?;
        let tables = db::connect(&config.database, 1).await?;
        db::migrate(&tables).await?;
        tables.close().await;
        let drive = db::connect_for_driving(&config.database, config.driver_connections).await?;
        let db = db::connect_for_answers(&config.database, config.database_connections).await?;
        let limits = Limits::start(&config)?;
        let (news, cancels) = (News::start(db.clone(), events::CHANNEL), News::start(drive.clone(), jobs::CANCELS));
        let sources = Arc::default();
        let usage = Usage::start(drive.clone());
        let checks = Arc::new(Semaphore::new(TAKEN_OVER));
        let upload_memory = UploadMemory::new(config.upload_memory_bytes, config.chunk_bytes);
        let (config, last_status, metrics) = (Arc::new(config), LastStatus::default(), None);
        Ok(Self {
            config,
            db,
            drive,
            store,
            fleet,
            keys,
            playback,
            part_key,
            outside,
            sources,
            hasher,
            limits,
            checks,
            streams: Streams::default(),
            upload_memory,
            usage,
            last_status,
            metrics,
            traces: Arc::new(Untraced),
            news,
            cancels,
        })
    }

    /// Shows these metrics.
    #[must_use]
    pub fn with_metrics(self, render: Render) -> Self {
        Self { metrics: Some(render), ..self }
    }

    /// Has something made of its spans.
    #[must_use]
    pub fn with_traces(self, traces: Arc<dyn Traces>) -> Self {
        Self { traces, ..self }
    }

    /// Waits until what is kept a little later is kept, for so long at most: for whoever ends.
    pub async fn settle(&self, patience: Duration) {
        self.usage.settle(patience).await;
    }

    /// The same, which reads sources in S3 by this client instead of the one that the environment configures.
    #[must_use]
    pub fn with_sources(self, client: Client) -> Self {
        Self { sources: Arc::new(OnceCell::new_with(Some(client))), ..self }
    }
}

async fn open(name: &str) -> Result<AnyStore, StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Store(name.to_owned(), error.to_string());
    if Location::is_meant(name) {
        let Location { bucket, key } = name.parse().map_err(|error| failed(&error))?;
        let key = key.trim_end_matches('/');
        let key = if key.is_empty() { String::new() } else { format!("{key}/") };
        let location = Location { bucket, key };
        return Ok(AnyStore::S3(S3::bucket(S3::client().await, &location.bucket), location));
    }
    let root = std::path::absolute(name).map_err(|error| failed(&error))?;
    Directory::open(&root).map(AnyStore::Directory).map_err(|error| failed(&error))
}
