//! Which life of each process counts, where two say that they have one name: the one that came last, for good. Else each would take
//! the other for a former life of its own, time and again. Pure; the clock is a parameter.

use std::collections::{HashMap, VecDeque};

use vtp_engine::coordinator::Now;

use crate::messages::NodeId;

/// Lives of one name that are known to be over, at most.
const MOST_OVER: usize = 16;

/// The lives of all names; each has a number of its own.
#[derive(Debug)]
pub(super) struct Lives<S>(HashMap<NodeId, Life<S>>);

#[derive(Debug)]
struct Life<S> {
    current: S,
    /// Those whose place it, or one before it, has taken; the last one last.
    over: VecDeque<S>,
    heard: Now,
}

/// What a life is that says that it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Came<S> {
    /// The one that counts already.
    Known,
    /// It counts from now on, in the place of another one perhaps.
    New(Option<S>),
    /// Another has taken its place.
    Over,
}

impl<S> Default for Lives<S> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<S: Copy + PartialEq> Lives<S> {
    /// A life of this name says that it is there.
    pub(super) fn come(&mut self, name: &NodeId, session: S, now: Now) -> Came<S> {
        let Some(life) = self.0.get_mut(name) else {
            self.0.insert(name.clone(), Life { current: session, over: VecDeque::new(), heard: now });
            return Came::New(None);
        };
        life.heard = now;
        if life.current == session {
            return Came::Known;
        }
        if life.over.contains(&session) {
            return Came::Over;
        }
        let before = std::mem::replace(&mut life.current, session);
        life.over.push_back(before);
        if life.over.len() > MOST_OVER {
            life.over.pop_front();
        }
        Came::New(Some(before))
    }

    /// Whether another has taken the place of this life.
    pub(super) fn is_over(&self, name: &NodeId, session: S) -> bool {
        self.0.get(name).is_some_and(|life| life.over.contains(&session))
    }

    /// Forgets names of which no life has come since `before`, but for those that are to be kept.
    pub(super) fn forget(&mut self, before: Now, is_kept: impl Fn(&NodeId) -> bool) {
        self.0.retain(|name, life| life.heard >= before || is_kept(name));
    }
}

/// What a process is told whose place another has taken.
pub(super) fn sentence(name: &NodeId) -> String {
    format!("another process has its name, {name}: each needs a name of its own")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_life_whose_place_another_has_taken_does_not_come_back() {
        let (mut lives, name, now) = (Lives::default(), NodeId::new("a").expect("a name"), Now::default());
        assert_eq!(lives.come(&name, 1, now), Came::New(None));
        assert_eq!(lives.come(&name, 1, now), Came::Known);
        assert_eq!(lives.come(&name, 2, now), Came::New(Some(1)));
        assert_eq!(lives.come(&name, 1, now), Came::Over);
        assert!(lives.is_over(&name, 1) && !lives.is_over(&name, 2));
        assert_eq!(lives.come(&name, 2, now), Came::Known);
        for session in 3..100 {
            assert_eq!(lives.come(&name, session, now), Came::New(Some(session - 1)));
        }
        assert!(lives.is_over(&name, 98) && lives.0[&name].over.len() == MOST_OVER);
        lives.forget(Now(Duration::from_secs(1)), |it| *it == name);
        assert!(lives.is_over(&name, 98));
        lives.forget(Now(Duration::from_secs(1)), |_| false);
        assert!(lives.0.is_empty());
    }
}
