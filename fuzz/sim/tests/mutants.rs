//! The mutants are patches, and code moves on: each must still fit, or nobody could judge it.

use std::fs;
use std::path::Path;

/// The lines that a hunk expects to find, each with its line end.
fn expected(hunk: &str) -> String {
    let body = hunk.split_once('\n').map_or("", |(_, body)| body);
    let kept = body.lines().filter(|line| !line.starts_with('+') && !line.starts_with('\\'));
    kept.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
}

#[test]
fn every_mutant_still_fits_the_code() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in fs::read_dir(here.join("mutants")).expect("the mutants") {
        let path = entry.expect("a mutant").path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let (name, text) = (path.display(), fs::read_to_string(&path).expect("a patch is text"));
        for file in text.split("\n--- a/").skip(1) {
            let (of, rest) = file.split_once('\n').expect("the name of a file");
            let source =
                fs::read_to_string(here.join("../..").join(of)).unwrap_or_else(|error| panic!("{of}: {error}"));
            for hunk in rest.split("\n@@ ").skip(1) {
                assert!(source.contains(&expected(hunk)), "{name} does not fit {of} any more; draw it anew:\n{hunk}");
                count += 1;
            }
        }
    }
    assert!(count > 100, "only {count} hunks were found");
}
