//! Bytes that are no message: refused, never a panic, and never read as something that is written otherwise.

use playgate_protocol::frame::FrameError;
use playgate_protocol::limits::FRAME_BYTES_MAX;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::samples;

#[test]
fn a_cut_message_is_refused_at_every_length() {
    for sample in samples::frames() {
        for len in 0..sample.bytes.len() {
            assert!((sample.read)(&sample.bytes[..len]).is_err(), "{} cut to {len} bytes", sample.name);
        }
    }
}

#[test]
fn a_message_with_bytes_behind_it_is_refused() {
    for sample in samples::frames() {
        let longer = [sample.bytes.as_slice(), &[0]].concat();
        assert_eq!((sample.read)(&longer), Err(FrameError::TrailingBytes), "{}", sample.name);
    }
}

/// What a later version adds at the end of an enum is unknown here, and nothing else.
#[test]
fn an_unknown_variant_is_refused() {
    // The last variant, and where its discriminant is: at the front, or behind the request's number of two bytes and
    // the tag of the result.
    for (last_known, at) in [
        ("ServerUp/Beat", 0),
        ("ServerDown/PlayerAt", 0),
        ("AgentUp/Beat", 0),
        ("AgentDown/Clock", 0),
        ("RelayUp/Players", 0),
        ("RelayDown/Clock", 0),
        ("BackendCall/RevokePlayerSession", 2),
        ("OperatorCall/RotateRelaySecret", 2),
        ("Answer/Relays", 3),
        ("ErrorCode/StoreFull", 3),
        ("EventKind/RelaySecretRotated", 0),
        ("ProcessEnd/Lost", 0),
    ] {
        let samples = samples::all();
        let sample = samples.iter().find(|sample| sample.name.ends_with(last_known)).unwrap();
        assert_eq!((sample.read)(&sample.bytes), Ok(()), "{last_known}");
        let mut bytes = sample.bytes.clone();
        bytes[at] += 1;
        assert_eq!((sample.read)(&bytes), Err(FrameError::Malformed), "{last_known}");
    }
}

#[derive(Debug, Clone)]
enum Damage {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    /// A length or number that means something to the decoder.
    Huge(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0..512_usize;
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        at.clone().prop_map(Damage::Remove),
        at.prop_map(Damage::Huge),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match *damage {
        Damage::Set(at, byte) => bytes[at % len] = byte,
        Damage::Insert(at, byte) => bytes.insert(at % len, byte),
        Damage::Remove(at) => {
            bytes.remove(at % len);
        }
        Damage::Huge(at) => {
            bytes.splice(at % len..at % len, [0xff, 0xff, 0xff, 0xff, 0x0f]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// `read` itself checks that what was read is written and read again as the same.
    #[test]
    fn damaged_messages_do_no_harm(damages in vec(damage(), 1..6)) {
        for sample in samples::frames() {
            let mut bytes = sample.bytes;
            for damage in &damages {
                apply(&mut bytes, damage);
                let _ = (sample.read)(&bytes);
            }
        }
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..400)) {
        for sample in samples::frames() {
            let _ = (sample.read)(&bytes);
        }
    }
}

/// One byte over and over reaches as deep as bytes can.
#[test]
fn a_full_frame_of_one_byte_does_no_harm() {
    // One reader of each type is enough: the first of each kind of frame.
    let mut seen = std::collections::BTreeSet::new();
    let frames = samples::frames();
    let first = frames.iter().filter(|sample| seen.insert(sample.name.split('/').next().unwrap().to_owned()));
    for sample in first {
        for byte in 0..=255 {
            let _ = (sample.read)(&vec![byte; FRAME_BYTES_MAX]);
        }
    }
    assert_eq!(seen.len(), 11);
}
