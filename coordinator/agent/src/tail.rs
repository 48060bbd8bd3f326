//! The last output of a process, for the record of its end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

pub(crate) use playgate_agent_core::OutputTail;
use playgate_protocol::limits::OUTPUT_TAIL_BYTES_MAX;

/// At most 2 KiB from the end of the log, on one line; empty when there is nothing to read.
pub(crate) fn output_tail(log: &Path) -> OutputTail {
    read_end(log).map(|bytes| clean(&bytes)).unwrap_or_default()
}

fn read_end(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(OUTPUT_TAIL_BYTES_MAX as u64)))?;
    let mut bytes = Vec::with_capacity(OUTPUT_TAIL_BYTES_MAX);
    file.take(OUTPUT_TAIL_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Valid text without control characters. Of a character that the beginning cuts in two, nothing is left.
pub(crate) fn clean(bytes: &[u8]) -> OutputTail {
    let cut = if bytes.len() < OUTPUT_TAIL_BYTES_MAX {
        0
    } else {
        bytes.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count()
    };
    let text = String::from_utf8_lossy(&bytes[cut..]);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    // Replacement characters are longer than what they replace; the end matters more than the beginning.
    let from = text.ceil_char_boundary(text.len().saturating_sub(OUTPUT_TAIL_BYTES_MAX));
    OutputTail::lossy(&text[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(content: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        output_tail(file.path()).as_str().to_owned()
    }

    #[test]
    fn the_end_of_the_output_is_kept_as_text() {
        for (content, expected) in [
            (b"".to_vec(), String::new()),
            (b"panicked at main.rs\n".to_vec(), "panicked at main.rs".to_owned()),
            (b"a\nb\x1b[31mc\0".to_vec(), "a b [31mc".to_owned()),
            (b"x\xff\xfey".to_vec(), "x\u{fffd}\u{fffd}y".to_owned()),
            (format!("{}end", "x".repeat(5_000)).into_bytes(), format!("{}end", "x".repeat(2_045))),
            // 2,048 bytes from the end is the second byte of a character.
            (format!("{}e", "\u{e9}".repeat(3_000)).into_bytes(), format!("{}e", "\u{e9}".repeat(1_023))),
            ([vec![0xff; 4_000], b"end".to_vec()].concat(), format!("{}end", "\u{fffd}".repeat(681))),
        ] {
            let shown = tail(&content);
            assert_eq!(shown, expected);
            assert!(shown.len() <= OUTPUT_TAIL_BYTES_MAX);
        }
        assert!(output_tail(Path::new("/nowhere/log")).is_empty());
    }
}
