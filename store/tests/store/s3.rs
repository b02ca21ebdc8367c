//! What only S3 does: it is on a network, and asks who somebody is.

use std::time::Duration;

use aws_credential_types::provider::{error, future};
use vtp_store::testing::S3Server;
use vtp_store::{About, AnyStore, Body, Directory, Error, Key, S3, Store as _};

struct Scene {
    _folder: tempfile::TempDir,
    server: S3Server,
    store: S3,
    key: Key,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("films")).unwrap();
    let server = S3Server::start(folder.path()).unwrap();
    let store = S3::bucket(server.client(), "films");
    Scene { _folder: folder, server, store, key: Key::new("a.mp4").unwrap() }
}

#[tokio::test]
async fn what_it_is_told_of_an_object_comes_back_with_it() {
    let Scene { server, store, key, _folder } = scene();
    let about = About { content_type: Some("video/mp4"), cache_control: Some("public, max-age=31536000, immutable") };
    store.put(&key, &Body::Bytes("x".into()), about).await.unwrap();
    let head = server.client().head_object().bucket("films").key("a.mp4").send().await.unwrap();
    assert_eq!((head.content_type(), head.cache_control()), (about.content_type, about.cache_control));
}

#[tokio::test]
async fn whoever_it_does_not_know_is_refused_and_told_so() {
    let Scene { server, key, _folder, .. } = scene();
    let config = server.client().config().to_builder();
    let stranger = aws_sdk_s3::config::Credentials::new("vtptest", "another secret", None, None, "tests");
    let client = aws_sdk_s3::Client::from_conf(config.credentials_provider(stranger).build());
    let refused = S3::bucket(client, "films").put(&key, &Body::Bytes("x".into()), About::default()).await;
    let Err(error @ Error::Denied(_)) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("SignatureDoesNotMatch"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_no_folder_that_is_empty() {
    let Scene { server, _folder, .. } = scene();
    let listed = S3::bucket(server.client(), "nothing").list("", 1).await;
    let Err(error @ Error::Refused(_)) = listed else { panic!("{listed:?}") };
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
}

#[tokio::test]
async fn who_has_no_credentials_is_told_that_and_not_that_nobody_answers() {
    let Scene { server, key, _folder, .. } = scene();
    let config = server.client().config().to_builder();
    let nobody = aws_sdk_s3::config::SharedCredentialsProvider::new(NoCredentials);
    let client = aws_sdk_s3::Client::from_conf(config.credentials_provider(nobody).build());
    let head = S3::bucket(client, "films").head(&key).await;
    let Err(error @ Error::NoCredentials(_)) = head else { panic!("{head:?}") };
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
}

#[derive(Debug)]
struct NoCredentials;

impl aws_sdk_s3::config::ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(error::CredentialsError::not_loaded("there are no credentials")))
    }
}

#[tokio::test]
async fn a_server_that_is_away_for_a_moment_costs_only_time() {
    let Scene { server, store, key, _folder } = scene();
    store.put(&key, &Body::Bytes("here".into()), About::default()).await.unwrap();
    server.refuse(true);
    let back = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.refuse(false);
    };
    let (found, ()) = tokio::join!(store.head(&key), back);
    assert_eq!(found.unwrap().unwrap().size, 4);
}

#[tokio::test]
async fn a_server_that_stays_away_can_not_be_reached() {
    let Scene { server, store, key, _folder } = scene();
    server.refuse(true);
    let head = store.head(&key).await;
    let Err(error @ Error::Unreachable(_)) = head else { panic!("{head:?}") };
    assert!(error.is_retryable());
}

/// As curl puts a body; the status.
async fn put(address: &str, body: &'static str) -> String {
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "--data-binary", body, address]);
    let output = curl.output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What curl gets of an address.
async fn get(address: &str) -> String {
    let output = tokio::process::Command::new("curl").args(["-sS", "-f", address]).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn whoever_has_a_presigned_address_puts_that_object_with_that_length_for_that_long_and_nothing_else() {
    let Scene { server, store, _folder, .. } = scene();
    let store = AnyStore::S3(store, "s3://films/below/".parse().unwrap());
    let key = Key::new("a b/ü.mp4").unwrap();
    let address = store.presign_put(&key, 5, Duration::from_secs(60)).await.unwrap().unwrap();
    assert!(address.starts_with(&server.url()) && address.contains("content-length"), "{address}");
    assert!(!address.to_lowercase().contains("checksum") && !address.contains("crc32"), "{address}");
    assert_eq!(put(&address, "here").await, "403", "of another length");
    assert_eq!(put(&address.replace("a%20b", "a%20c"), "film1").await, "403", "another object");
    assert_eq!(store.list("", 10).await.unwrap(), []);
    assert_eq!(put(&address, "film1").await, "200");
    assert_eq!(store.head(&key).await.unwrap().unwrap().size, 5);
    let got = store.presign_get(&key, Duration::from_secs(60)).await.unwrap().unwrap();
    assert!(got.contains("X-Amz-SignedHeaders=host&") || got.ends_with("X-Amz-SignedHeaders=host"), "{got}");
    assert_eq!(get(&got).await, "film1");
    let short = store.presign_put(&key, 5, Duration::from_secs(1)).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(put(&short, "film2").await, "403", "too late");
}

#[tokio::test]
async fn a_folder_has_no_address_that_others_could_put_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = AnyStore::Directory(Directory::open(folder.path()).unwrap());
    let key = Key::new("a.mp4").unwrap();
    assert_eq!(store.presign_put(&key, 5, Duration::from_secs(60)).await.unwrap(), None);
    assert_eq!(store.presign_get(&key, Duration::from_secs(60)).await.unwrap(), None);
}

#[tokio::test]
async fn who_has_no_credentials_signs_nothing_and_is_told_so() {
    let Scene { server, key, _folder, .. } = scene();
    let config = server.client().config().to_builder();
    let nobody = aws_sdk_s3::config::SharedCredentialsProvider::new(NoCredentials);
    let client = aws_sdk_s3::Client::from_conf(config.credentials_provider(nobody).build());
    let presigned = S3::bucket(client, "films").presign_put(&key, 5, Duration::from_secs(60)).await;
    assert!(matches!(presigned, Err(Error::NoCredentials(_))), "{presigned:?}");
}
