//! The provider's file.

use advance::mp4::{Boxes, InvalidMp4};

use crate::Verdict;

/// Reads a file, cut into pieces of several sizes: all say the same, and what the rules say over the whole.
pub fn mp4(input: &[u8]) -> Verdict {
    let whole = read(input);
    for piece in [1, 7, 8, 4096] {
        let mut boxes = Boxes::default();
        let read = input.chunks(piece).try_for_each(|bytes| boxes.read(bytes)).and_then(|()| boxes.finish());
        assert_eq!(read, whole.map(drop), "in pieces of {piece}");
    }
    let Ok(end) = whole else { return Verdict::Refused };
    // A last box of a stated size that lacks a byte is seen to be cut off.
    if let (End::Stated, Some((_, cut))) = (end, input.split_last()) {
        let mut boxes = Boxes::default();
        assert_eq!(boxes.read(cut).and_then(|()| boxes.finish()), Err(InvalidMp4::CutOff));
    }
    Verdict::Taken
}

/// How a file's end is known.
#[derive(Clone, Copy)]
enum End {
    /// The last box states its size.
    Stated,
    /// The last box goes on to the end, wherever that is.
    Open,
}

/// The rules once more, over a whole file.
fn read(file: &[u8]) -> Result<End, InvalidMp4> {
    let mut rest = file;
    let (mut end, mut has_moov, mut has_mdat) = (End::Stated, false, false);
    if rest.is_empty() {
        return Err(InvalidMp4::Empty);
    }
    while !rest.is_empty() {
        let Some((head, after)) = rest.split_first_chunk::<8>() else { return Err(InvalidMp4::CutOff) };
        let [s0, s1, s2, s3, kind @ ..] = *head;
        if rest.len() == file.len() && kind != *b"ftyp" {
            return Err(InvalidMp4::NotMp4);
        }
        let (header, size) = match u32::from_be_bytes([s0, s1, s2, s3]) {
            0 => {
                end = End::Open;
                (8, rest.len() as u64)
            }
            1 => match after.first_chunk::<8>() {
                Some(large) => (16, u64::from_be_bytes(*large)),
                None => return Err(InvalidMp4::CutOff),
            },
            size => (8, u64::from(size)),
        };
        if size < header {
            return Err(InvalidMp4::BadBox);
        }
        has_moov |= kind == *b"moov";
        has_mdat |= kind == *b"mdat" && size > header;
        let Some(next) = usize::try_from(size).ok().and_then(|size| rest.get(size..)) else {
            return Err(InvalidMp4::CutOff);
        };
        rest = next;
    }
    if has_moov && has_mdat { Ok(end) } else { Err(InvalidMp4::NoVideo) }
}
