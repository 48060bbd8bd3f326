//! What people paste and write: keys, tickets, ids, fleet files, templates.

use std::str::FromStr;

use playgate_agent_core::template::expand;
use playgate_core::fleet::FleetConfig;
use playgate_protocol::{
    BackendKey, Fingerprint, FleetId, GameSessionId, HostId, JoinKey, LaunchCredential, OperatorKey, PlayerId,
    PlayerSessionId, ServerProcessId, Ticket,
};

/// What people paste.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(ticket) = Ticket::from_text(text) {
        assert_eq!(Ticket::from_text(&ticket.to_text()), Ok(ticket));
    }
    if let Ok(key) = JoinKey::from_text(text) {
        assert_eq!(JoinKey::from_text(&key.to_text()).expect("its own text"), key);
    }
    if let Ok(key) = OperatorKey::from_text(text) {
        assert!(OperatorKey::from_text(&key.to_text()).is_ok());
    }
    if let Ok(credential) = LaunchCredential::from_text(text) {
        assert!(LaunchCredential::from_text(&credential.to_text()).is_ok_and(|again| again == credential));
    }
    if let Ok(key) = BackendKey::from_text(text) {
        assert!(BackendKey::from_text(&key.to_text()).is_ok());
    }
    one_text::<GameSessionId>(text);
    one_text::<PlayerSessionId>(text);
    one_text::<ServerProcessId>(text);
    one_text::<HostId>(text);
    one_text::<Fingerprint>(text);
    one_text::<FleetId>(text);
    one_text::<PlayerId>(text);
}

fn one_text<T: FromStr + ToString>(text: &str) {
    if let Ok(parsed) = text.parse::<T>() {
        assert_eq!(parsed.to_string(), text, "an id has one text");
    }
}

/// A fleet file.
pub fn fleet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(fleet) = toml::from_str::<FleetConfig>(text)
        && fleet.check().is_ok()
    {
        let policy = fleet.admission_policy();
        assert!(u64::from(policy.rejoin_grace_ms) <= fleet.rejoin_grace.0);
    }
}

/// A template and, behind a NUL, the value of every name in it.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (template, value) = text.split_once('\0').unwrap_or((text, "value"));
    if let Ok(expanded) = expand(template, |name| (name != "unknown").then_some(value)) {
        let longest = template.len().saturating_mul(value.len().max(1)) + template.len();
        assert!(expanded.len() <= longest);
    }
    let literal = expand(&template.replace('{', "{{").replace('}', "}}"), |_| None);
    if let Ok(literal) = literal {
        assert_eq!(literal, template, "escaped, it means itself");
    }
}
