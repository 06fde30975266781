//! clusterd
