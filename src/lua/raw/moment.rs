//! The time as Lua code sees it: read when it is first asked for, the same until the code waits.
//!
//! nginx does it so, and plugins that compare two times rely on it. Lua reads the number itself,
//! through a pointer that lives as long as the VM; 0 stands for "nobody has asked yet".

use std::cell::Cell;

use crate::clock;

/// The wall time of one VM; Lua sees the first field.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Moment {
    /// Seconds since 1970 with a resolution of 1 ms; 0 if the time was not read yet.
    seconds: Cell<f64>,
    millis: Cell<u64>,
}

impl Moment {
    /// Milliseconds since 1970, read now if they were not yet.
    pub(super) fn millis(&self) -> u64 {
        if self.millis.get() == 0 {
            let millis = wall_ms();
            self.millis.set(millis);
            #[allow(clippy::cast_precision_loss)] // Far below 2^52.
            self.seconds.set(millis as f64 / 1000.0);
        }
        self.millis.get()
    }

    /// Lets the next one who asks read the clock.
    pub(super) fn forget(&self) {
        self.seconds.set(0.0);
        self.millis.set(0);
    }

    /// Where Lua finds the seconds.
    pub(super) fn address(&self) -> *const f64 {
        self.seconds.as_ptr()
    }
}

/// Milliseconds since 1970 by the clock.
pub(super) fn wall_ms() -> u64 {
    u64::try_from(clock::wall().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stands_until_it_is_forgotten() {
        let moment = Moment::default();
        let first = moment.millis();
        let started = clock::now();
        while started.elapsed().as_millis() < 3 {}
        assert_eq!(moment.millis(), first);
        moment.forget();
        assert!(moment.millis() > first);
    }
}
