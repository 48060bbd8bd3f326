//! Finds the operator's key and connects.

use std::path::{Path, PathBuf};
use std::time::Duration;

use playgate_client::{Operator, read_operator_key};

use crate::error::Failure;

/// Long enough for a coordinator that restarts, short enough for a person.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where `playgate dev` and `playgate coordinator` leave the key by default.
const USUAL_PLACES: [&str; 2] = [".playgate-dev/coordinator/operator.key", "playgate-data/operator.key"];

/// Connects as operator with the given key file, or the one in a usual place.
pub async fn operator(key: Option<&Path>) -> Result<Operator, Failure> {
    let path = match key {
        Some(path) => path.to_owned(),
        None => USUAL_PLACES.map(PathBuf::from).into_iter().find(|path| path.exists()).ok_or_else(|| {
            Failure::setup(format!(
                "no operator key: neither {} nor {} is here. It lies in the coordinator's data directory; name it with \
                 --operator-key or PLAYGATE_OPERATOR_KEY_FILE",
                USUAL_PLACES[0], USUAL_PLACES[1]
            ))
        })?,
    };
    let key = read_operator_key(&path).map_err(|error| Failure::setup(error.to_string()))?;
    Ok(Operator::connect_within(key, PATIENCE).await?)
}
