//! The rules against streams that are made for them.
