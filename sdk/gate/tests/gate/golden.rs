//! The handshake section of `PROTOCOL.md`: its bytes are the ones that are sent.

use data_encoding::HEXLOWER;
use playgate_gate::Verdict;
use playgate_protocol::handshake::{Hello, JoinState, Joiner, RefuseCode, RequestBuf};
use playgate_protocol::{PlayerSessionId, Ticket};

use crate::world::*;

/// The names of the document and the bytes of the code.
fn vectors() -> Vec<(&'static str, Vec<u8>)> {
    let mut w = world();
    let mut claims = w.claims(0);
    claims.player_session_id = PlayerSessionId::from_bytes([0x70; 16]);
    let ticket = ticket(&claims);
    let holder_key = holder_key(&ticket);
    let nonce = std::array::from_fn(|n| u8::try_from(n).unwrap());
    let mut vectors = vec![
        ("token", ticket.token.to_vec()),
        ("holder key", holder_key.as_bytes().to_vec()),
        ("proof key", holder_key.proof_key().as_bytes().to_vec()),
        ("server key", holder_key.server_key().as_bytes().to_vec()),
    ];
    let joined = exchange(&mut w, &ticket, nonce);
    assert!(matches!(joined.3, JoinState::Accepted { generation: 1, .. }));
    vectors.extend([("HELLO", joined.0), ("CHALLENGE", joined.1), ("PROOF", joined.2)]);
    vectors.push(("ACCEPT", w.reply.as_slice().to_vec()));
    // The same PROOF, at a server that keeps the player out.
    let mut w = world();
    w.want_session(|session| session.max_players = 0);
    assert!(matches!(exchange(&mut w, &ticket, nonce).3, JoinState::Refused(RefuseCode::Full)));
    vectors.push(("REFUSE", w.reply.as_slice().to_vec()));
    vectors
}

/// HELLO, CHALLENGE, PROOF, and how it came out; the last answer is in `w.reply`.
fn exchange(w: &mut World, ticket: &Ticket, nonce: [u8; 16]) -> (Vec<u8>, Vec<u8>, Vec<u8>, JoinState) {
    let mut joiner = Joiner::new(ticket, nonce, std::time::Duration::from_secs(1), w.now).unwrap();
    let server = ticket.addresses[0];
    let hello = joiner.poll_transmit().unwrap().datagram;
    assert_eq!(w.send(address(1), hello.as_slice()), Verdict::Reply);
    let challenge = w.reply.clone();
    joiner.handle(w.now, server, challenge.as_slice());
    let proof = joiner.poll_transmit().unwrap().datagram;
    w.send(address(1), proof.as_slice());
    joiner.handle(w.now, server, w.reply.as_slice());
    let bytes = |datagram: &[u8]| datagram.to_vec();
    (bytes(hello.as_slice()), bytes(challenge.as_slice()), bytes(proof.as_slice()), *joiner.state())
}

/// The hex that follows `**name**` in the handshake section of the document.
fn documented(document: &str, name: &str) -> Option<Vec<u8>> {
    let section = document.split_once("\n## Handshake")?.1;
    let (_, after) = section.split_once(&format!("\n**{name}**"))?;
    let block = after.split_once("```text\n")?.1.split_once("```")?.0;
    let hex: String = block.chars().filter(|c| !c.is_whitespace()).collect();
    HEXLOWER.decode(hex.as_bytes()).ok()
}

#[test]
fn the_document_shows_the_bytes_that_are_sent() {
    let document = include_str!("../../../../PROTOCOL.md");
    let wrong = vectors().into_iter().filter(|(name, bytes)| documented(document, name).as_ref() != Some(bytes));
    let correction: String = wrong.map(|(name, bytes)| block(name, &bytes)).collect();
    assert!(correction.is_empty(), "PROTOCOL.md should say:\n{correction}");
}

/// As the document shows it.
fn block(name: &str, bytes: &[u8]) -> String {
    let lines: Vec<_> = bytes.chunks(48).map(|line| HEXLOWER.encode(line)).collect();
    format!("**{name}**, {} bytes\n\n```text\n{}\n```\n\n", bytes.len(), lines.join("\n"))
}

#[test]
fn each_field_is_where_the_document_says() {
    let vectors = vectors();
    let of = |name| vectors.iter().find(|(n, _)| *n == name).unwrap().1.as_slice();
    let (token, hello, challenge) = (of("token"), of("HELLO"), of("CHALLENGE"));
    let (proof, accept, refuse) = (of("PROOF"), of("ACCEPT"), of("REFUSE"));
    let nonce = &hello[4..20];
    let server_time = 1_000_000_000_u64.to_le_bytes();
    let end = 20 + token.len();
    assert_eq!((&hello[..4], &hello[20..]), (b"PG1H".as_slice(), token));
    assert_eq!((&challenge[..4], &challenge[4..20]), (b"PG1C".as_slice(), nonce));
    assert_eq!((&challenge[20..28], challenge.len()), (server_time.as_slice(), 44));
    assert_eq!((&proof[..4], &proof[4..20], &proof[20..end]), (b"PG1P".as_slice(), nonce, token));
    assert_eq!((&proof[end..end + 8], &proof[end + 8..end + 24]), (server_time.as_slice(), &challenge[28..44]));
    assert_eq!(proof.len(), end + 56);
    assert_eq!((&accept[..4], &accept[4..20], &accept[20..28]), (b"PG1A".as_slice(), nonce, server_time.as_slice()));
    assert_eq!((&accept[28..32], accept.len()), ([1, 0, 0, 0].as_slice(), 64));
    assert_eq!((&refuse[..4], &refuse[4..20], &refuse[20..28]), (b"PG1R".as_slice(), nonce, server_time.as_slice()));
    assert_eq!((refuse[28], refuse.len()), (4, 61));
}

/// The documented HMACs, computed with nothing of ours.
#[test]
fn the_hmacs_are_what_the_document_says() {
    use ring::hmac;
    let vectors = vectors();
    let of = |name| vectors.iter().find(|(n, _)| *n == name).unwrap().1.as_slice();
    for (name, key, domain) in [
        ("PROOF", "proof key", "playgate v1 handshake proof"),
        ("ACCEPT", "server key", "playgate v1 handshake accept"),
        ("REFUSE", "server key", "playgate v1 handshake refuse"),
    ] {
        let (sealed, seal) = of(name).split_last_chunk::<32>().unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, of(key));
        let message = [domain.as_bytes(), sealed].concat();
        assert_eq!(hmac::sign(&key, &message).as_ref(), seal, "{name}");
    }
}

#[test]
fn the_longest_token_fits() {
    let token = [b'x'; 576];
    let mut datagram = RequestBuf::new();
    Hello { nonce: [0; 16], token: &token }.write(&mut datagram);
    assert_eq!(Hello::read(datagram.as_slice()).unwrap().token, token);
    assert!(Hello::read(&[datagram.as_slice(), &[0]].concat()).is_none());
}
