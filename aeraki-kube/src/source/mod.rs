//! Where objects come from; each source yields a [`World`](crate::World) whenever they change.

#[cfg(feature = "files")]
pub mod files;
