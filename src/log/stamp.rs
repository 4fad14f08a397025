//! Time stamps of log lines, formatted once per second and thread.

use std::cell::Cell;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

thread_local! {
    static STAMP: Cell<Stamp> = const { Cell::new(Stamp::NONE) };
}

/// Appends `$time_local`: `10/Oct/2026:13:55:36 +0800`.
pub fn time_local(out: &mut Vec<u8>, now_s: u64) {
    out.extend_from_slice(&current(now_s).local);
}

/// Appends `$time_iso8601`: `2026-10-10T13:55:36+08:00`.
pub fn time_iso8601(out: &mut Vec<u8>, now_s: u64) {
    out.extend_from_slice(&current(now_s).iso);
}

/// Appends the stamp of an error line: `2026/10/10 13:55:36`.
pub fn error_time(out: &mut Vec<u8>, now_s: u64) {
    out.extend_from_slice(&current(now_s).error);
}

/// The stamp in the name of a rotated file: `2026-10-10_13-55-36`.
#[must_use]
pub fn file_time(now_s: u64, offset_s: i32) -> String {
    let [year, month, day, hour, minute, second] = civil(now_s, offset_s);
    format!("{year:04}-{month:02}-{day:02}_{hour:02}-{minute:02}-{second:02}")
}

#[derive(Clone, Copy)]
struct Stamp {
    second: u64,
    error: [u8; 19],
    local: [u8; 26],
    iso: [u8; 25],
}

impl Stamp {
    const NONE: Self =
        Self { second: u64::MAX, error: [b' '; 19], local: [b' '; 26], iso: [b' '; 25] };

    fn new(now_s: u64, offset_s: i32) -> Self {
        let [year, month, day, hour, minute, second] = civil(now_s, offset_s);
        let [zone_hour, zone_minute] =
            [offset_s.unsigned_abs() / 3600, offset_s.unsigned_abs() / 60 % 60];
        let sign = if offset_s < 0 { b'-' } else { b'+' };
        let mut stamp = Self { second: now_s, ..Self::NONE };

        stamp.error = *b"0000/00/00 00:00:00";
        put(&mut stamp.error, &[(0, 4, year), (5, 2, month), (8, 2, day)]);
        put(&mut stamp.error, &[(11, 2, hour), (14, 2, minute), (17, 2, second)]);

        stamp.local = *b"00/Jan/0000:00:00:00 +0000";
        put(&mut stamp.local, &[(0, 2, day), (7, 4, year), (12, 2, hour)]);
        put(&mut stamp.local, &[(15, 2, minute), (18, 2, second)]);
        put(&mut stamp.local, &[(22, 2, zone_hour), (24, 2, zone_minute)]);
        stamp.local[3..6].copy_from_slice(MONTHS[(month as usize + 11) % 12]);
        stamp.local[21] = sign;

        stamp.iso = *b"0000-00-00T00:00:00+00:00";
        put(&mut stamp.iso, &[(0, 4, year), (5, 2, month), (8, 2, day)]);
        put(&mut stamp.iso, &[(11, 2, hour), (14, 2, minute), (17, 2, second)]);
        put(&mut stamp.iso, &[(20, 2, zone_hour), (23, 2, zone_minute)]);
        stamp.iso[19] = sign;
        stamp
    }
}

fn current(now_s: u64) -> Stamp {
    let stamp = STAMP.get();
    if stamp.second == now_s {
        return stamp;
    }
    let stamp = Stamp::new(now_s, super::local_offset_s(now_s));
    STAMP.set(stamp);
    stamp
}

/// Writes numbers as digits: position, width, number.
fn put(text: &mut [u8], numbers: &[(usize, usize, u32)]) {
    for &(at, width, mut number) in numbers {
        for digit in text[at..at + width].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
}

/// Year, month, day, hour, minute, second of the proleptic Gregorian calendar.
fn civil(now_s: u64, offset_s: i32) -> [u32; 6] {
    // The year 9999 ends here; later ones have no place in the formats.
    let local = now_s.min(253_402_300_799 - 86_400).saturating_add_signed(i64::from(offset_s));
    let (days, second) = (local / 86_400, (local % 86_400) as u32);
    // Counted from 1 March of year 0, so that the leap day ends a year of 400-year eras.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    [year as u32, month as u32, day as u32, second / 3600, second / 60 % 60, second % 60]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares all four stamps of one moment.
    #[track_caller]
    fn check(now_s: u64, offset_s: i32, local: &str, iso: &str) {
        let stamp = Stamp::new(now_s, offset_s);
        assert_eq!(str::from_utf8(&stamp.local).unwrap(), local);
        assert_eq!(str::from_utf8(&stamp.iso).unwrap(), iso);
        let error = iso[..19].replace('-', "/").replace('T', " ");
        assert_eq!(str::from_utf8(&stamp.error).unwrap(), error);
        assert_eq!(file_time(now_s, offset_s), iso[..19].replace(':', "-").replace('T', "_"));
    }

    #[test]
    fn stamps_are_those_of_date_1() {
        check(0, 0, "01/Jan/1970:00:00:00 +0000", "1970-01-01T00:00:00+00:00");
        let leap = 951_868_799;
        check(leap, 0, "29/Feb/2000:23:59:59 +0000", "2000-02-29T23:59:59+00:00");
        check(leap, 28_800, "01/Mar/2000:07:59:59 +0800", "2000-03-01T07:59:59+08:00");
        check(leap, -12_600, "29/Feb/2000:20:29:59 -0330", "2000-02-29T20:29:59-03:30");
        let year_end = 1_798_761_599;
        check(year_end, 0, "31/Dec/2026:23:59:59 +0000", "2026-12-31T23:59:59+00:00");
        check(year_end + 1, 0, "01/Jan/2027:00:00:00 +0000", "2027-01-01T00:00:00+00:00");
    }

    #[test]
    fn days_follow_each_other_without_gap() {
        let mut before = file_time(0, 0);
        for day in 1..60_000_u64 {
            let stamp = file_time(day * 86_400, 0);
            assert!(stamp > before && stamp.ends_with("00-00-00"), "{before} {stamp}");
            let [_, _, today, ..] = civil(day * 86_400, 0);
            let [_, _, yesterday, ..] = civil((day - 1) * 86_400, 0);
            assert!(today == yesterday + 1 || (today == 1 && yesterday >= 28));
            before = stamp;
        }
    }

    #[test]
    fn the_cached_stamp_follows_the_second() {
        let mut out = Vec::new();
        for second in [5, 5, 6] {
            time_iso8601(&mut out, second);
        }
        assert_eq!(
            str::from_utf8(&out).unwrap(),
            "1970-01-01T00:00:05+00:00".repeat(2) + "1970-01-01T00:00:06+00:00"
        );
    }
}
