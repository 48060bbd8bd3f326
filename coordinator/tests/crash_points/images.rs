//! Losses of power: what each can leave is opened by the coordinator.

use std::collections::HashSet;

use super::disk::{Survives, Tear};
use super::image::Image;
use super::script::Promised;
use super::story::{Chapter, Story};
use super::trace::{Record, What};
use super::{SEED, check, work};

/// Different choices of parts at each point.
const CHOICES: u64 = 2;

/// An image and where it comes from.
struct Case {
    name: String,
    image: Image,
    promised: Promised,
}

pub fn every_image_of_every_point() {
    let story = Story::record();
    let (points, mut images) = (story.chapters.iter().map(|chapter| chapter.operations().count()).sum::<usize>(), 0);
    let mut seen = HashSet::new();
    let cases = story.chapters.iter().flat_map(cases).inspect(|_| images += 1);
    // The same image with the same promises has been judged.
    let mut distinct = 0;
    let cases = cases.filter(|case| seen.insert((case.image.fingerprint(), case.promised.clone())));
    let cases = cases.inspect(|_| distinct += 1);
    work(cases, |case| {
        check::check(&case.image, &case.promised, &story.expected).map_err(|what| format!("{}: {what}", case.name))
    });
    println!("{points} points, {images} images of a disk, {distinct} of them distinct and each opened");
    assert!(images >= points * 6 && distinct > points, "too few");
}

/// One after the other, for they are large.
fn cases(chapter: &Chapter) -> impl Iterator<Item = Case> {
    let (mut disk, mut promised) = (chapter.disk.clone(), chapter.promised.clone());
    let mut number = 0;
    let points = chapter.records.iter().map(Some).chain([None]);
    points.flat_map(move |record| {
        number += u64::from(record.is_none_or(Record::is_operation));
        let at = format!("{}, {}", chapter.phase.name, record.map_or("at the end".to_owned(), line));
        let case = |(survives, tear): (Survives, Option<Tear>)| Case {
            name: format!("{at}, operation {number}: {survives:?}, {tear:?}"),
            image: disk.image(survives, record.zip(tear)),
            promised: promised.clone(),
        };
        let cases: Vec<Case> = variants(record, number).into_iter().map(case).collect();
        if let Some(record) = record {
            disk.apply(record);
            promised.hear(record);
        }
        cases
    })
}

/// What a loss of power before this operation can leave, and within it where it writes.
fn variants(record: Option<&Record>, number: u64) -> Vec<(Survives, Option<Tear>)> {
    if record.is_some_and(|record| !record.is_operation()) {
        return Vec::new();
    }
    let seed = SEED ^ (number << 8);
    let whole = [Survives::Everything, Survives::Nothing, Survives::Names, Survives::Content];
    let parts = (0..CHOICES).map(|choice| Survives::Parts(seed + choice));
    let mut variants: Vec<_> = whole.into_iter().chain(parts).map(|survives| (survives, None)).collect();
    if record.is_some_and(|record| matches!(record.what, What::Write(..))) {
        let sectors = Tear::Sectors(seed);
        variants.push((Survives::Everything, Some(Tear::FirstHalf)));
        for survives in [Survives::Everything, Survives::Nothing, Survives::Parts(seed)] {
            variants.push((survives, Some(sectors)));
        }
    }
    variants
}

/// What an operation is, in a few words.
pub fn line(record: &Record) -> String {
    let path = &record.path;
    match &record.what {
        What::Write(at, data) => format!("{} bytes at {at} of {path}", data.len()),
        What::Rename(to) => format!("rename {path} to {to}"),
        what => format!("{what:?} {path}"),
    }
}
