//! The readable story of a run. Kept for this thread, so that it survives a panic of a core.

use std::cell::RefCell;
use std::collections::VecDeque;

/// Lines kept for the tail that a failure prints.
pub const TAIL: usize = 120;

#[derive(Default)]
struct Trace {
    on: bool,
    all: bool,
    lines: VecDeque<String>,
}

thread_local! {
    static TRACE: RefCell<Trace> = RefCell::default();
}

/// Begins anew. With `all`, every line is printed as it comes; otherwise the last ones are kept.
pub fn begin(on: bool, all: bool) {
    TRACE.with_borrow_mut(|trace| *trace = Trace { on, all, lines: VecDeque::new() });
}

/// Whether anybody wants a line.
#[must_use]
pub fn is_on() -> bool {
    TRACE.with_borrow(|trace| trace.on)
}

/// Adds a line.
pub fn line(text: String) {
    TRACE.with_borrow_mut(|trace| {
        if trace.all {
            println!("{text}");
        }
        if trace.lines.len() == TAIL {
            trace.lines.pop_front();
        }
        trace.lines.push_back(text);
    });
}

/// Takes what was kept.
#[must_use]
pub fn take() -> Vec<String> {
    TRACE.with_borrow_mut(|trace| std::mem::take(&mut trace.lines).into())
}

/// A line of the story; its text is made only if somebody wants it.
macro_rules! say {
    ($world:expr, $($text:tt)*) => {
        if crate::trace::is_on() {
            crate::trace::line(format!(
                "{:>6} {:>10}.{:03} ms  {}", $world.steps, $world.now / 1_000, $world.now % 1_000, format_args!($($text)*)
            ));
        }
    };
}
pub(crate) use say;
