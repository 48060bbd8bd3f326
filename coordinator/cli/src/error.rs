//! How a command fails: what to say and what to exit with.

use std::process::ExitCode;

use playgate_client::{CallFailed, ConnectError};
use playgate_relay::command::CommandError;

/// A failed command. Exit codes: 1 refused, 2 usage (by the argument parser), 3 not reached, 4 cannot start.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// The coordinator said no, or what was awaited did not happen.
    pub fn refused(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// Nobody answered, or not any more.
    pub fn unreached(text: impl Into<String>) -> Self {
        Self { code: 3, text: text.into() }
    }

    /// Something on this machine has to be mended first.
    pub fn setup(text: impl Into<String>) -> Self {
        Self { code: 4, text: text.into() }
    }

    /// Prints the error and gives the exit code.
    pub fn report(self) -> ExitCode {
        eprintln!("playgate: {}", self.text);
        ExitCode::from(self.code)
    }
}

impl From<CallFailed> for Failure {
    fn from(error: CallFailed) -> Self {
        let code = match error {
            CallFailed::Unreachable { .. } | CallFailed::OutcomeUnknown => 3,
            _ => 1,
        };
        Self { code, text: error.to_string() }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        Self { code: error.exit_code(), text: error.to_string() }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let code = if matches!(error, ConnectError::KeyFile(_)) { 4 } else { 3 };
        Self { code, text: error.to_string() }
    }
}
