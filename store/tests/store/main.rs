//! What every store does, on each of them: a folder, a server of S3's protocol, and both spoilt.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod s3;
mod suite;

use vtp_store::testing::S3Server;
use vtp_store::{AnyStore, Directory, Faults, Faulty, S3};

/// The suite's tests, on a store that `$store` makes in a folder.
macro_rules! suite {
    ($name:ident, $store:expr, $($test:ident),+ $(,)?) => {
        mod $name {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let folder = tempfile::tempdir().unwrap();
                    let (store, _alive) = $store(folder.path()).await;
                    suite::$test(store).await;
                }
            )+
        }
    };
}

macro_rules! on_each {
    ($($test:ident),+ $(,)?) => {
        suite!(directory, folder, $($test),+);
        suite!(s3_protocol, bucket, $($test),+);
        suite!(spoilt_folder, spoilt, $($test),+);
        suite!(below_a_prefix, prefixed, $($test),+);
    };
}

on_each!(
    what_was_put_is_found_got_and_listed,
    a_range_is_got_exactly,
    what_is_put_again_has_another_version_and_the_old_is_not_got,
    a_file_is_put_as_it_is_also_in_parts,
    names_are_listed_by_what_they_begin_with_in_order_and_no_more_than_asked_for,
    more_objects_are_listed_than_fit_on_a_page,
    what_is_deleted_is_gone_and_deleting_it_again_is_no_error,
    what_many_put_at_the_same_time_is_one_of_their_bodies,
    several_become_one_in_their_order_and_stay,
);

async fn folder(path: &std::path::Path) -> (Directory, ()) {
    (Directory::open(path).unwrap(), ())
}

async fn bucket(path: &std::path::Path) -> (S3, S3Server) {
    std::fs::create_dir(path.join("films")).unwrap();
    let server = S3Server::start(path).unwrap();
    (S3::bucket(server.client(), "films"), server)
}

async fn prefixed(path: &std::path::Path) -> (AnyStore, S3Server) {
    let (bucket, server) = bucket(path).await;
    (AnyStore::S3(bucket, "s3://films/some/where/".parse().unwrap()), server)
}

/// One that fails often; the suite asks again, as whoever uses a store does.
async fn spoilt(path: &std::path::Path) -> (Faulty<Directory>, ()) {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let faults = Faults { before: 0.2, after: 0.2 };
    (Faulty::new(Directory::open(path).unwrap(), faults, seed), ())
}
