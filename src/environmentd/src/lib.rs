//! environmentd
