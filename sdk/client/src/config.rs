//! Where a backend finds its coordinator, and as whom it comes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use playgate_protocol::{JoinKey, JoinRole, OperatorKey, PrivateKey};

use crate::connect::{Role, Target};
use crate::driver::Introduction;
use crate::error::ConnectError;
use crate::key_file::backend_identity;
use crate::limits::PATIENCE;

/// Where the coordinator is and as whom to come. `Debug` shows no key.
///
/// # What does a backend need?
/// A join key, once: `playgate key new backend`. On its first connection it makes a key of its own, writes it to
/// the identity file (readable by its owner only) and has it bound by the coordinator; from then on the file is enough.
/// One running process per file: a second one with the same key takes the first one's place.
pub struct BackendConfig {
    source: Source,
    pub(crate) patience: Duration,
}

enum Source {
    File { identity: PathBuf, join: Option<JoinKey> },
    Operator(OperatorKey),
}

impl BackendConfig {
    /// With a join key that introduces this backend if `identity_file` does not exist yet.
    #[must_use]
    pub fn from_join_key(key: JoinKey, identity_file: impl Into<PathBuf>) -> Self {
        Self::new(Source::File { identity: identity_file.into(), join: Some(key) })
    }

    /// With the file that an earlier connection left.
    #[must_use]
    pub fn from_identity_file(identity_file: impl Into<PathBuf>) -> Self {
        Self::new(Source::File { identity: identity_file.into(), join: None })
    }

    /// As an operator, who may do all that a backend may: for tools, and for `playgate dev`.
    #[must_use]
    pub fn from_operator_key(key: OperatorKey) -> Self {
        Self::new(Source::Operator(key))
    }

    fn new(source: Source) -> Self {
        Self { source, patience: PATIENCE }
    }

    /// How long connecting and each call may take, beyond what a call asks the coordinator to wait; 30 s if never set.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Reads the identity file, or makes it.
    pub(crate) fn resolve(self) -> Result<Start, ConnectError> {
        match self.source {
            Source::Operator(key) => Ok(Start::operator(key)),
            Source::File { identity, join } => Start::backend(&identity, join.as_ref()),
        }
    }
}

impl fmt::Debug for BackendConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source: &dyn fmt::Debug = match &self.source {
            Source::File { identity, .. } => identity,
            Source::Operator(key) => key,
        };
        f.debug_struct("BackendConfig").field("source", source).field("patience", &self.patience).finish()
    }
}

/// What a link is started with.
pub(crate) struct Start {
    pub(crate) target: Target,
    pub(crate) pkcs8: PrivateKey,
    pub(crate) introduction: Introduction,
}

impl Start {
    pub(crate) fn operator(key: OperatorKey) -> Self {
        let OperatorKey { coordinator, fingerprint, pkcs8 } = key;
        let target = Target { coordinator, fingerprint, role: Role::Operator };
        Self { target, pkcs8, introduction: Introduction { join: None, bound: true } }
    }

    fn backend(identity: &Path, join: Option<&JoinKey>) -> Result<Self, ConnectError> {
        if join.is_some_and(|join| join.role != JoinRole::Backend) {
            return Err(ConnectError::WrongRole);
        }
        let known = backend_identity(identity, join)?;
        let (coordinator, fingerprint) = (known.key.coordinator, known.key.fingerprint);
        let target = Target { coordinator, fingerprint, role: Role::Backend };
        let introduction = Introduction { join: known.join, bound: !known.fresh };
        Ok(Self { target, pkcs8: known.key.pkcs8, introduction })
    }
}
