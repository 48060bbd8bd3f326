//! What people read and what they must not: texts of errors and reasons, and debug forms that keep contents to themselves.

#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::time::Duration;

use playgate_protocol::agent::ExitStatus;
use playgate_protocol::api::{CallError, ErrorCode, Subject};
use playgate_protocol::frame::FrameError;
use playgate_protocol::handshake::{Hello, Joiner, Kind, Proof, RefuseCode, RequestBuf, TicketUnusable};
use playgate_protocol::reason::{PlayerEnd, ProcessEnd, SessionEnd};
use playgate_protocol::*;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, SeqDeserializer, StrDeserializer, StringDeserializer};

const SECRET: &[u8] = b"team=red;this-is-for-the-game-only";

#[test]
fn errors_say_what_is_wrong_and_where_the_bound_is() {
    let call = CallError { code: ErrorCode::Busy, detail: "too many".parse().unwrap(), retry_after_ms: 1 };
    for (shown, expected) in [
        (ExitStatus::Code(3).to_string(), "exit code 3"),
        (ExitStatus::Signal(9).to_string(), "signal 9"),
        (ExitStatus::Unknown.to_string(), "exit status unknown"),
        (call.to_string(), "Busy: too many"),
        (FrameError::TooLarge.to_string(), "frame larger than 64 KiB"),
        (FrameError::Malformed.to_string(), "frame is not a message of the expected kind"),
        (FrameError::TrailingBytes.to_string(), "frame has bytes behind its message"),
        (TicketUnusable::NoAddress.to_string(), "the ticket names no address"),
        (TicketUnusable::NoToken.to_string(), "the ticket holds no token"),
        (Blob::<2>::new(vec![0; 3]).unwrap_err().to_string(), "too many bytes (at most 2)"),
        (List::<u8, 2>::new(vec![0; 3]).unwrap_err().to_string(), "too many elements (at most 2)"),
        (Text::<3>::new("four").unwrap_err().to_string(), "text too long (at most 3)"),
    ] {
        assert_eq!(shown, expected);
    }
}

