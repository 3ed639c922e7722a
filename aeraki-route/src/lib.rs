//! What configuration means: plain types for listeners, clusters and routes, and their checks.

pub mod config;
