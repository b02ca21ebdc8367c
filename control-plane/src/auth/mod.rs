//! Who somebody is. Passwords, tokens and keys are checked here; what anybody may do is decided where it is done, by [`Caller`].

mod caller;
mod password;
mod secret;
mod token;

pub use caller::{Caller, Reads, Role, Scope, Writes};
pub use password::Hasher;
pub use secret::{ApiSecret, RefreshSecret, SecretHash};
pub use token::{Claims, KeySet, KeyTrouble, Tokens};
