//! H1 writes this.
