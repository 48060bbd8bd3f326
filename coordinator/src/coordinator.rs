//! Start, run, stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use playgate_core::{Core, Input, LinkId, Start, Turn};
use playgate_link::{BindError, CloseCode, Identity, LinkProfile, ListenConfig, Listener};
use playgate_protocol::{Fingerprint, OperatorKey, PrivateKey};
use playgate_token::{MasterKey, SigningKey};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::CoordinatorConfig;
use crate::driver::Driver;
use crate::keyfile::{KEY_FILE, KeyFile, KeyFileError, OPERATOR_KEY_FILE, write_operator_key};
use crate::mint::Minter;
use crate::peer::{self, PeerCounters, Shared};
use crate::refusals;
use crate::store::space::{Guard, Space};
use crate::store::{Loaded, Sqlite, Store, StoreError, Writer};

/// The database in the data directory.
pub const DATABASE_FILE: &str = "playgate.db";
/// First byte of every id made here: one shard is enough for one machine.
const SHARD: u8 = 0;
/// Inputs that wait for the loop; beyond, links wait.
const INPUTS_MAX: usize = 4_096;

/// A coordinator that is loaded and listens; [`Coordinator::run`] sets it going.
pub struct Coordinator {
    driver: Driver,
    listener: Listener,
    shared: Shared,
    fingerprint: Fingerprint,
    operator_key: OperatorKey,
    address: String,
}

/// Why a coordinator does not start. Each says what to do.
#[derive(Debug)]
pub enum StartError {
    /// The database.
    Store(StoreError),
    /// The key file.
    Keys(KeyFileError),
    /// The database is there and its key file is not.
    KeysMissing(std::path::PathBuf),
    /// The QUIC port.
    Bind(BindError),
    /// The data directory, or a thread.
    Io(std::io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::Io(error) => write!(f, "data directory: {error}"),
            Self::KeysMissing(directory) => write!(
                f,
                "{0}: there is a database but no {KEY_FILE}. Without its keys no ticket can be checked and no peer will trust \
                 this coordinator: restore {KEY_FILE} from the backup, or move {DATABASE_FILE} away to start anew",
                directory.display()
            ),
        }
    }
}

impl std::error::Error for StartError {}

/// The store failed while the coordinator ran. What is durable is known after the next start.
#[derive(Debug)]
pub struct RunError(StoreError);

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the store failed, so the coordinator stops; start it again: {}", self.0)
    }
}

impl std::error::Error for RunError {}

