//! The order of things.

use std::path::Path;

use super::players::Cast;
use super::stage::Outcome;
use super::{launch, outages, players, refusals, sessions};

/// Plays everything; answers how many expectations were checked, all of which held.
pub async fn play(home: &Path) -> Outcome<usize> {
    let mut stage = launch::launch(home, "off").await?;
    let arena = sessions::start(&mut stage).await?;
    let Cast { ann, ben, cleo, dan, latecomer } = players::join(&mut stage, &arena).await?;
    let dan = outages::drop_player(dan)?;

    refusals::reserved_twice(&mut stage, &arena).await?;
    let spare = refusals::forged_and_stolen(&mut stage, &arena).await?;
    let hill = sessions::start_second(&mut stage).await?;
    let gus = refusals::wrong_and_full(&mut stage, &arena, &hill).await?;
    refusals::expired(&mut stage, latecomer).await?;
    refusals::kicked(&mut stage, cleo).await?;

    let dan = outages::reconnect(&mut stage, &arena, dan).await?;
    outages::kill_server(&mut stage, &hill, gus).await?;
    let finn = outages::kill_coordinator(&mut stage, &arena, spare).await?;

    sessions::stop(&mut stage, &arena, vec![ann, ben, dan, finn]).await?;
    launch::shut_down(stage, 1).await
}
