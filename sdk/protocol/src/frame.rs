//! Control frames: a u32 little-endian payload length, then one postcard message and nothing behind it.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::limits::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES};

/// Why bytes are not a frame of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// Longer than [`FRAME_BYTES_MAX`]; found from the header alone.
    TooLarge,
    /// Not an encoding of the expected message.
    Malformed,
    /// A message, and bytes behind it.
    TrailingBytes,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "frame larger than 64 KiB",
            Self::Malformed => "frame is not a message of the expected kind",
            Self::TrailingBytes => "frame has bytes behind its message",
        })
    }
}

impl std::error::Error for FrameError {}

/// Appends header and payload of `message` to `out`; on an error `out` is as before.
///
/// # Errors
/// [`FrameError::TooLarge`] when the payload would exceed [`FRAME_BYTES_MAX`].
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    let written = postcard::to_extend(message, Appended(out)).map_err(|_| FrameError::Malformed).map(|_| ());
    let payload_bytes = out.len() - start - FRAME_HEADER_BYTES;
    let fits = if payload_bytes > FRAME_BYTES_MAX { Err(FrameError::TooLarge) } else { Ok(()) };
    if let Err(error) = written.and(fits) {
        out.truncate(start);
        return Err(error);
    }
    let header = u32::try_from(payload_bytes).expect("64 KiB fits a u32").to_le_bytes();
    out[start..start + FRAME_HEADER_BYTES].copy_from_slice(&header);
    Ok(())
}

/// A buffer that postcard extends without owning it, so that an error leaves what was in it.
struct Appended<'a>(&'a mut Vec<u8>);

impl Extend<u8> for Appended<'_> {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        self.0.extend(bytes);
    }
}

/// The payload length that a header announces.
///
/// # Errors
/// [`FrameError::TooLarge`] above [`FRAME_BYTES_MAX`], before anything is allocated for it.
pub fn payload_len(header: [u8; FRAME_HEADER_BYTES]) -> Result<usize, FrameError> {
    let announced = usize::try_from(u32::from_le_bytes(header)).map_err(|_| FrameError::TooLarge)?;
    if announced > FRAME_BYTES_MAX { Err(FrameError::TooLarge) } else { Ok(announced) }
}

/// Decodes one payload.
///
/// # Errors
/// [`FrameError::Malformed`] or [`FrameError::TrailingBytes`].
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(payload).map_err(|_| FrameError::Malformed)?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::TrailingBytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_length_and_exactly_one_message() {
        let mut out = vec![9];
        encode(&(7_u16, "abc"), &mut out).unwrap();
        assert_eq!(out, [9, 5, 0, 0, 0, 7, 3, b'a', b'b', b'c']);
        assert_eq!(decode::<(u16, String)>(&out[5..]), Ok((7, "abc".to_owned())));
        assert_eq!(decode::<u16>(&out[5..]), Err(FrameError::TrailingBytes));
        assert_eq!(decode::<(u16, String)>(&out[5..9]), Err(FrameError::Malformed));
    }

    #[test]
    fn an_oversized_frame_is_refused_from_its_header() {
        assert_eq!(payload_len([0, 0, 1, 0]), Ok(FRAME_BYTES_MAX));
        assert_eq!(payload_len([1, 0, 1, 0]), Err(FrameError::TooLarge));
        assert_eq!(payload_len([0xff; 4]), Err(FrameError::TooLarge));
        let mut out = vec![1, 2];
        assert_eq!(encode(&vec![0_u8; FRAME_BYTES_MAX], &mut out), Err(FrameError::TooLarge));
        assert_eq!(out, [1, 2]);
    }

    #[test]
    fn a_message_that_cannot_be_written_leaves_what_was_queued() {
        struct Unwritable;
        impl Serialize for Unwritable {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("never"))
            }
        }
        let mut out = vec![1, 2];
        assert_eq!(encode(&("half", Unwritable), &mut out), Err(FrameError::Malformed));
        assert_eq!(out, [1, 2]);
    }
}
