//! The suite. Each test has a store of its own, empty; a call that fails for a while is made again.

use std::time::Duration;

use bytes::Bytes;
use vtp_store::{About, Body, Error, Found, Key, Store};

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

/// What comes of a call, made until it fails for good or not at all.
async fn until_told<T>(mut call: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 0..200 {
        match call().await {
            Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_millis(1)).await,
            told => return told,
        }
    }
    panic!("it fails and fails");
}

async fn put(store: &impl Store, name: &str, bytes: impl Into<Bytes>) {
    let body = Body::Bytes(bytes.into());
    until_told(async || store.put(&key(name), &body, About::default()).await).await.unwrap();
}

async fn head(store: &impl Store, name: &str) -> Option<Found> {
    until_told(async || store.head(&key(name)).await).await.unwrap()
}

async fn all(store: &impl Store, name: &str) -> Result<Bytes, Error> {
    let found = head(store, name).await.expect("it is there");
    until_told(async || store.get(&key(name), 0..found.size, &found).await).await
}

async fn names(store: &impl Store, prefix: &str, most: usize) -> Vec<String> {
    let listed = until_told(async || store.list(prefix, most).await).await.unwrap();
    listed.into_iter().map(|(key, _)| key.to_string()).collect()
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

pub(crate) async fn what_was_put_is_found_got_and_listed(store: impl Store) {
    assert_eq!(head(&store, "a/b").await, None);
    for name in ["a/b", "a/with space & ü+%20.m4s", "c"] {
        put(&store, name, name.repeat(10)).await;
        assert_eq!(head(&store, name).await.unwrap().size, 10 * name.len() as u64);
        assert_eq!(all(&store, name).await.unwrap(), name.repeat(10));
        assert_eq!(names(&store, name, 10).await, [name]);
    }
    put(&store, "empty", "").await;
    assert_eq!(all(&store, "empty").await.unwrap(), "");
    assert_eq!(until_told(async || store.list("c", 9).await).await.unwrap(), [(key("c"), 10)]);
}

pub(crate) async fn a_range_is_got_exactly(store: impl Store) {
    let bytes = noise(100_000, 1);
    put(&store, "noise", bytes.clone()).await;
    let found = head(&store, "noise").await.unwrap();
    for range in [0..1, 99_999..100_000, 0..100_000, 4_096..70_001, 5..5] {
        let got = until_told(async || store.get(&key("noise"), range.clone(), &found).await).await.unwrap();
        assert_eq!(got, bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    // It promises exactly these bytes, and says so where there are fewer.
    let got = store.get(&key("noise"), 99_990..100_010, &found).await;
    assert!(got.is_err(), "{got:?}");
}

pub(crate) async fn what_is_put_again_has_another_version_and_the_old_is_not_got(store: impl Store) {
    put(&store, "a", "the first").await;
    let first = head(&store, "a").await.unwrap();
    put(&store, "a", "a second").await;
    let second = head(&store, "a").await.unwrap();
    assert_ne!(first.version, second.version);
    assert_eq!(all(&store, "a").await.unwrap(), "a second");
    let old = until_told(async || store.get(&key("a"), 0..5, &first).await).await;
    assert!(matches!(old, Err(Error::Changed)), "{old:?}");
    until_told(async || store.delete(&[key("a")]).await).await.unwrap();
    let gone = until_told(async || store.get(&key("a"), 0..5, &second).await).await;
    assert!(matches!(gone, Err(Error::Changed)), "{gone:?}");
}

pub(crate) async fn a_file_is_put_as_it_is_also_in_parts(store: impl Store) {
    let folder = tempfile::tempdir().unwrap();
    for (name, length) in [("small", 1_000), ("in parts", 41 << 20)] {
        let (path, bytes) = (folder.path().join(name), noise(length, 3));
        std::fs::write(&path, &bytes).unwrap();
        let body = Body::File(path);
        until_told(async || store.put(&key(name), &body, About::default()).await).await.unwrap();
        assert!(all(&store, name).await.unwrap() == bytes, "{name}");
    }
    let missing = Body::File(folder.path().join("nothing"));
    let put = until_told(async || store.put(&key("x"), &missing, About::default()).await).await;
    assert!(matches!(put, Err(Error::File { .. })), "{put:?}");
    assert_eq!(head(&store, "x").await, None);
}

pub(crate) async fn names_are_listed_by_what_they_begin_with_in_order_and_no_more_than_asked_for(store: impl Store) {
    for name in ["b/2", "a/1", "b/10", "b/1/x", "bc", "b.m3u8"] {
        put(&store, name, "x").await;
    }
    assert_eq!(names(&store, "b/", 10).await, ["b/1/x", "b/10", "b/2"]);
    assert_eq!(names(&store, "b", 10).await, ["b.m3u8", "b/1/x", "b/10", "b/2", "bc"]);
    assert_eq!(names(&store, "b/1", 10).await, ["b/1/x", "b/10"]);
    assert_eq!(names(&store, "", 2).await, ["a/1", "b.m3u8"]);
    assert_eq!(names(&store, "nothing/", 10).await, [""; 0]);
}

pub(crate) async fn more_objects_are_listed_than_fit_on_a_page(store: impl Store) {
    let wanted: Vec<String> = (0..1_003).map(|number| format!("many/{number:05}")).collect();
    for some in wanted.chunks(32) {
        futures_util::future::join_all(some.iter().map(|name| put(&store, name, "x"))).await;
    }
    assert_eq!(names(&store, "many/", usize::MAX).await, wanted);
    assert_eq!(names(&store, "many/", 1_001).await, wanted[..1_001]);
}

pub(crate) async fn what_is_deleted_is_gone_and_deleting_it_again_is_no_error(store: impl Store) {
    let wanted: Vec<String> = (0..40).map(|number| format!("d/{number:02}")).collect();
    for name in &wanted {
        put(&store, name, "x").await;
    }
    let keys: Vec<Key> = wanted[..39].iter().map(|name| key(name)).collect();
    for _ in 0..2 {
        until_told(async || store.delete(&keys).await).await.unwrap();
        assert_eq!(names(&store, "", 100).await, wanted[39..]);
    }
    until_told(async || store.delete(&[]).await).await.unwrap();
}

pub(crate) async fn what_many_put_at_the_same_time_is_one_of_their_bodies(store: impl Store) {
    let bodies: Vec<Vec<u8>> = (0..8).map(|seed| noise(300_000, seed)).collect();
    let puts = bodies.iter().map(|body| put(&store, "contended", body.clone()));
    futures_util::future::join_all(puts).await;
    let there = all(&store, "contended").await.unwrap();
    assert!(bodies.iter().any(|body| **body == there[..]));
    assert_eq!(names(&store, "", 10).await, ["contended"]);
}

pub(crate) async fn several_become_one_in_their_order_and_stay(store: impl Store) {
    let parts: Vec<Vec<u8>> =
        [5 << 20, 5 << 20, 77].into_iter().zip(1..).map(|(size, seed)| noise(size, seed)).collect();
    let keys: Vec<Key> = (0..3).map(|number| key(&format!("parts of ü/{number}"))).collect();
    for (key, part) in keys.iter().zip(&parts) {
        put(&store, key.as_str(), part.clone()).await;
    }
    until_told(async || store.join(&keys, &key("whole"), About::default()).await).await.unwrap();
    assert!(all(&store, "whole").await.unwrap() == parts.concat());
    assert_eq!(names(&store, "parts of ü/", 10).await.len(), 3);
    until_told(async || store.join(&keys[2..], &key("one"), About::default()).await).await.unwrap();
    assert!(all(&store, "one").await.unwrap() == parts[2]);
    let missing = [keys[0].clone(), key("nothing")];
    let joined = until_told(async || store.join(&missing, &key("half"), About::default()).await).await;
    assert!(matches!(joined, Err(Error::Changed)), "{joined:?}");
    assert_eq!(head(&store, "half").await, None);
}
