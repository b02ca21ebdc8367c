//! What a replica knows to be used up, so that a flood costs the database nothing. It never lets anybody through, and never refuses
//! longer than the database would: what it holds of a quota was true, and only more can have been used since.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use super::gcra::Micros;

/// How many are known at most; of more the database is asked.
const MOST: usize = 20_000;

/// Something that is known until some time, by a key.
pub(super) struct Memory<K, V> {
    known: HashMap<K, (V, Micros)>,
}

impl<K: Eq + Hash, V: Copy> Memory<K, V> {
    pub(super) fn new() -> Self {
        Self { known: HashMap::new() }
    }

    /// What is known of this key `now`.
    pub(super) fn of<Q>(&self, key: &Q, now: Micros) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.known.get(key).filter(|(_, until)| now < *until).map(|(value, _)| *value)
    }

    /// Knows this from `now` until then. Where too much is known already, and none of it is past, it does not.
    pub(super) fn learn(&mut self, key: K, value: V, now: Micros, until: Micros) {
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            self.known.retain(|_, (_, until)| now < *until);
            if self.known.len() >= MOST {
                return;
            }
        }
        self.known.insert(key, (value, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_forgotten_when_its_time_has_come_and_there_is_an_end_to_it() {
        let mut memory = Memory::new();
        memory.learn("a".to_owned(), 1, 0, 10);
        assert_eq!([memory.of("a", 9), memory.of("a", 10), memory.of("b", 0)], [Some(1), None, None]);
        for number in 0..2 * MOST {
            memory.learn(number.to_string(), 1, 5, 20);
        }
        assert_eq!(memory.known.len(), MOST);
        memory.learn("late".to_owned(), 2, 20, 30);
        assert_eq!((memory.of("late", 25), memory.known.len()), (Some(2), 1));
    }
}
