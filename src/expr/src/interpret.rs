//! H2: the naive interpreter.
