//! Where objects lie: sources that are read by ranges, ladders that are published.
//!
//! [`Store`] is the trait; [`S3`] is any endpoint of that protocol, [`Directory`] a folder, [`Faulty`] spoils another's work by a
//! seed. All of them pass the tests in `tests/suite/`. [`Reader`] reads one object as if it were a file. Nothing here knows what
//! is in an object.

mod any;
mod directory;
mod error;
mod faulty;
mod location;
mod media_type;
mod reader;
mod s3;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(any(test, feature = "testing"))]
mod watched;

pub use any::AnyStore;
pub use aws_sdk_s3::Client;
pub use directory::Directory;
pub use error::Error;
pub use faulty::{Faults, Faulty};
pub use location::{Location, NoLocation};
pub use media_type::media_type;
pub use reader::{Attending, BLOCK, Reader};
pub use s3::S3;
pub use store::{About, Body, Found, Key, NoKey, Store, Version};
