//! What exactly is to be started: a launch order with every template filled in.

use playgate_protocol::agent::{LaunchError, LaunchOrder};
use playgate_protocol::{Detail, FleetId, Name, Secret32, ServerProcessId};

use crate::template::{TemplateError, expand};

/// Variables that the agent sets itself. A fleet may neither set them nor let them through: a process is found again
/// by them.
pub const RESERVED_VARIABLES: [&str; 6] = [
    "PLAYGATE_COORDINATOR",
    "PLAYGATE_COORDINATOR_KEY",
    "PLAYGATE_CREDENTIAL_FILE",
    "PLAYGATE_PROCESS_ID",
    "PLAYGATE_ADVERTISE",
    "PLAYGATE_NAME",
];

/// One process to start. Nothing in it is a template any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnPlan {
    /// Which process.
    pub process: ServerProcessId,
    /// Its fleet.
    pub fleet: FleetId,
    /// Its display name.
    pub name: Name,
    /// Executable and arguments; never empty.
    pub argv: Vec<String>,
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// Variables to let through from the agent's own environment.
    pub env_pass: Vec<String>,
    /// Where it runs; the agent's own directory where absent.
    pub working_dir: Option<String>,
    /// The port it was given.
    pub port: Option<u16>,
    /// For the credential file.
    pub credential: Secret32,
}

/// Why a process was not started, as it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchFailure {
    /// The kind.
    pub error: LaunchError,
    /// Names the thing and the remedy.
    pub detail: Detail,
}

impl LaunchFailure {
    /// A failure of this kind; the text is made to fit.
    #[must_use]
    pub fn new(error: LaunchError, detail: &str) -> Self {
        Self { error, detail: Detail::lossy(detail) }
    }
}

/// Fills in the templates of an order.
///
/// # Errors
/// [`LaunchError::BadTemplate`], with the place and the remedy.
pub fn plan(order: &LaunchOrder, host: &str, port: Option<u16>) -> Result<SpawnPlan, LaunchFailure> {
    let values = Values::new(order, host, port);
    if order.argv.is_empty() {
        return Err(bad("the fleet's command is empty; its first element names the executable"));
    }
    let mut argv = Vec::with_capacity(order.argv.len());
    for (index, argument) in order.argv.iter().enumerate() {
        let place = || format!("element {index} of the fleet's command");
        argv.push(values.fill(argument).map_err(|error| bad_template(&place(), argument, &error))?);
    }
    let mut env = Vec::with_capacity(order.env.len());
    for (variable, value) in &order.env {
        check_variable(variable)?;
        let place = || format!("variable {variable}");
        let filled = values.fill(value).map_err(|error| bad_template(&place(), value, &error))?;
        env.push((variable.as_str().to_owned(), filled));
    }
    for variable in &order.env_pass {
        check_variable(variable)?;
    }
    Ok(SpawnPlan {
        process: order.process,
        fleet: order.fleet.clone(),
        name: order.name.clone(),
        argv,
        env,
        env_pass: order.env_pass.iter().map(|name| name.as_str().to_owned()).collect(),
        working_dir: order.working_dir.as_ref().map(|dir| dir.as_str().to_owned()),
        port,
        credential: order.credential.clone(),
    })
}

/// What the names in templates stand for. The agent's own names win over properties.
struct Values<'a> {
    order: &'a LaunchOrder,
    host: &'a str,
    port: Option<String>,
    process: String,
}

impl<'a> Values<'a> {
    fn new(order: &'a LaunchOrder, host: &'a str, port: Option<u16>) -> Self {
        Self { order, host, port: port.map(|port| port.to_string()), process: order.process.to_string() }
    }

    fn fill(&self, template: &str) -> Result<String, TemplateError> {
        expand(template, |name| self.get(name))
    }

    fn get(&self, name: &str) -> Option<&str> {
        match name {
            "port" => self.port.as_deref(),
            "name" => Some(&self.order.name),
            "process" => Some(&self.process),
            "fleet" => Some(self.order.fleet.as_str()),
            "host" => Some(self.host),
            _ => self.order.properties.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value.as_str()),
        }
    }
}

fn check_variable(variable: &str) -> Result<(), LaunchFailure> {
    if variable.is_empty() || variable.contains(['=', '\0']) {
        return Err(bad(&format!("{variable:?} is no name of an environment variable; correct the fleet")));
    }
    if RESERVED_VARIABLES.contains(&variable) {
        return Err(bad(&format!("{variable} is set by the agent; take it out of the fleet's variables")));
    }
    Ok(())
}

fn bad_template(place: &str, template: &str, error: &TemplateError) -> LaunchFailure {
    let shown: String = template.chars().take(80).collect();
    let hint = match error {
        TemplateError::Unknown(name) if name == "port" => " ({port} needs a port range: set ports in the fleet)",
        _ => "",
    };
    bad(&format!("{place}, {shown:?}: {error}{hint}"))
}

fn bad(detail: &str) -> LaunchFailure {
    LaunchFailure::new(LaunchError::BadTemplate, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{arg, name, order};
    use playgate_protocol::List;

    #[test]
    fn every_template_of_an_order_is_filled_in() {
        let mut order = order(7);
        order.argv = List::first_of(["./srv", "{port}", "{name}/{process}", "{fleet}@{host}", "{map}"].map(arg));
        order.properties = List::first_of([(name("map"), arg("-x {port}")), (name("host"), arg("not this"))]);
        order.env = List::first_of([(name("A"), arg("{port}")), (name("B"), arg("{{}}"))]);
        order.env_pass = List::first_of([name("PATH")]);
        let plan = plan(&order, "h1", Some(7001)).unwrap();
        let both = format!("{}/{}", order.name, order.process);
        assert_eq!(plan.argv, ["./srv", "7001", &both, "arena@h1", "-x {port}"]);
        assert_eq!(plan.env, [("A".to_owned(), "7001".to_owned()), ("B".to_owned(), "{}".to_owned())]);
        assert_eq!(plan.env_pass, ["PATH"]);
    }

    #[test]
    fn what_is_wrong_with_an_order_is_named() {
        type Change<'a> = &'a dyn Fn(&mut LaunchOrder);
        let cases: [(&str, Change<'_>, &str); 8] = [
            ("no command", &|o| o.argv = List::default(), "command is empty"),
            ("unknown name", &|o| o.argv = List::first_of([arg("x"), arg("{mpa}")]), "{mpa} is unknown"),
            ("place", &|o| o.argv = List::first_of([arg("x"), arg("{mpa}")]), "element 1 of the fleet's command"),
            ("no ports", &|o| o.argv = List::first_of([arg("{port}")]), "set ports in the fleet"),
            ("value", &|o| o.env = List::first_of([(name("V"), arg("{"))]), "variable V"),
            ("no name", &|o| o.env = List::first_of([(name(""), arg("x"))]), "no name of an environment variable"),
            ("equals", &|o| o.env_pass = List::first_of([name("A=B")]), "no name of an environment variable"),
            ("ours", &|o| o.env_pass = List::first_of([name("PLAYGATE_NAME")]), "set by the agent"),
        ];
        for (case, change, expected) in cases {
            let mut order = order(7);
            change(&mut order);
            let failure = plan(&order, "h", None).unwrap_err();
            assert_eq!(failure.error, LaunchError::BadTemplate, "{case}");
            assert!(failure.detail.contains(expected), "{case}: {}", failure.detail);
        }
    }
}
