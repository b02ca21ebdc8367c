//! Room in memory for the bytes of uploads that are on their way: so many on a replica, and of one user a part of it, so that nobody's
//! uploads keep others' from coming. Whoever finds none waits a little, and is told to come again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::ids::UserId;
use crate::problem::{Kind, Outcome, Problem};

/// How long somebody waits for room, usually.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many users fill all there is.
const USERS: u64 = 8;
/// Bytes that are counted as one.
const GRAIN: u64 = 1024;

/// Room in memory. Clones share it.
#[derive(Clone)]
pub(crate) struct UploadMemory(Arc<Shared>);

struct Shared {
    all: Arc<Semaphore>,
    most: u32,
    /// What a user may have, in grains.
    each: u32,
    users: Mutex<HashMap<UserId, Weak<Semaphore>>>,
    /// How long somebody waits for room.
    patience: Duration,
}

/// Room that somebody has until they let go of this.
pub(crate) struct Taken {
    _of_user: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl UploadMemory {
    /// Room for so many bytes, and for a part of so many at least, for each user, too.
    pub(crate) fn new(bytes: u64, part: u64) -> Self {
        Self::with_patience(bytes, part, PATIENCE)
    }

    fn with_patience(bytes: u64, part: u64, patience: Duration) -> Self {
        let most = grains(bytes).max(grains(part));
        let each = grains(bytes / USERS).max(grains(part));
        let all = Arc::new(Semaphore::new(most as usize));
        Self(Arc::new(Shared { all, most, each, users: Mutex::default(), patience }))
    }

    /// Takes room for so many bytes.
    ///
    /// # Errors
    /// There is none for this user, or for nobody.
    pub(crate) async fn take(&self, user: UserId, bytes: u64) -> Outcome<Taken> {
        let Shared { all, most, each, patience, .. } = &*self.0;
        let of_user = self.of(user).acquire_many_owned(grains(bytes).min(*each));
        let of_user = timeout(*patience, of_user).await.map_err(|_| {
            Problem::too_many(
                "as much of yours is on its way as may be at a time: send fewer parts at once".to_owned(),
                1,
            )
        })?;
        let of_all = Arc::clone(all).acquire_many_owned(grains(bytes).min(*most));
        let of_all = timeout(*patience, of_all).await;
        let of_all = of_all.map_err(|_| Problem::new(Kind::Unavailable, "too much is on its way for the moment"))?;
        // Nobody closes them.
        let closed = |error| Problem::internal(&error);
        Ok(Taken { _of_user: of_user.map_err(closed)?, _of_all: of_all.map_err(closed)? })
    }

    fn of(&self, user: UserId) -> Arc<Semaphore> {
        let mut users = self.0.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = users.get(&user).and_then(Weak::upgrade) {
            return there;
        }
        users.retain(|_, it| it.strong_count() > 0);
        let new = Arc::new(Semaphore::new(self.0.each as usize));
        users.insert(user, Arc::downgrade(&new));
        new
    }
}

fn grains(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(GRAIN)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn one_user_has_a_part_of_the_room_and_all_have_no_more_than_there_is() {
        let memory = UploadMemory::with_patience(16 * GRAIN, GRAIN, MOMENT);
        let (ann, users): (UserId, Vec<UserId>) = (UserId::new(), (0..8).map(|_| UserId::new()).collect());
        let first = memory.take(ann, 2 * GRAIN).await.unwrap();
        assert_eq!(memory.take(ann, 1).await.err().unwrap().status(), 429);
        let mut others = Vec::new();
        for user in &users[..7] {
            others.push(memory.take(*user, 2 * GRAIN).await.unwrap());
        }
        assert_eq!(memory.take(users[7], 1).await.err().unwrap().status(), 503);
        drop(first);
        memory.take(users[7], 2 * GRAIN).await.unwrap();
        drop(others);
        memory.take(ann, 1 << 40).await.unwrap();
        assert_eq!(memory.0.users.lock().unwrap().values().filter(|it| it.strong_count() > 0).count(), 0);
    }

    #[tokio::test]
    async fn a_part_finds_room_however_little_there_is() {
        UploadMemory::new(1, 100 * GRAIN).take(UserId::new(), 100 * GRAIN).await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_a_little_gets_what_others_let_go_of() {
        let memory = UploadMemory::new(8 * GRAIN, GRAIN);
        let user = UserId::new();
        let first = memory.take(user, GRAIN).await.unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(MOMENT).await;
            drop(first);
        });
        memory.take(user, GRAIN).await.unwrap();
    }
}
