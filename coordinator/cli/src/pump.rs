//! The pump: for game clients that cannot be changed.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use playgate_client::Ticket;
use playgate_client::relay::{RelayAccess, RelaySocket, pump};
use playgate_core::fleet::Millis;
use tokio::net::UdpSocket;

use crate::error::Failure;
use crate::serve::told_to_stop;

/// Carries datagrams until the flow has ended or the process is told to stop.
pub async fn run(ticket_file: &Path, timeout: Millis) -> Result<(), Failure> {
    let ticket = read(ticket_file)?;
    let relays: Vec<RelayAccess> = ticket.relay_accesses().collect();
    if relays.is_empty() {
        return Err(Failure::refused("the ticket names no relay: let the game connect to the server itself"));
    }
    let unreached = |error: &dyn std::fmt::Display| Failure::unreached(error.to_string());
    let relay =
        RelaySocket::open(&relays, Duration::from_millis(timeout.0)).await.map_err(|error| unreached(&error))?;
    let local = UdpSocket::bind("127.0.0.1:0").await.map_err(|error| Failure::setup(error.to_string()))?;
    let at = local.local_addr().map_err(|error| Failure::setup(error.to_string()))?;
    println!("{at}");
    tokio::select! {
        ended = pump(&local, &relay) => ended.map_err(|error| unreached(&error)),
        () = told_to_stop() => {
            relay.close().await;
            Ok(())
        }
    }
}

fn read(path: &Path) -> Result<Ticket, Failure> {
    let failed = |error: std::io::Error| Failure::setup(format!("{}: {error}", path.display()));
    let text = match path.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(failed)?;
            text
        }
        false => std::fs::read_to_string(path).map_err(failed)?,
    };
    Ticket::from_text(&text).map_err(|error| Failure::setup(error.to_string()))
}