#[test]
fn whom_an_event_is_about_is_shown_by_its_id() {
    let fingerprint = Fingerprint::from_bytes([7; 32]);
    for (subject, expected) in [
        (Subject::Coordinator, "coordinator".to_owned()),
        (Subject::Fleet(FleetId::new("arena").unwrap()), "arena".to_owned()),
        (Subject::Host(HostId::from_bytes([0; 16])), "h-aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned()),
        (Subject::Process(ServerProcessId::from_bytes([0; 16])), "sp-aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned()),
        (Subject::GameSession(GameSessionId::from_bytes([0; 16])), "gs-aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned()),
        (Subject::Peer(fingerprint), fingerprint.to_string()),
    ] {
        assert_eq!(subject.to_string(), expected);
    }
    assert_eq!(format!("{fingerprint:?}"), fingerprint.to_string());
    assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
}

/// Reasons are columns of tables as well: they keep a width.
#[test]
fn names_are_padded_like_any_text() {
    assert_eq!(format!("{:<9}|{:<9}|", PlayerEnd::Left, FleetId::new("arena").unwrap()), "LEFT     |arena    |");
    assert_eq!(format!("{:>9}|{:>9}|", SessionEnd::Ended, ProcessEnd::Lost), "    ENDED|     LOST|");
    assert_eq!(format!("{:<5}|", Text::<9>::lossy("abc")), "abc  |");
    for code in RefuseCode::ALL {
        assert_eq!(RefuseCode::ALL.iter().filter(|other| other.as_str() == code.as_str()).count(), 1);
        assert_eq!(format!("{code:<15}|"), format!("{:<15}|", code.as_str()));
    }
}

/// Tokens, keys and what belongs to a game are not for a log.
#[test]
fn debug_forms_show_no_contents() {
    let ticket = Ticket {
        player_session: PlayerSessionId::from_bytes([1; 16]),
        game_session: GameSessionId::from_bytes([2; 16]),
        expires_at_ms: 1,
        addresses: List::first_of(["192.0.2.1:7000".parse().unwrap()]),
        bearer: false,
        token: Blob::new(SECRET.repeat(5)).unwrap(),
        holder_key: Secret32::from_bytes(*b"this-is-the-players-own-key-only"),
        relays: List::default(),
    };
    let mut joiner = Joiner::new(&ticket, [3; 16], Duration::from_secs(9), Duration::ZERO).unwrap();
    let transmit = joiner.poll_transmit().unwrap();
    let hello = Hello { nonce: [3; 16], token: SECRET };
    let mut datagram = RequestBuf::default();
    assert_eq!(datagram.as_slice(), b"");
    hello.write(&mut datagram);
    // Magic, nonce, token, server time, MAC, seal: none of it is checked here.
    let sent = [&Kind::Proof.magic()[..], &[3; 16], &SECRET.repeat(5), &5_u64.to_le_bytes(), &[4; 48]].concat();
    let proof = Proof::read(&sent).unwrap();
    let shown: [(&dyn Debug, &str); 6] = [
        (&ticket.token, "[170 bytes]"),
        (&hello, "Hello(token of 34 bytes)"),
        (&proof, "Proof(token of 170 bytes, server time 5 us)"),
        (&datagram, &format!("Datagram({:?}, {} bytes)", Some(Kind::Hello), datagram.as_slice().len())),
        (&transmit, ""),
        (&joiner, "Joiner(knocking)"),
    ];
    for (value, expected) in shown {
        let text = format!("{value:?}");
        assert!(expected.is_empty() || text == expected, "{text}");
        assert!(!text.contains("game-only") && !text.contains("own-key"), "{text}");
    }
    let unusable = |ticket: Ticket| Joiner::new(&ticket, [3; 16], Duration::ZERO, Duration::ZERO).err();
    let without_address = Ticket { addresses: List::default(), ..ticket.clone() };
    assert_eq!(unusable(without_address), Some(TicketUnusable::NoAddress));
    assert_eq!(unusable(Ticket { token: Blob::new(vec![7; 160]).unwrap(), ..ticket }), Some(TicketUnusable::NoToken));
}

/// Bytes as a list, as JSON and TOML have them, keep the same bound; fingerprints are text there.
#[test]
fn formats_for_people_keep_the_bounds() {
    let bytes = |count: usize| SeqDeserializer::<_, Error>::new(std::iter::repeat_n(7_u8, count));
    assert_eq!(Blob::<3>::deserialize(bytes(3)).unwrap()[..], [7; 3]);
    assert!(Blob::<3>::deserialize(bytes(4)).is_err());
    assert_eq!(List::<u8, 3>::deserialize(bytes(3)).unwrap().into_vec(), [7; 3]);
    assert!(List::<u8, 3>::deserialize(bytes(4)).is_err());
    let text: StrDeserializer<'_, Error> = "seven".into_deserializer();
    let errors = [Blob::<3>::deserialize(text).unwrap_err(), List::<u8, 3>::deserialize(text).unwrap_err()];
    assert!(errors[0].to_string().contains("at most 3 bytes"), "{errors:?}");
    assert!(errors[1].to_string().contains("at most 3 elements"), "{errors:?}");
    let number: serde::de::value::U8Deserializer<Error> = 7_u8.into_deserializer();
    assert!(Text::<3>::deserialize(number).unwrap_err().to_string().contains("text of at most 3 bytes"));
    let fingerprint = Fingerprint::from_bytes([9; 32]);
    let text: StringDeserializer<Error> = fingerprint.to_string().into_deserializer();
    assert_eq!(Fingerprint::deserialize(text), Ok(fingerprint));
    let text: StrDeserializer<'_, Error> = "nobody".into_deserializer();
    assert!(Fingerprint::deserialize(text).is_err());
}

#[test]
fn a_ticket_whose_text_is_too_long_is_not_read() {
    let error = Ticket::from_text(&format!("pgticket1.{}", "a".repeat(2_049))).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}
