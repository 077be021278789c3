//! Advance.
