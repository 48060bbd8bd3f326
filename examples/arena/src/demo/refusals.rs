//! Who is not let in, and why. What an attacker would not learn is read from the server's log.

use std::time::{Duration, Instant};

use playgate_client::player::{self, JoinError, RefuseCode};
use playgate_client::protocol::api::{ErrorCode, PlayerSessionStatus};
use playgate_client::protocol::reason::PlayerEnd;
use playgate_client::protocol::{Blob, Secret32, ServerProcessId};
use playgate_client::{CallFailed, NewPlayerSessions, Ticket};
use tokio::net::UdpSocket;
use tokio::time::{sleep_until, timeout};

use super::players::{Latecomer, Player, SHORT_RESERVATION, await_active, joined, reserve, start_bot};
use super::sessions::Hosted;
use super::stage::{Outcome, Stage, Unexpected, look_again, ms, say_detail};
use crate::bot::EXIT_REMOVED;
use crate::wire::FromPlayer;

const MINUTE: Duration = Duration::from_secs(60);
/// What an attempt may take that nobody answers; it is given up as soon as the server has logged the refusal.
const ATTEMPT: Duration = Duration::from_secs(10);
/// A reservation that is over is over on both clocks after this.
const MARGIN: Duration = Duration::from_millis(200);

/// The same player cannot hold two slots.
pub async fn reserved_twice(stage: &mut Stage, arena: &Hosted) -> Outcome {
    let again = NewPlayerSessions::new(arena.id).player("zoe", b"").player("ann", b"");
    let code = refused_call(stage.operator.create_player_sessions(again).await);
    stage.check("a second slot for ann", code, Some(ErrorCode::AlreadyReserved))?;
    say_detail("refused", "a second slot for a player who is in, and zoe with him: all or none  (AlreadyReserved)");
    Ok(())
}

/// Tokens that were changed, stolen or overheard. Answers the honest ticket they were made from, still unused.
pub async fn forged_and_stolen(stage: &mut Stage, arena: &Hosted) -> Outcome<Ticket> {
    let honest = reserve(stage, arena, "finn", MINUTE).await?;

    let forged = with_bit_flipped(&honest);
    expect_silence(stage, arena.process, "gate_tag", player::join(&forged, ATTEMPT)).await?;
    say_detail("refused", "forged token, one bit flipped: no answer  (gate_tag)");

    let stolen = Ticket { holder_key: Secret32::from_bytes(random_key()), ..honest.clone() };
    expect_silence(stage, arena.process, "proof_wrong", player::join(&stolen, ATTEMPT)).await?;
    say_detail("refused", "stolen token without its holder key: no answer  (proof_wrong)");

    let (nina, overheard) = join_overheard(stage, arena).await?;
    let elsewhere = bind().await?;
    let replay = async {
        for datagram in &overheard.datagrams {
            elsewhere.send_to(datagram, overheard.server).await.map_err(JoinError::Socket)?;
        }
        std::future::pending::<Result<(), JoinError>>().await
    };
    expect_silence(stage, arena.process, "mac_wrong", replay).await?;
    say_detail("refused", "overheard HELLO and PROOF, replayed from another address: not let in  (mac_wrong)");
    nina.send_to(&FromPlayer::Goodbye.write(), overheard.server).await.map_err(Unexpected::because("goodbye"))?;
    stage.logged(arena.process, "player nina is out: left").await?;
    Ok(honest)
}

/// A token is for one session on one server, and a session has so many slots. Answers a player of the second session.
pub async fn wrong_and_full(stage: &mut Stage, arena: &Hosted, hill: &Hosted) -> Outcome<Player> {
    let asked = Instant::now();
    let ticket = reserve(stage, hill, "gus", MINUTE).await?;
    let astray = Ticket { addresses: address_of(arena)?, ..ticket.clone() };
    expect_silence(stage, arena.process, "wrong_process", player::join(&astray, ATTEMPT)).await?;
    say_detail("refused", "token for another session: no answer  (wrong_process)");

    let too_many = NewPlayerSessions::new(hill.id).player("hal", b"").player("ida", b"");
    let code = refused_call(stage.operator.create_player_sessions(too_many).await);
    stage.check("two players for one free slot", code, Some(ErrorCode::GameSessionFull))?;
    let reserved = stage.operator.describe_game_session(hill.id).await?.reserved;
    stage.check("slots taken by a refused request", reserved, 1)?;
    say_detail("refused", "full session, 2 players for 1 free slot: none reserved  (GameSessionFull)");

    let mut bot = start_bot(stage, "gus", &ticket)?;
    joined(&mut bot, 1).await?;
    await_active(stage, ticket.player_session).await?;
    Ok(Player { bot, ticket, asked })
}

/// Time itself is the subject here: the shortest reservation there is has to run out.
pub async fn expired(stage: &mut Stage, latecomer: Latecomer) -> Outcome {
    let Latecomer { ticket, asked } = latecomer;
    sleep_until((asked + SHORT_RESERVATION + MARGIN).into()).await;
    let code = refusal(player::join(&ticket, ATTEMPT).await)?;
    stage.check("a ticket used too late", code, RefuseCode::Expired)?;
    let started = Instant::now();
    while stage.operator.describe_player_session(ticket.player_session).await?.status != PlayerSessionStatus::TimedOut {
        look_again("the slot of an expired reservation free", started).await?;
    }
    say_detail("refused", "expired reservation, 1 s old; its slot is free again  (Expired)");
    Ok(())
}

