//! Accounts of roles.
