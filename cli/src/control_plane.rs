//! `vtp control-plane`: the API. step: take requests, have the fleet make what they ask for, note what becomes of it. In: HTTP. Out:
//! rows, objects, orders to the fleet. Never: a look into a video.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use vtp_control_plane::fleet::{Away, Fleet, Made, Order, Planned, Probed, Progress};
use vtp_control_plane::{App, Config, dispatch, http};
use vtp_fleet::messages::TraceContext;

use crate::fleet::access::LoginArguments;
use crate::fleet::member::{self, MetricsArguments};
use crate::fleet::orderer::Orderer;
use crate::progress::ProgressEvent;
use crate::telemetry::RequestSpans;
use crate::{Outcome, print, telemetry};

/// How long what was used last is waited for until it is kept.
const FAREWELL: Duration = Duration::from_secs(3);

/// Serve the API, until ^C or SIGTERM; settings are in a file, and in the environment as VTP_CONTROL_...
#[derive(Debug, Args)]
pub struct Arguments {
    /// The fleet's NATS servers, such as nats://nats-1:4222, parted by commas, or the folder of vtp up
    #[arg(long, value_name = "URLS", required_unless_present_any = ["print_config", "print_openapi"])]
    cluster: Option<String>,

    /// Settings, in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print the settings as they are, without the database's password, and end
    #[arg(long)]
    print_config: bool,

    /// Print the document that describes the API (OpenAPI 3.1), and end
    #[arg(long, conflicts_with = "print_config")]
    print_openapi: bool,

    #[command(flatten)]
    login: LoginArguments,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`](crate::exit::Failure::Usage) for settings that can't be, and for what can't be reached.
pub fn run(arguments: &Arguments) -> Outcome {
    let usage = |error: &dyn std::fmt::Display| crate::exit::Failure::Usage(error.to_string());
    if arguments.print_openapi {
        return print(&(http::openapi().map_err(|error| usage(&error))? + "\n"));
    }
    let config = Config::read(arguments.config.as_deref(), std::env::vars()).map_err(|error| usage(&error))?;
    if arguments.print_config {
        return print(&config.to_toml());
    }
    member::live(64, |leave| async move {
        member::raise_file_limit();
        let render = MetricsArguments::gather()?;
        vtp_control_plane::metrics::describe();
        let name = format!("control-{:08x}", fastrand::u32(..));
        let connection = arguments.login.user().unwrap_or(&name).to_owned();
        let urls = arguments.cluster.as_deref().context("--cluster is missing")?;
        let bus = arguments.login.connect(urls, &connection, 1).await?;
        let fleet = Arc::new(Cluster(Orderer::start(bus, name).await?));
        let app = App::start(config, fleet).await?.with_metrics(render).with_traces(Arc::new(RequestSpans::begin()));
        serve(app, leave).await
    })
}

async fn serve(app: App, leave: watch::Receiver<bool>) -> anyhow::Result<()> {
    let listen = app.config.listen;
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("cannot listen at {listen}"))?;
    eprintln!("the API is there, at http://{}", listener.local_addr()?);
    let driving = tokio::spawn(dispatch::run(app.clone(), leave.clone()));
    http::serve(listener, app.clone(), leave).await?;
    driving.await?;
    app.settle(FAREWELL).await;
    Ok(())
}

/// The fleet, as the control plane asks it.
struct Cluster(Orderer);

impl Cluster {
    async fn made(&self, order: Order, told: mpsc::Sender<Progress>) -> Result<Made, Away> {
        let Order { number, priority, user, source, out, words, trace } = order;
        let trace = trace.map_or(TraceContext::NONE, |it| telemetry::read(&it));
        let words = line(source, out, words);
        let told = |event| {
            let progress = match event {
                ProgressEvent::Stage(stage) => Progress::Stage(stage.into_owned()),
                ProgressEvent::Frames { done, total } => Progress::Frames { done, total },
                _ => return,
            };
            // Whoever notes it may be slower than this.
            drop(told.try_send(progress));
        };
        self.0.encode(number, (user, priority), trace, words, &told).await.map_err(away)
    }
}

fn away(error: anyhow::Error) -> Away {
    Away(format!("{error:#}"))
}

/// What `vtp encode` is told.
fn line(source: PathBuf, out: PathBuf, words: Vec<String>) -> Vec<OsString> {
    let line: [OsString; 4] = [source.into(), "--out".into(), out.into(), "--force".into()];
    line.into_iter().chain(words.into_iter().map(OsString::from)).collect()
}

impl Fleet for Cluster {
    fn plan(&self, user: u64, source: PathBuf, words: Vec<String>) -> BoxFuture<'_, Result<Planned, Away>> {
        // Nothing is written there.
        let words = line(source.clone(), PathBuf::from("plan"), words);
        async move { self.0.plan(user, source.into(), words).await.map_err(away) }.boxed()
    }

    fn slots(&self) -> BoxFuture<'_, Result<u32, Away>> {
        async move { self.0.slots().await.map_err(away) }.boxed()
    }

    fn probe(&self, source: PathBuf) -> BoxFuture<'_, Result<Probed, Away>> {
        async move { self.0.probe(source.into()).await.map_err(away) }.boxed()
    }

    fn make(&self, order: Order, told: mpsc::Sender<Progress>) -> BoxFuture<'_, Result<Made, Away>> {
        self.made(order, told).boxed()
    }

    fn cancel(&self, number: u64) -> BoxFuture<'_, Result<(), Away>> {
        async move { self.0.cancel(number).await.map_err(away) }.boxed()
    }

    fn answers(&self) -> bool {
        self.0.is_answered()
    }

    fn forget(&self, number: u64) -> BoxFuture<'_, Result<(), Away>> {
        async move { self.0.forget(number).await.map_err(away) }.boxed()
    }
}
