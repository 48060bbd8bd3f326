//! Attacks a real coordinator over loopback while honest requests go on, and measures what that does to them.
//!
//! ```text
//!   this process:   honest backends, an honest game server, the measuring
//!        │ starts
//!        ├──► playgate coordinator   its memory and its refusals are watched
//!        └──► playgate-abuse attack  one script, for a bounded time; then the same CPU time burnt elsewhere
//! ```
//!
//! For each script honest requests are timed three times: with nothing else going on, under attack, and while the CPU time
//! that the attacker took is burnt on an unrelated socket. The last is the control: on a machine that attacker and honest
//! share, a part of the delay is the attacker's use of the machine and no fault of the coordinator.

pub mod attack;
pub mod coordinator;
pub mod cpus;
pub mod honest;
pub mod report;
pub mod run;
pub mod storm;
