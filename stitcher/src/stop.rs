//! Whether an output is still wanted while it is proven and packaged.

use std::fmt;

use crate::Error;

/// Asked between one segment, file or sample and the next.
#[derive(Clone, Copy)]
pub(crate) struct Stop<'a>(pub(crate) &'a dyn Fn() -> bool);

impl Stop<'_> {
    /// # Errors
    /// [`Error::Cancelled`] once the output is not wanted any more.
    pub(crate) fn check(self) -> Result<(), Error> {
        if (self.0)() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl fmt::Debug for Stop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&(self.0)()).finish()
    }
}
