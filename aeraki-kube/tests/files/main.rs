//! Reads the files that users write: those of the quickstart, and those of Aeraki's own samples.

mod quickstart;
mod upstream;
mod wire;
