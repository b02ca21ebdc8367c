//! Lists in pages: the newest first, and a cursor that says where the next page begins.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::problem::{Kind, Outcome, Problem};

/// The most of a page.
const MOST: u32 = 100;

/// Which page.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = Uuid, required = false)]
    cursor: Option<Uuid>,
    /// How many at most, from 1 to 100.
    #[serde(default = "usual")]
    #[param(minimum = 1, maximum = 100, required = false)]
    limit: u32,
}

fn usual() -> u32 {
    20
}

impl Wanted {
    /// The number that all of it are below, and how many are asked for: one more than there are on it, which tells whether there is a next.
    ///
    /// # Errors
    /// [`Kind::Invalid`].
    pub(crate) fn read(&self) -> Outcome<(Uuid, i64)> {
        match self.limit {
            1..=MOST => Ok((self.cursor.unwrap_or(Uuid::max()), i64::from(self.limit) + 1)),
            _ => Err(Problem::new(Kind::Invalid, format!("limit: from 1 to {MOST}"))),
        }
    }

    /// The page, of what was found.
    pub(crate) fn page<T>(&self, mut found: Vec<T>, id: impl Fn(&T) -> Uuid) -> Page<T> {
        let most = self.limit as usize;
        let next = (found.len() > most).then(|| found.get(most - 1).map(id)).flatten();
        found.truncate(most);
        Page { data: found, next }
    }
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// What is on it, the newest first.
    data: Vec<T>,
    /// The cursor of the next page, if there is one.
    next: Option<Uuid>,
}
