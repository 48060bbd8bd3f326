//! Ids: one text for each, sorted by time, 16 raw bytes on the wire.

use playgate_token::*;
use proptest::prelude::*;

#[test]
fn golden_texts() {
    for (bytes, text) in [
        ([0x00; 16], "gs-aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ([0xff; 16], "gs-77777777777777777777777774"),
        (core::array::from_fn(|place| place as u8), "gs-aaaqeayeaudaocajbifqydiob4"),
        (*b"playgate id test", "gs-obwgc6lhmf2gkidjmqqhizltoq"),
    ] {
        let id = GameSessionId::from_bytes(bytes);
        assert_eq!(id.to_string(), text);
        assert_eq!(format!("{id:?}"), text);
        assert_eq!(text.parse(), Ok(id));
    }
}

#[test]
fn each_kind_has_its_prefix() {
    let text = "aaaqeayeaudaocajbifqydiob4";
    let bytes = core::array::from_fn(|place| place as u8);
    assert_eq!(GameSessionId::from_bytes(bytes).to_string(), format!("gs-{text}"));
    assert_eq!(PlayerSessionId::from_bytes(bytes).to_string(), format!("ps-{text}"));
    assert_eq!(ServerProcessId::from_bytes(bytes).to_string(), format!("sp-{text}"));
    assert_eq!(HostId::from_bytes(bytes).to_string(), format!("h-{text}"));
    assert_eq!(RelayId::from_bytes(bytes).to_string(), format!("r-{text}"));
    assert_eq!(format!("{:<30}|", HostId::from_bytes(bytes)), format!("h-{text}  |"));
}

#[test]
fn what_is_no_id_is_refused() {
    for (text, error) in [
        ("", ParseIdError::Prefix),
        ("ps-aaaqeayeaudaocajbifqydiob4", ParseIdError::Prefix),
        ("GS-aaaqeayeaudaocajbifqydiob4", ParseIdError::Prefix),
        (" gs-aaaqeayeaudaocajbifqydiob4", ParseIdError::Prefix),
        ("gs-", ParseIdError::Length),
        ("gs-aaaqeayeaudaocajbifqydiob", ParseIdError::Length),
        ("gs-aaaqeayeaudaocajbifqydiob4a", ParseIdError::Length),
        ("gs-aaaqeayeaudaocajbifqydiob4======", ParseIdError::Length),
        ("gs-AAAQEAYEAUDAOCAJBIFQYDIOB4", ParseIdError::Character),
        ("gs-aaaqeayeaudaocajbifqydiob1", ParseIdError::Character),
        ("gs-aaaqeayeaudaocajbifqydio 4", ParseIdError::Character),
        ("gs-aaaqeayeaudaocajbifqydéé", ParseIdError::Character),
        ("gs-aaaqeayeaudaocajbifqydiob5", ParseIdError::SpareBits),
        ("gs-77777777777777777777777777", ParseIdError::SpareBits),
    ] {
        assert_eq!(text.parse::<GameSessionId>(), Err(error), "{text:?}");
    }
}

/// Whoever typed it reads this.
#[test]
fn a_refused_id_says_what_an_id_looks_like() {
    for (error, part) in [
        (ParseIdError::Prefix, "gs- is a game session, ps- a player session, sp- a server process, h- a host"),
        (ParseIdError::Length, "26 characters"),
        (ParseIdError::Character, "a to z and 2 to 7"),
        (ParseIdError::SpareBits, "last character"),
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn parts_come_back_and_time_sorts() {
    let id = HostId::from_parts(7, 0x0102_0304_0506, [9; 9]);
    assert_eq!(*id.as_bytes(), [7, 1, 2, 3, 4, 5, 6, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
    assert_eq!((id.shard(), id.time_ms()), (7, 0x0102_0304_0506));
    assert!(HostId::from_parts(7, 0xff, [0xff; 9]) < HostId::from_parts(7, 0x100, [0; 9]));
    // Of a time beyond the year 10,000 only the low 48 bits are kept.
    assert_eq!(HostId::from_parts(0, u64::MAX, [0; 9]).time_ms(), (1 << 48) - 1);
}

#[test]
fn postcard_has_the_bytes_and_json_the_text() {
    let bytes: [u8; 16] = core::array::from_fn(|place| 0xf0 | place as u8);
    let id = PlayerSessionId::from_bytes(bytes);

    let mut wire = [0; 17];
    assert_eq!(postcard::to_slice(&id, &mut wire).unwrap(), bytes);
    assert_eq!(postcard::from_bytes::<PlayerSessionId>(&bytes).unwrap(), id);
    assert!(postcard::from_bytes::<PlayerSessionId>(&bytes[..15]).is_err());

    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(json, format!("\"{id}\""));
    assert_eq!(serde_json::from_str::<PlayerSessionId>(&json).unwrap(), id);
    assert!(serde_json::from_str::<HostId>(&json).is_err());
    assert!(serde_json::from_str::<PlayerSessionId>("7").is_err());
}

proptest! {
    #[test]
    fn text_and_bytes_are_one_to_one(bytes in any::<[u8; 16]>()) {
        let id = ServerProcessId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_text_that_parses_is_the_text_of_its_id(text in "sp-[a-z2-7]{25}[a-z2-7]") {
        if let Ok(id) = text.parse::<ServerProcessId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }
}
