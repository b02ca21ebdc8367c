//! One object ahead of its use.

use std::sync::Arc;
use std::time::Duration;

use vtp_fleet::transfer::Error;
use vtp_fleet::transfer::ahead::Ahead;
use vtp_fleet::transfer::local::Local;
use vtp_fleet::transfer::protocol::BLOCK;

use crate::scene::{MOST, Scene, packets, some_bytes, within};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_is_there_when_it_is_taken() {
    let scene = Scene::new();
    for chunk in 0..3 {
        scene.shelf.put(packets(chunk), some_bytes(2 * BLOCK, chunk.into()));
    }
    let mut ahead = Ahead::new(Arc::new(Local::new(scene.shelf.clone(), scene.spool(), MOST)));
    for chunk in 0..3 {
        ahead.take(packets(chunk), &scene.place(chunk)).await.unwrap();
        ahead.begin(packets(chunk + 1), &scene.place(chunk + 1));
        // Twice the same is begun once.
        ahead.begin(packets(chunk + 1), &scene.place(chunk + 1));
        if chunk < 2 {
            let there = async {
                while !scene.place(chunk + 1).exists() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            within(20, there).await;
        }
    }
    assert_eq!(scene.shelf.read(), 3 * 2 * BLOCK);
    let missing = ahead.take(packets(3), &scene.place(3)).await;
    assert!(matches!(missing, Err(Error::NotFound(id)) if id == packets(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_than_the_one_that_was_begun_is_fetched_beside_it() {
    let scene = Scene::new();
    for chunk in 0..2 {
        scene.shelf.put(packets(chunk), some_bytes(2 * BLOCK, chunk.into()));
    }
    let mut ahead = Ahead::new(Arc::new(Local::new(scene.shelf.clone(), scene.spool(), MOST)));
    ahead.begin(packets(0), &scene.place(0));
    ahead.take(packets(1), &scene.place(1)).await.unwrap();
    ahead.take(packets(0), &scene.place(0)).await.unwrap();
    assert_eq!(scene.shelf.read(), 2 * 2 * BLOCK);
}
