//! What every transfer has to do, whatever is between its ends.

use std::sync::Arc;

use bytes::Bytes;
use vtp_fleet::transfer::faulty::Faulty;
use vtp_fleet::transfer::local::Local;
use vtp_fleet::transfer::protocol::BLOCK;
use vtp_fleet::transfer::quic::Tuning;
use vtp_fleet::transfer::{Error, Landed, Spool as _, Transfer};

use crate::scene::{MOST, Scene, encoded, packets, persist, some_bytes, within};

#[tokio::test(flavor = "multi_thread")]
async fn in_one_process() {
    let scene = Scene::new();
    let transfer = Local::new(scene.shelf.clone(), scene.spool(), MOST);
    suite(&scene, transfer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_process_where_every_third_call_fails() {
    let scene = Scene::new();
    let transfer = Local::new(scene.shelf.clone(), scene.spool(), MOST);
    suite(&scene, Faulty::new(transfer, 33, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic() {
    let scene = Scene::new();
    let (origin, stitcher) = (scene.origin(Tuning::default()), scene.stitcher(Tuning::default()));
    let node = scene.node(origin.address().unwrap(), stitcher.address().unwrap(), Tuning::default());
    suite(&scene, node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic_where_every_third_call_fails() {
    let scene = Scene::new();
    let (origin, stitcher) = (scene.origin(Tuning::default()), scene.stitcher(Tuning::default()));
    let node = scene.node(origin.address().unwrap(), stitcher.address().unwrap(), Tuning::default());
    suite(&scene, Faulty::new(node, 33, 2)).await;
}

async fn suite(scene: &Scene, transfer: impl Transfer) {
    let transfer = Arc::new(transfer);
    within(60, objects_of_every_size_arrive(scene, &*transfer)).await;
    within(60, what_is_there_stays_as_it_is(scene, &*transfer)).await;
    within(60, what_can_t_be_is_refused(scene, &*transfer)).await;
    within(60, drafts_are_gone_on_with(scene, &*transfer)).await;
    within(60, sixty_four_at_once(scene, transfer)).await;
}

fn landed(object: &Bytes) -> Landed {
    Landed { length: object.len() as u64, root: *blake3::hash(object).as_bytes() }
}

async fn objects_of_every_size_arrive(scene: &Scene, transfer: &impl Transfer) {
    let sizes = [0, 1, 1023, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 77];
    for (size, chunk) in sizes.into_iter().zip(0..) {
        let object = some_bytes(size, chunk.into());
        scene.shelf.put(packets(chunk), object.clone());
        let place = scene.place(chunk);
        assert_eq!(persist(|| transfer.fetch(packets(chunk), &place)).await.unwrap(), landed(&object), "{size}");
        assert_eq!(std::fs::read(place).unwrap(), object);

        assert_eq!(persist(|| transfer.deliver(encoded(chunk), &object)).await.unwrap(), landed(&object), "{size}");
        assert_eq!(std::fs::read(scene.spool().place(encoded(chunk)).unwrap()).unwrap(), object);
    }
}

async fn what_is_there_stays_as_it_is(scene: &Scene, transfer: &impl Transfer) {
    let (object, other) = (some_bytes(2 * BLOCK + 9, 1), some_bytes(2 * BLOCK + 9, 2));
    scene.shelf.put(packets(100), object.clone());
    let place = scene.place(100);
    for _ in 0..3 {
        let fetched = persist(|| transfer.fetch(packets(100), &place)).await.unwrap();
        assert_eq!(fetched, landed(&object));
        let delivered = persist(|| transfer.deliver(encoded(100), &object)).await.unwrap();
        assert_eq!(delivered, landed(&object));
    }
    let conflict = persist(|| transfer.deliver(encoded(100), &other)).await;
    assert!(matches!(conflict, Err(Error::Conflict(id)) if id == encoded(100)), "{conflict:?}");
    let place = scene.spool().place(encoded(100)).unwrap();
    assert_eq!(std::fs::read(&place).unwrap(), object);
    let left = std::fs::read_dir(place.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    let drafts: Vec<_> = left.filter(|name| name.as_encoded_bytes().starts_with(b".")).collect();
    assert!(drafts.is_empty(), "{drafts:?} are left");
}

async fn what_can_t_be_is_refused(scene: &Scene, transfer: &impl Transfer) {
    let place = scene.place(200);
    let missing = persist(|| transfer.fetch(packets(200), &place)).await;
    assert!(matches!(missing, Err(Error::NotFound(id)) if id == packets(200)), "{missing:?}");
    assert!(!place.exists());

    let object = some_bytes(10, 1);
    let misplaced = persist(|| transfer.deliver(packets(200), &object)).await;
    assert!(matches!(misplaced, Err(Error::Forbidden(_))), "{misplaced:?}");

    let huge = some_bytes(MOST + 1, 1);
    scene.shelf.put(packets(201), huge.clone());
    let too_large = persist(|| transfer.fetch(packets(201), &place)).await;
    assert!(matches!(too_large, Err(Error::TooLarge { length, most: MOST }) if length == MOST + 1), "{too_large:?}");
    let too_large = persist(|| transfer.deliver(encoded(201), &huge)).await;
    assert!(matches!(too_large, Err(Error::TooLarge { length, most: MOST }) if length == MOST + 1), "{too_large:?}");
}

async fn drafts_are_gone_on_with(scene: &Scene, transfer: &impl Transfer) {
    let object = some_bytes(6 * BLOCK + 1, 3);
    let good = object[..3 * BLOCK as usize + 500].to_vec();
    let mut rotten = good.clone();
    rotten[BLOCK as usize + 3] ^= 0x10;
    let long = [&object[..], &[7; 3 * BLOCK as usize]].concat();
    for (draft, chunk) in [good, rotten, long, object.to_vec(), Vec::new()].into_iter().zip(300..) {
        scene.shelf.put(packets(chunk), object.clone());
        let (place, spooled) = (scene.place(chunk), scene.spool().place(encoded(chunk)).unwrap());
        for place in [&place, &spooled] {
            let name = place.file_name().unwrap().to_str().unwrap();
            std::fs::write(place.with_file_name(format!(".{name}.part")), &draft).unwrap();
        }
        assert_eq!(persist(|| transfer.fetch(packets(chunk), &place)).await.unwrap(), landed(&object), "{chunk}");
        assert_eq!(persist(|| transfer.deliver(encoded(chunk), &object)).await.unwrap(), landed(&object), "{chunk}");
        assert_eq!(std::fs::read(place).unwrap(), object);
        assert_eq!(std::fs::read(spooled).unwrap(), object);
    }
}

async fn sixty_four_at_once<T: Transfer>(scene: &Scene, transfer: Arc<T>) {
    let mut tasks = Vec::new();
    for chunk in 400..464 {
        let object = some_bytes(u64::from(chunk) * 1500, chunk.into());
        scene.shelf.put(packets(chunk), object.clone());
        let (transfer, place) = (Arc::clone(&transfer), scene.place(chunk));
        tasks.push(tokio::spawn(async move {
            let fetched = persist(|| transfer.fetch(packets(chunk), &place)).await.unwrap();
            let delivered = persist(|| transfer.deliver(encoded(chunk), &object)).await.unwrap();
            assert_eq!((fetched, delivered), (landed(&object), landed(&object)));
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}
