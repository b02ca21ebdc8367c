//! A real server of S3's protocol over a folder, for tests of whatever speaks it: it checks signatures and keeps objects as files.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::watch;

pub use crate::watched::{Call, Watched};

/// Whom the server knows.
const ACCESS_KEY: &str = "vtptest";
const SECRET_KEY: &str = "vtptestsecret";

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    end: watch::Sender<bool>,
    refuses: Arc<AtomicBool>,
}

impl S3Server {
    /// Serves the folder `root`, whose folders are the buckets.
    ///
    /// # Errors
    /// No thread or socket is to be had.
    pub fn start(root: &Path) -> io::Result<Self> {
        let files = s3s_fs::FileSystem::new(root).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (end, ended) = watch::channel(false);
        let refuses = Arc::new(AtomicBool::new(false));
        let refusing = Arc::clone(&refuses);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("serves S3".to_owned()).spawn(move || {
            runtime.block_on(serve(listener, service, ended, refusing));
        })?;
        Ok(Self { address, end, refuses })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it closes every connection, new or old, without an answer; or no longer.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    /// What a process needs in its environment to reach it.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL_S3", self.url()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
    }

    /// A client that reaches it.
    pub fn client(&self) -> aws_sdk_s3::Client {
        use aws_sdk_s3::config::retry::RetryConfig;
        use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation};
        let config = Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new("us-east-1"))
            .endpoint_url(self.url())
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "tests"))
            .force_path_style(true)
            .retry_config(RetryConfig::standard().with_max_attempts(crate::s3::TRIES))
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // A thread that is gone needs no word.
        let _ = self.end.send(true);
    }
}

async fn serve(listener: TcpListener, service: S3Service, mut end: watch::Receiver<bool>, refuses: Arc<AtomicBool>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            _ = end.changed() => return,
        };
        let Ok((socket, _)) = connection else { continue };
        if refuses.load(Ordering::Relaxed) {
            continue;
        }
        let (service, refuses) = (service.clone(), Arc::clone(&refuses));
        tokio::spawn(async move {
            let builder = Builder::new(TokioExecutor::new());
            let refused = async {
                while !refuses.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                // Whoever is at its other end sees how it ends.
                _ = builder.serve_connection(TokioIo::new(socket), service) => {}
                () = refused => {}
            }
        });
    }
}
