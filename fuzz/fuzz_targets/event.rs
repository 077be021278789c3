#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    clipbell_parser_tests::event(input);
});
