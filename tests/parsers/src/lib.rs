//! What must hold of everything that reads bytes from outside, whatever the bytes are.
//!
//! Each check takes one input, reads it as the product does, and panics when a rule is broken: when the parser and an
//! independent reading of the same rules disagree, when a limit is passed, when what was read and written again reads
//! differently. Three drive these checks:
//!
//! - `tests/corpus.rs` with the inputs that are kept in `fuzz/corpus`;
//! - `tests/properties.rs` with generated ones, and with kept ones that were damaged;
//! - `fuzz/fuzz_targets` with whatever libFuzzer makes of the kept ones (`make fuzz`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod event;
mod generate;
mod message;
mod mp4;
mod verifier;
mod video;

pub use event::event;
pub use generate::generate;
pub use message::message;
pub use mp4::mp4;
pub use verifier::verifier;
pub use video::video;

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The parser took it.
    Taken,
    /// The parser refused it with an error.
    Refused,
}

/// Reads one input.
///
/// # Panics
/// When a rule is broken.
pub type Check = fn(&[u8]) -> Verdict;

/// Every check, with the name of its fuzz target and of its folder in `fuzz/corpus`.
pub const CHECKS: [(&str, Check); 6] = [
    ("verifier", verifier),
    ("event", event),
    ("generate", generate),
    ("message", message),
    ("video", video),
    ("mp4", mp4),
];

/// Whether it is `snake_case`, as every code that a program may rely on.
fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
