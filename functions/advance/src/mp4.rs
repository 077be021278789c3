//! Whether a stream of bytes is a whole MP4 file.
//!
//! An MP4 (ISO/IEC 14496-12, section 4.2) is a sequence of boxes, each of which begins with its size and its type. A file
//! that was cut off ends inside a box, whatever its `Content-Length` said; another kind of file does not begin with
//! `ftyp`.

/// What came is not a whole MP4 file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMp4 {
    /// No bytes.
    #[error("the file is empty")]
    Empty,
    /// Some other kind of file.
    #[error("the file does not begin as an MP4 does")]
    NotMp4,
    /// A box says that it is smaller than its own header.
    #[error("the file has a box of an impossible size")]
    BadBox,
    /// It ends inside a box.
    #[error("the file is cut off")]
    CutOff,
    /// It has no `moov`, or no media in an `mdat`.
    #[error("the file holds no video")]
    NoVideo,
}

/// Reads the boxes at the top of a file, piece by piece, in constant memory.
#[derive(Debug, Default)]
pub struct Boxes {
    header: Vec<u8>,
    inside: Inside,
    any: bool,
    has_moov: bool,
    has_mdat: bool,
}

#[derive(Debug, Default)]
enum Inside {
    /// A box's header.
    #[default]
    Header,
    /// A box that has this much left.
    Body(u64),
    /// The last box, which goes on to the end of the file.
    LastBody { is_mdat: bool },
}

impl Boxes {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When it is certain that this is no MP4.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<(), InvalidMp4> {
        while !bytes.is_empty() {
            match &mut self.inside {
                Inside::LastBody { is_mdat } => {
                    self.has_mdat |= *is_mdat;
                    return Ok(());
                }
                Inside::Body(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(taken..).unwrap_or_default();
                    *left -= taken as u64;
                    if *left == 0 {
                        self.inside = Inside::Header;
                    }
                }
                Inside::Header => {
                    let (first, rest) = bytes.split_at(1);
                    self.header.extend_from_slice(first);
                    bytes = rest;
                    self.read_header()?;
                }
            }
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When what came is not a whole MP4.
    pub fn finish(self) -> Result<(), InvalidMp4> {
        match self.inside {
            _ if !self.any && self.header.is_empty() => Err(InvalidMp4::Empty),
            Inside::Header if !self.header.is_empty() => Err(InvalidMp4::CutOff),
            Inside::Body(_) => Err(InvalidMp4::CutOff),
            _ if self.has_moov && self.has_mdat => Ok(()),
            _ => Err(InvalidMp4::NoVideo),
        }
    }

    /// `size: u32, type: [u8; 4]`, and `u64` in addition where the size is 1. A size of 0 means: to the end of the file.
    fn read_header(&mut self) -> Result<(), InvalidMp4> {
        let Some((size, rest)) = self.header.split_first_chunk::<4>() else { return Ok(()) };
        let Some((&kind, rest)) = rest.split_first_chunk::<4>() else { return Ok(()) };
        let size = u32::from_be_bytes(*size);
        if !self.any && kind != *b"ftyp" {
            return Err(InvalidMp4::NotMp4);
        }
        let body = match (size, <[u8; 8]>::try_from(rest)) {
            (0, _) => None,
            (1, Err(_)) => return Ok(()),
            (1, Ok(size)) => Some(u64::from_be_bytes(size).checked_sub(16).ok_or(InvalidMp4::BadBox)?),
            (size, _) => Some(u64::from(size).checked_sub(8).ok_or(InvalidMp4::BadBox)?),
        };
        self.any = true;
        self.has_moov |= kind == *b"moov";
        let is_mdat = kind == *b"mdat";
        self.has_mdat |= is_mdat && body.is_some_and(|left| left > 0);
        self.header.clear();
        self.inside = match body {
            None => Inside::LastBody { is_mdat },
            Some(0) => Inside::Header,
            Some(left) => Inside::Body(left),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_box(kind: &str, body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(8 + body.len()).unwrap();
        [&size.to_be_bytes(), kind.as_bytes(), body].concat()
    }

    fn large_box(kind: &str, body: &[u8]) -> Vec<u8> {
        let size = 16 + body.len() as u64;
        [&1_u32.to_be_bytes(), kind.as_bytes(), &size.to_be_bytes(), body].concat()
    }

    fn check(file: &[u8], piece: usize) -> Result<(), InvalidMp4> {
        let mut boxes = Boxes::default();
        file.chunks(piece).try_for_each(|bytes| boxes.read(bytes))?;
        boxes.finish()
    }

    fn whole() -> Vec<u8> {
        [a_box("ftyp", b"isom"), a_box("moov", &[1; 30]), a_box("free", &[]), large_box("mdat", &[2; 40])].concat()
    }

    #[test]
    fn a_whole_file_is_one_however_it_is_cut_into_pieces() {
        for piece in [1, 2, 7, 8, 9, 1000] {
            assert_eq!(check(&whole(), piece), Ok(()), "{piece}");
        }
        let to_the_end = [a_box("ftyp", b"isom"), a_box("moov", &[1]), [&[0; 4], &b"mdat12"[..]].concat()].concat();
        assert_eq!(check(&to_the_end, 3), Ok(()));
        assert_eq!(check(&to_the_end[..to_the_end.len() - 2], 3), Err(InvalidMp4::NoVideo));
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_none() {
        let whole = whole();
        for length in 0..whole.len() {
            assert!(check(&whole[..length], 5).is_err(), "{length}");
        }
    }

    #[test]
    fn other_files_are_none() {
        for (file, error) in [
            (&b""[..], InvalidMp4::Empty),
            (b"\x89PNG\r\n\x1a\n0000", InvalidMp4::NotMp4),
            (b"<html>not found</html>", InvalidMp4::NotMp4),
            (b"{}", InvalidMp4::CutOff),
            (b"\0\0\0\x04ftyp", InvalidMp4::BadBox),
            (b"\0\0\0\x01ftyp\0\0\0\0\0\0\0\x07", InvalidMp4::BadBox),
        ] {
            assert_eq!(check(file, 4), Err(error), "{file:?}");
        }
        assert_eq!(check(&a_box("ftyp", b"isom"), 4), Err(InvalidMp4::NoVideo));
        assert_eq!(check(&[a_box("ftyp", b"isom"), a_box("moov", &[1])].concat(), 4), Err(InvalidMp4::NoVideo));
        assert_eq!(
            check(&[a_box("ftyp", b"isom"), a_box("moov", &[1]), a_box("mdat", &[])].concat(), 4),
            Err(InvalidMp4::NoVideo)
        );
    }
}
