//! Every way to be configured, and every way not to be.

use std::io::Write;

use playgate_protocol::Secret32;

use super::*;

const PROCESS: &str = "sp-aaaaaaaaaaaaaaaaaaaaaaaaaa";

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn from(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_variables(|name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

fn fingerprint() -> String {
    Fingerprint::from_bytes([1; 32]).to_string()
}

fn secret() -> String {
    Fingerprint::from_bytes([2; 32]).to_string() // the same text form: 52 lower-case base32 characters
}

fn join_key(role: JoinRole) -> JoinKey {
    JoinKey {
        role,
        coordinator: "[::1]:7600".to_owned(),
        fingerprint: Fingerprint::from_bytes([1; 32]),
        secret: Secret32::from_bytes([2; 32]),
    }
}

#[test]
fn what_an_agent_leaves_is_read() {
    let file = file(&format!("pgcred1/{PROCESS}/{}\n", secret()));
    let config = from(&[
        (CREDENTIAL_FILE, file.path().to_str().unwrap()),
        (COORDINATOR, "coordinator.example:7600"),
        (COORDINATOR_KEY, &fingerprint()),
        (NAME, "arena\n1"),
        (ADVERTISE, "2001:db8::7"),
        (JOIN_KEY, "an agent's word counts more than this"),
    ])
    .unwrap();
    assert_eq!(config.coordinator, "coordinator.example:7600");
    assert_eq!(config.fingerprint, Fingerprint::from_bytes([1; 32]));
    let process = PROCESS.parse().unwrap();
    assert_eq!(config.credential, Credential::Launch { process, secret: Secret32::from_bytes([2; 32]) });
    assert_eq!(config.name.as_str(), "arena 1");
    assert_eq!(config.advertise, Some("2001:db8::7".parse().unwrap()));
}

#[test]
fn a_join_key_is_read_from_the_variable_or_from_a_file() {
    let text = join_key(JoinRole::Server).to_text();
    let file = file(&format!("{text}\n"));
    for variables in [(JOIN_KEY, text.as_str()), (JOIN_KEY_FILE, file.path().to_str().unwrap())] {
        let config = from(&[variables]).unwrap();
        assert_eq!(config.coordinator, "[::1]:7600");
        assert_eq!(config.credential, Credential::Join { secret: Secret32::from_bytes([2; 32]) });
    }
}

#[test]
fn an_error_names_the_variable_and_no_secret() {
    let good = file(&format!("pgcred1/{PROCESS}/{}", secret()));
    let good = (CREDENTIAL_FILE, good.path().to_str().unwrap());
    let address = (COORDINATOR, "127.0.0.1:7600");
    let fingerprint = fingerprint();
    let pin = (COORDINATOR_KEY, fingerprint.as_str());
    let agents = join_key(JoinRole::Agent).to_text();
    let check = |variables: &[(&str, &str)], named: &str| {
        let error = from(variables).expect_err(named);
        let text = error.to_string();
        assert!(text.contains(named), "{text}");
        assert!(!text.contains(&secret()) && !format!("{error:?}").contains(&secret()), "{text}");
    };
    check(&[], "playgate dev");
    check(&[good], COORDINATOR);
    check(&[good, address], COORDINATOR_KEY);
    check(&[good, address, (COORDINATOR_KEY, "abc")], COORDINATOR_KEY);
    check(&[good, address, pin, (ADVERTISE, "localhost")], ADVERTISE);
    check(&[(CREDENTIAL_FILE, "/nonexistent/credential"), address, pin], "/nonexistent/credential");
    check(&[(JOIN_KEY, "pgkey1/server/half")], JOIN_KEY);
    check(&[(JOIN_KEY, &agents)], "role agent");
    for damaged in [
        String::new(),
        format!("pgcred1/{PROCESS}"),
        format!("pgcred2/{PROCESS}/{}", secret()),
        format!("pgcred1/gs-aaaaaaaaaaaaaaaaaaaaaaaaaa/{}", secret()),
        format!("pgcred1/{PROCESS}/{}", secret().to_uppercase()),
        format!("pgcred1/{PROCESS}/{}", &secret()[1..]),
        format!("pgcred1/{PROCESS}/{}/x", secret()),
    ] {
        let damaged = file(&damaged);
        check(&[(CREDENTIAL_FILE, damaged.path().to_str().unwrap()), address, pin], CREDENTIAL_FILE);
    }
}

#[test]
fn a_configuration_does_not_show_its_credential() {
    let config = Config::from_join_key(join_key(JoinRole::Server)).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains(&secret()) && !shown.contains("ecret32"), "{shown}");
    assert!(shown.contains("[::1]:7600"), "{shown}");
}
