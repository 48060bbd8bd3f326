//! No secret reaches a log, an error, or what the relay tells of itself.

use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::players::server;
use crate::world::*;

#[test]
fn no_secret_reaches_a_log_or_the_status() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || Sink(Arc::clone(&sink)))
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shown = tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let world = World::new();
            let config = format!("{:?}", world.config());
            let relay = world.relay();
            let mut session = world.welcome().await;
            session.give(7, [0xc3; 32]);
            session.beat(|beat| beat.secret == 7).await;
            let at = session.set_up().await;
            say(&open(1, at, server("127.0.0.1:0")).await, "hello").await;
            session.revoke(1);
            let status = world.status(|status| status.revoked == 1).await;
            relay.stop().await.unwrap();
            format!("{config} {status:?}")
        })
    });
    let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    assert!(log.contains("relay runs") && log.contains("linked to the coordinator"), "{log}");
    for secret in [JOIN_SECRET, [0xc3; 32], SECRET] {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let base32 = playgate_protocol::Fingerprint::from_bytes(secret).to_string();
        let list = secret[..8].iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        for form in [hex, base32, list.replace(' ', ""), list] {
            assert!(!log.contains(&form), "{form} is in the log");
            assert!(!shown.contains(&form), "{form} is shown");
        }
    }
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
