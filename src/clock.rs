//! The only "now" of the crate.
//!
//! Wall time and monotonic time are read here and nowhere else, so that tests can
//! reason about both.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time: for timeouts and durations.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Time since 1970-01-01 UTC, as the system clock has it.
#[must_use]
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The wall time of a moment that was read a short while ago, without reading the system
/// clock each time; it is read anew every second, so a step of it is noticed.
#[must_use]
pub fn wall_at(now: Instant) -> Duration {
    thread_local! {
        static ANCHOR: std::cell::Cell<Option<(Instant, Duration)>> =
            const { std::cell::Cell::new(None) };
    }
    if let Some((at, time)) = ANCHOR.get()
        && let Some(since) = now.checked_duration_since(at)
        && since < Duration::from_secs(1)
    {
        return time + since;
    }
    let time = wall();
    ANCHOR.set(Some((now, time)));
    time
}

/// The name of this machine, read once.
#[must_use]
pub fn hostname() -> &'static str {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        match name.trim() {
            "" => "localhost".to_owned(),
            name => name.to_owned(),
        }
    })
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Year, month (1-12) and day of a number of days since 1970-01-01.
#[must_use]
pub fn civil(days: u64) -> (u64, usize, u64) {
    // Howard Hinnant's algorithm: eras of 400 years that start in March.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), day)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7); `now_s` since 1970.
#[must_use]
pub fn http_date(now_s: u64) -> [u8; 29] {
    let (days, seconds) = (now_s / 86_400, now_s % 86_400);
    let (year, month, day) = civil(days);
    let weekday = DAYS[usize::try_from(days % 7).unwrap_or(0)];
    let text = format!(
        "{weekday}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        MONTHS[month - 1],
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    let mut date = [b' '; 29];
    for (to, from) in date.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_rfc_has_them() {
        assert_eq!(&http_date(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&http_date(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&http_date(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
    }
}