impl Coordinator {
    /// Loads what is stored, makes keys at the first start, and binds the port. Within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left half made that the next start would stumble over.
    pub fn open(config: CoordinatorConfig) -> Result<Self, StartError> {
        playgate_files::make_dir(&config.data_dir).map_err(StartError::Io)?;
        let database = config.data_dir.join(DATABASE_FILE);
        let mut store = Sqlite::open(&database).map_err(StartError::Store)?;
        let mut space = Guard::new(&database);
        let low = space.check() == Space::Low;
        let Loaded { rows, seq, .. } = store.load().map_err(StartError::Store)?;
        let mut clock = Clock::start(Core::high_water(&rows), store.time_since_boot());
        // A database without a single batch is one whose coordinator was ended before it had said anything.
        let keys = open_keys(&config.data_dir, clock.now_ms(), seq == 0)?;
        let identity = Identity::from_pkcs8(keys.tls_pkcs8())
            .map_err(|_| StartError::Keys(KeyFileError::Damaged { path: config.data_dir.join(KEY_FILE), line: 0 }))?;
        let fingerprint = identity.fingerprint();
        let listener = Listener::bind(ListenConfig {
            addr: config.listen,
            identity,
            reset_key: *keys.quic_reset.reveal(),
            connection_id_key: u64::from_le_bytes(*keys.connection_id.reveal()),
            profile: LinkProfile::fleet(),
            max_links: config.max_links,
        })
        .map_err(StartError::Bind)?;
        let address = config.advertise.unwrap_or_else(|| reachable(listener.local_addr()).to_string());
        let (operator_key, operator) = open_operator_key(&config.data_dir, &address, fingerprint)?;

        let now_ms = clock.now_ms();
        let mut core = Core::load(Start { shard: SHARD, seed: random(), now_ms }, rows);
        core.handle(now_ms, Input::StoreLow(low));
        core.handle(now_ms, Input::ApplyOperator(operator));
        for key in &keys.signing_keys {
            let public_key = SigningKey::from_seed(key.seed.reveal()).public_key();
            core.handle(now_ms, Input::ApplySigningKey { key_id: key.key_id, public_key });
        }
        core.handle(now_ms, Input::KeepSigningKeys(keys.signing_keys.iter().map(|key| key.key_id).collect()));
        for fleet in config.fleets {
            core.handle(now_ms, Input::ApplyFleet(fleet));
        }
        let (done, commits) = mpsc::channel(2);
        let on_done = move |commit| drop(done.blocking_send(commit));
        let writer = Writer::spawn(Box::new(store), on_done).map_err(StartError::Io)?;
        let (to_loop, inputs) = mpsc::channel(INPUTS_MAX);
        let signing =
            keys.signing_keys.iter().map(|key| (key.key_id, SigningKey::from_seed(key.seed.reveal()))).collect();
        let minter = Minter::new(MasterKey::from_bytes(*keys.master.reveal()), signing);
        let shared = Shared { to_loop, minter, counters: Arc::new(PeerCounters::default()) };
        let driver = Driver {
            core,
            clock,
            inputs,
            commits,
            writer,
            space,
            seq,
            links: BTreeMap::new(),
            gathering: Turn::default(),
            in_flight: None,
            timers_from: 0,
            looked_at: now_ms,
            placing: None,
        };
        Ok(Self { driver, listener, shared, fingerprint, operator_key, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Host and port that peers are told.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What peers pin.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What makes its bearer an operator; also in `operator.key` in the data directory.
    #[must_use]
    pub fn operator_key(&self) -> &OperatorKey {
        &self.operator_key
    }

    /// What peers did wrong so far.
    #[must_use]
    pub fn counters(&self) -> Arc<PeerCounters> {
        Arc::clone(&self.shared.counters)
    }

    /// Serves until `shutdown`; then everything decided is made durable and said, and the links close.
    ///
    /// # Errors
    /// [`RunError`] when the store fails. The caller should end the process: a supervisor starts it anew.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let Self { driver, listener, shared, .. } = self;
        let listener = Arc::new(listener);
        let logging = tokio::spawn(refusals::log(Arc::clone(listener.counters()), Arc::clone(&shared.counters)));
        let accepting = tokio::spawn(accept(Arc::clone(&listener), shared));
        let outcome = driver.run(shutdown).await;
        accepting.abort();
        logging.abort();
        listener.close(CloseCode::ShuttingDown, "the coordinator shuts down", std::time::Duration::from_secs(1)).await;
        outcome.map_err(RunError)
    }
}

async fn accept(listener: Arc<Listener>, shared: Shared) {
    let mut next = 0;
    while let Some(attempt) = listener.accept().await {
        next += 1;
        tokio::spawn(peer::serve(attempt, LinkId(next), shared.clone()));
    }
}

/// A wildcard address is no address to dial.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let loopback = match addr {
        SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(if addr.ip().is_unspecified() { loopback } else { addr.ip() }, addr.port())
}

fn random<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Keys are made together with the database; a database without them is refused.
fn open_keys(directory: &Path, now_ms: u64, is_new: bool) -> Result<KeyFile, StartError> {
    if directory.join(KEY_FILE).exists() {
        return KeyFile::open(directory).map_err(StartError::Keys);
    }
    if !is_new {
        return Err(StartError::KeysMissing(directory.to_owned()));
    }
    let fill =
        &mut |bytes: &mut [u8]| SystemRandom::new().fill(bytes).expect("the operating system gives random bytes");
    KeyFile::create(directory, Identity::generate().to_pkcs8().as_bytes(), now_ms, fill).map_err(StartError::Keys)
}

/// The operator's key, with the address of today; made anew where it is missing.
fn open_operator_key(
    directory: &Path,
    address: &str,
    fingerprint: Fingerprint,
) -> Result<(OperatorKey, Fingerprint), StartError> {
    let before = std::fs::read_to_string(directory.join(OPERATOR_KEY_FILE)).ok();
    let before = before.and_then(|text| OperatorKey::from_text(&text).ok());
    let before = before.and_then(|key| Identity::from_pkcs8(key.pkcs8.reveal()).ok());
    let identity = before.unwrap_or_else(Identity::generate);
    let pkcs8 = PrivateKey::from_pkcs8(identity.to_pkcs8().as_bytes());
    let key = OperatorKey { coordinator: address.to_owned(), fingerprint, pkcs8 };
    write_operator_key(directory, &format!("{}\n", *key.to_text())).map_err(StartError::Keys)?;
    Ok((key, identity.fingerprint()))
}
