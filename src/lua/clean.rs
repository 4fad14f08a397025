//! Gives back what a resume left behind that was refused more memory.
//!
//! Its garbage is as large as it may be, and the collector would come to it only as fast as
//! others allocate. Here it is collected in small steps, with everybody else's turn in between.

use std::rc::Rc;

use super::core::Core;

/// Steps of one clean-up, should the collector never get to an end.
const STEPS_MAX: u32 = 10_000;

/// Full cycles of the collector: the first may have begun before the garbage was made.
const CYCLES: u32 = 2;

/// Starts a clean-up of `core` if a resume was refused memory since the last one.
pub(super) fn after_failure(core: &Core) {
    if !core.heap().wants_cleaning() {
        return;
    }
    match core.owned().filter(|core| core.env.serves) {
        Some(core) => drop(tokio::task::spawn_local(clean(core))),
        None => {
            core.state().collect(true);
            core.heap().cleaned();
        }
    }
}

async fn clean(core: Rc<Core>) {
    let mut cycles = 0;
    for _ in 0..STEPS_MAX {
        tokio::task::yield_now().await;
        cycles += u32::from(core.state().collect(false));
        if cycles == CYCLES {
            break;
        }
    }
    core.heap().cleaned();
}
