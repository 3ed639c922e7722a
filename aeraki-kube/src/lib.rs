//! Part of the Aeraki workspace.
