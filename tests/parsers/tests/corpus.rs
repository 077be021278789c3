//! Replays the kept inputs of `make fuzz`, and those that are written by hand.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use clipbell_parser_tests::{CHECKS, Verdict};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Files by name, `taken-…` and `refused-…` being written by hand, the others found.
fn kept(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(name);
    let mut kept: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    kept.sort();
    kept
}

#[test]
fn every_kept_input_keeps_the_rules() {
    for (name, check) in CHECKS {
        let kept = kept(name);
        for (file, input) in &kept {
            // Printed only when the check fails, and then it says at which file.
            println!("fuzz/corpus/{name}/{file}");
            let verdict = check(input);
            for (prefix, expected) in [("taken-", Verdict::Taken), ("refused-", Verdict::Refused)] {
                assert!(!file.starts_with(prefix) || verdict == expected, "fuzz/corpus/{name}/{file} was {verdict:?}");
            }
        }
        let by_hand = kept.iter().filter(|(file, _)| file.starts_with("taken-")).count();
        assert!(by_hand > 0 && by_hand < kept.len(), "{name}: {by_hand} by hand of {}", kept.len());
    }
}

#[test]
fn every_check_has_its_fuzz_target() {
    let mut targets: Vec<_> = fs::read_dir(fuzz().join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    targets.sort();
    let mut names = CHECKS.map(|(name, _)| name.to_owned());
    names.sort();
    assert_eq!(targets, names);
}

#[test]
fn the_corpus_stays_small() {
    let sizes = CHECKS.map(|(name, _)| kept(name).iter().map(|(_, input)| input.len()).sum::<usize>());
    assert!(sizes.iter().sum::<usize>() < 500_000, "{sizes:?}");
}
