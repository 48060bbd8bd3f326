//! Every point at which the coordinator's store and key file can be cut off, and every call that a disk can fail.
//!
//! A child process lives a few lives of a coordinator under a shim that writes down every operation on its files. Then,
//! for each operation of that trace: the images of a disk that a loss of power at this point could leave, each opened by
//! the real coordinator; and the child anew, with this operation failing. None is left out.

// Elsewhere the loader is told of a shim in other ways, and the calls have other names.
#![cfg(target_os = "linux")]

mod check;
mod disk;
mod faults;
mod image;
mod images;
mod rows;
mod script;
mod story;
mod trace;

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

/// Of the parts that survive at random; printed with a failure.
const SEED: u64 = 0x706c_6179_6761_7465;
/// Threads, and children at a time.
const WORKERS: usize = 2;

#[test]
fn every_loss_of_power_leaves_what_was_promised() {
    if !script::is_child() {
        images::every_image_of_every_point();
    }
}

#[test]
fn every_failed_call_is_told_and_loses_nothing() {
    faults::every_fault_at_every_operation();
}

/// Does each piece of work on one of a few threads; as many wait as there are threads. Panics with the first failure.
fn work<T: Send>(items: impl Iterator<Item = T>, check: impl Fn(T) -> Result<(), String> + Sync) {
    let (queue, next) = sync_channel(WORKERS);
    let next = Mutex::new(next);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Ok(item) = { next.lock().expect("nobody panics with it").recv() } {
                    if let Err(failure) = check(item) {
                        failures.lock().expect("nobody panics with it").push(failure);
                    }
                }
            });
        }
        for item in items {
            if queue.send(item).is_err() || failures.lock().expect("nobody panics with it").len() > 4 {
                break;
            }
        }
        drop(queue);
    });
    let failures = failures.into_inner().expect("nobody panics with it");
    assert!(failures.is_empty(), "seed {SEED:#x}:\n{}", failures.join("\n"));
}
