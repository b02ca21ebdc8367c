//! How a job ends.

use serde_json::Value;

use crate::db::outputs::NewOutput;
use crate::estimate::Effort;

/// How a job has ended.
#[derive(Clone, PartialEq, Debug)]
pub enum End {
    /// The ladder is there.
    Completed {
        /// Its report.
        report: Value,
        /// What was made.
        outputs: Vec<NewOutput>,
        /// Bytes of it.
        bytes: i64,
        /// What it took, if that is known.
        effort: Option<Effort>,
    },
    /// It can't be made.
    Failed {
        /// A number of the API.
        code: Option<u16>,
        /// What is wrong and what to do.
        message: String,
    },
    /// It was not wanted any longer.
    Cancelled,
}