/// A player is taken out, and does not get in again.
pub async fn kicked(stage: &mut Stage, cleo: Player) -> Outcome {
    let Player { mut bot, ticket, .. } = cleo;
    let started = Instant::now();
    let revoked = stage.operator.revoke_player_session(ticket.player_session, ATTEMPT).await?;
    let took = ms(started);
    let state = (revoked.status, revoked.reason);
    stage.check("a revoked player", state, (PlayerSessionStatus::Completed, Some(PlayerEnd::Revoked)))?;
    bot.line("was taken out").await?;
    let code = bot.exit().await?.code();
    stage.check("exit code of a bot that was taken out", code, Some(EXIT_REMOVED.into()))?;
    let again = refusal(player::join(&ticket, ATTEMPT).await)?;
    stage.check("the ticket of a kicked player", again, RefuseCode::Revoked)?;
    say_detail("refused", &format!("kicked player, out and confirmed in {took}; the ticket is void  (Revoked)"));
    Ok(())
}

/// Makes an attempt, and waits until the server has counted its refusal under `reason`; nobody may be let in.
async fn expect_silence<T>(
    stage: &mut Stage,
    server: ServerProcessId,
    reason: &str,
    attempt: impl Future<Output = Result<T, JoinError>>,
) -> Outcome {
    let before = refusals(stage, server, reason);
    let started = Instant::now();
    let counted = async {
        while refusals(stage, server, reason) == before {
            look_again(&format!("{reason} counted by the server"), started).await?;
        }
        Ok(())
    };
    let outcome = tokio::select! {
        counted = counted => counted,
        Ok(_) = attempt => Err(Unexpected(format!("let in, though {reason}"))),
    };
    stage.check(&format!("attempt refused for {reason}"), outcome.is_ok(), true).and(outcome)
}

/// How often a server has refused somebody for this reason, by its log.
fn refusals(stage: &Stage, server: ServerProcessId, reason: &str) -> u64 {
    let prefix = format!("refused {reason} ");
    let log = stage.log_of(server);
    log.lines().rev().find_map(|line| line.strip_prefix(&prefix)?.parse().ok()).unwrap_or(0)
}

/// What an eavesdropper on the path has.
struct Overheard {
    datagrams: Vec<Vec<u8>>,
    server: std::net::SocketAddr,
}

/// An honest join by hand, so that its datagrams can be kept.
async fn join_overheard(stage: &Stage, arena: &Hosted) -> Outcome<(UdpSocket, Overheard)> {
    use playgate_client::player::{JoinState, Joiner, nonce};
    let ticket = reserve(stage, arena, "nina", MINUTE).await?;
    let (socket, started) = (bind().await?, Instant::now());
    let mut joiner =
        Joiner::new(&ticket, nonce(), ATTEMPT, started.elapsed()).map_err(Unexpected::because("ticket"))?;
    let (mut datagrams, mut buffer) = (Vec::new(), [0; 2_048]);
    loop {
        while let Some(transmit) = joiner.poll_transmit() {
            let sent = socket.send_to(transmit.datagram.as_slice(), transmit.to).await;
            sent.map_err(Unexpected::because("datagram of nina"))?;
            datagrams.push(transmit.datagram.as_slice().to_vec());
        }
        match *joiner.state() {
            JoinState::Accepted { server, .. } => return Ok((socket, Overheard { datagrams, server })),
            JoinState::Knocking | JoinState::Proving => {}
            other => return Err(Unexpected(format!("nina has a good ticket, but: {other:?}"))),
        }
        let patience = joiner.poll_timeout().unwrap_or_default().saturating_sub(started.elapsed());
        if let Ok(Ok((len, from))) = timeout(patience, socket.recv_from(&mut buffer)).await {
            joiner.handle(started.elapsed(), from, &buffer[..len]);
        }
        joiner.handle_timeout(started.elapsed());
    }
}

async fn bind() -> Outcome<UdpSocket> {
    UdpSocket::bind("127.0.0.1:0").await.map_err(Unexpected::because("UDP socket"))
}

fn with_bit_flipped(ticket: &Ticket) -> Ticket {
    let mut token = ticket.token.to_vec();
    let last = token.len() - 1;
    token[last / 2] ^= 1;
    Ticket { token: Blob::new(token).expect("it is as long as before"), ..ticket.clone() }
}

/// Not the right one; that is all it has to be.
fn random_key() -> [u8; 32] {
    let (front, back) = (player::nonce(), player::nonce());
    std::array::from_fn(|n| if n < 16 { front[n] } else { back[n - 16] })
}

fn address_of(session: &Hosted) -> Outcome<playgate_client::protocol::List<std::net::SocketAddr, 4>> {
    let address = session.info.address.ok_or_else(|| Unexpected("an active session has no address".to_owned()))?;
    Ok(playgate_client::protocol::List::first_of([address]))
}

fn refused_call<T>(outcome: Result<T, CallFailed>) -> Option<ErrorCode> {
    outcome.err().and_then(|error| error.code())
}

fn refusal<T>(outcome: Result<T, JoinError>) -> Outcome<RefuseCode> {
    match outcome {
        Err(JoinError::Refused { reason }) => Ok(reason),
        Err(error) => Err(Unexpected(format!("a refusal should come, but: {error}"))),
        Ok(_) => Err(Unexpected("let in, though a refusal should come".to_owned())),
    }
}
