//! Whether a directory holds what was promised.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use playgate_coordinator::DATABASE_FILE;
use playgate_coordinator::store::{Loaded, Sqlite, Store};

use super::image::Image;
use super::rows::batch;
use super::script::{DATA_BELOW, Promised, scratch, start};

/// Starts a coordinator on the image, twice loads its store, and goes on with it.
pub fn check(image: &Image, promised: &Promised, expected: &[Loaded]) -> Result<(), String> {
    let home = scratch();
    image.put(home.path());
    let checked = || check_directory(&home.path().join(DATA_BELOW), promised, expected);
    catch_unwind(AssertUnwindSafe(checked)).unwrap_or_else(|_| Err("panicked".to_owned()))
}

fn check_directory(data_dir: &Path, promised: &Promised, expected: &[Loaded]) -> Result<(), String> {
    let fingerprint = start(data_dir, || {}).map_err(|e| format!("does not start: {e}"))?;
    if promised.fingerprint.as_ref().is_some_and(|before| *before != fingerprint) {
        return Err("has other keys than it had".to_owned());
    }
    let open = || Sqlite::open(data_dir.join(DATABASE_FILE)).map_err(|e| format!("does not open: {e}"));
    let loaded = open()?.load().map_err(|e| format!("does not load: {e}"))?;
    let (acknowledged, stored) = (promised.batch, loaded.seq);
    if stored < acknowledged || stored > acknowledged + 1 {
        return Err(format!("batch {acknowledged} was acknowledged, {stored} is the last stored"));
    }
    if loaded != expected[stored as usize] {
        return Err(format!("the rows are not those of batch {stored}"));
    }
    let mut store = open()?;
    if store.load().as_ref() != Ok(&loaded) {
        return Err("loaded twice, it is not the same".to_owned());
    }
    store.commit(stored + 1, &batch(stored + 1)).map_err(|e| format!("does not go on: {e}"))?;
    if store.load().as_ref() != Ok(&expected[stored as usize + 1]) {
        return Err(format!("the rows are not those of batch {}, which it went on with", stored + 1));
    }
    Ok(())
}
