//! Who somebody is. Passwords, tokens and keys are checked here; what anybody may do is decided where it is done, by [`Caller`].

mod caller;
mod password;
mod secret;
mod shown;
mod token;

pub use caller::{Caller, Listens, Person, Reads, Role, Scope, Writes};
pub use password::Hasher;
pub use secret::{ApiSecret, RefreshSecret, SecretHash};
pub(crate) use shown::{PROTOCOL, asks_for_websocket};
pub use token::{Claims, KeySet, KeyTrouble, Tokens};
