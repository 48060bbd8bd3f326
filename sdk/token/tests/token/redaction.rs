//! No secret, and no token, shows its bytes when somebody logs it.

use std::fmt::Debug;

use playgate_token::*;

use crate::support::{CURRENT_EPOCH, MASTER, OTHER_SEED, SEED, World};

#[test]
fn debug_shows_no_secret() {
    let world = World::new();
    let token = world.mint(&world.claims());
    let holder_key = world.holder_root.holder_key(token.as_bytes()).unwrap();
    let gate_key = world.gate_root.gate_key(CURRENT_EPOCH);
    let gate_key_bytes = crate::spec::gate_key(world.gate_root.as_bytes(), CURRENT_EPOCH);
    let screened = screen(token.as_bytes(), &world.process, &world.gate_keys).unwrap();
    let master = MasterKey::from_bytes(MASTER);
    let proof_key = holder_key.proof_key();
    let server_key = holder_key.server_key();
    let launch_credential = master.launch_credential(&world.process);
    let relay = RelayId::from_bytes([4; 16]);
    let relay_key = master.relay_key(&relay, 1);
    let flow_key = master.flow_key(&relay, &PlayerSessionId::from_bytes([5; 16]));

    let rows: [(&str, &dyn Debug, &str); 16] = [
        ("MasterKey", &master, "MasterKey(…)"),
        ("GateRoot", &world.gate_root, "GateRoot(…)"),
        ("HolderRoot", &world.holder_root, "HolderRoot(…)"),
        ("HolderKey", &holder_key, "HolderKey(…)"),
        ("ProofKey", &proof_key, "ProofKey(…)"),
        ("ServerKey", &server_key, "ServerKey(…)"),
        ("LaunchCredential", &launch_credential, "LaunchCredential(…)"),
        ("RelayKey", &relay_key, "RelayKey(…)"),
        ("FlowKey", &flow_key, "FlowKey(…)"),
        ("SigningKey", &world.signing_key, "SigningKey(…)"),
        ("GateKey", &gate_key, "GateKey(epoch 7, …)"),
        ("GateKeys", &world.gate_keys, "GateKeys { keys: [Some(GateKey(epoch 7, …)), Some(GateKey(epoch 6, …))] }"),
        ("Token", &token, "Token(212 bytes)"),
        ("Claims", &world.claims(), ""),
        ("Screened", &screened, ""),
        ("Audience", &world.audience(), ""),
    ];
    let secrets = [
        &MASTER[..],
        &SEED,
        &OTHER_SEED,
        world.gate_root.as_bytes(),
        world.holder_root.as_bytes(),
        holder_key.as_bytes(),
        proof_key.as_bytes(),
        server_key.as_bytes(),
        launch_credential.as_bytes(),
        relay_key.as_bytes(),
        flow_key.as_bytes(),
        &gate_key_bytes,
        &token.as_bytes()[token.as_bytes().len() - 80..],
        world.claims().player_data,
    ];
    for (name, value, expected) in rows {
        for shown in [format!("{value:?}"), format!("{value:#?}")] {
            for secret in secrets {
                assert!(!shows(&shown, secret), "{name} shows a secret: {shown}");
            }
        }
        assert!(expected.is_empty() || format!("{value:?}") == expected, "{name}: {value:?}");
    }
}

/// That they are is for the compiler to see.
#[test]
fn secrets_are_wiped_when_they_are_dropped() {
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}
    wiped::<MasterKey>();
    wiped::<GateRoot>();
    wiped::<HolderRoot>();
    wiped::<HolderKey>();
    wiped::<ProofKey>();
    wiped::<ServerKey>();
    wiped::<LaunchCredential>();
    wiped::<RelayKey>();
    wiped::<FlowKey>();
    wiped::<GateKey>();
}

/// `debug_shows_no_secret` can fail: it finds bytes in each form somebody may have printed them in.
#[test]
fn shown_bytes_are_found_in_every_form() {
    let secret = b"0123456789abcdef";
    assert!(shows(&format!("{secret:?}"), secret));
    assert!(shows(&format!("{secret:#?}"), secret));
    assert!(shows(&format!("{secret:02x?}"), secret));
    assert!(shows("key: 3031323334353637", secret));
    assert!(shows("0123456789abcdef", secret));
    assert!(!shows("01234567 89abcdef", b"something else.."));
}

/// Whether any four bytes in a row of the secret can be read in the text: as hex, as a list or as characters.
fn shows(text: &str, secret: &[u8]) -> bool {
    let text = text.to_lowercase();
    let squeezed: String = text.split_whitespace().collect();
    let forms: [fn(&[u8]) -> String; 4] = [
        |bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        |bytes| bytes.iter().map(|byte| format!("{byte:02x},")).collect(),
        |bytes| bytes.iter().map(|byte| format!(",{byte}")).collect(),
        |bytes| String::from_utf8_lossy(bytes).to_lowercase(),
    ];
    secret.windows(4).any(|four| forms.iter().any(|form| squeezed.contains(&form(four))))
}
