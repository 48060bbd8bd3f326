//! The file by which a server process proves which process it is.
//!
//! One line without a line end: `pgcred1/<process id>/<secret>`, the id in its text form (`sp-…`), the 32 bytes of the
//! secret as 52 characters of lower-case unpadded base32. Only the user of the agent can read it, and it is removed
//! when the process ends.

use playgate_protocol::{Fingerprint, Secret32, ServerProcessId};

/// The content of the file. It is a secret.
#[must_use]
pub fn credential_text(process: ServerProcessId, secret: &Secret32) -> String {
    // A fingerprint's text is the base32 of its 32 bytes, the same alphabet as everywhere on this system.
    format!("pgcred1/{process}/{}", Fingerprint::from_bytes(*secret.reveal()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_fixed() {
        let process = ServerProcessId::from_bytes([0; 16]);
        let text = credential_text(process, &Secret32::from_bytes([0xff; 32]));
        let expected = format!("pgcred1/sp-{}/{}q", "a".repeat(26), "7".repeat(51));
        assert_eq!(text, expected);
    }
}
