//! `host.time`: the clock, and the date formats of HTTP headers and cookies.

use mlua::{Function, Lua, LuaString, Table, Value};

use super::{number_of, raise};
use crate::{
    clock,
    lua::raw::{current, frame::Outcome, state::host_function},
};

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_PER_DAY: i64 = 86_400;

/// Fills `host.time`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    // Seconds with a resolution of 1 ms, as nginx has them: the same until the code waits.
    host_function(lua, &table, "now", |frame| {
        frame.push_num(current::wall_ms() as f64 / 1000.0);
        Ok(Outcome::Return(1))
    })?;
    host_function(lua, &table, "time", |frame| {
        frame.push_num((current::wall_ms() / 1000) as f64);
        Ok(Outcome::Return(1))
    })?;
    host_function(lua, &table, "update", |_| {
        current::update_time();
        Ok(Outcome::Return(0))
    })?;
    table.raw_set(
        "http_time",
        lua.create_function(|lua, seconds: Value| Ok(http_time(seconds_arg(lua, &seconds)?)))?,
    )?;
    table.raw_set(
        "cookie_time",
        lua.create_function(|lua, seconds: Value| Ok(cookie_time(seconds_arg(lua, &seconds)?)))?,
    )?;
    table.raw_set(
        "parse_http_time",
        lua.create_function(|lua, text: Value| {
            let Value::String(text) = text else {
                return Err(raise(lua, "string argument only"));
            };
            // nginx cannot tell the last second of 1969 from a failure.
            let seconds = parse_http_time(&text.as_bytes()).filter(|seconds| *seconds != -1);
            Ok(seconds.map(|seconds| seconds as f64))
        })?,
    )?;
    table.raw_set(
        "utctime",
        lua.create_function(|_, (): ()| {
            let date = Date::of(clock::wall().as_secs().cast_signed());
            let Date { year, month, day, hour, minute, second, .. } = date;
            Ok(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"))
        })?,
    )?;
    local_times(lua, &table)?;
    host.raw_set("time", table)
}

/// `localtime` and `today` need the time zone, which `os.date` knows; the function is taken
/// before any plugin can replace it.
fn local_times(lua: &Lua, table: &Table) -> mlua::Result<()> {
    let date: Function = lua.globals().get::<Table>("os")?.get("date")?;
    let own = date.clone();
    let local = lua.create_function(move |_, (): ()| {
        own.call::<LuaString>(("%Y-%m-%d %H:%M:%S", clock::wall().as_secs()))
    })?;
    table.raw_set("localtime", local)?;
    let today = lua.create_function(move |_, (): ()| {
        date.call::<LuaString>(("%Y-%m-%d", clock::wall().as_secs()))
    })?;
    table.raw_set("today", today)
}

fn seconds_arg(lua: &Lua, seconds: &Value) -> mlua::Result<i64> {
    match seconds {
        Value::Integer(_) | Value::Number(_) => {
            Ok(number_of(lua, seconds).map_or(0, |seconds| seconds as i64))
        }
        _ => Err(raise(lua, "number argument only")),
    }
}

/// A moment in UTC, month and day counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
    weekday: usize,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Date {
    /// Moments before 1970 count as 1970, and years end with 9999.
    fn of(seconds: i64) -> Self {
        let seconds = seconds.clamp(0, 253_402_300_799);
        let days = seconds / SECONDS_PER_DAY;
        let rest = seconds % SECONDS_PER_DAY;
        // Years are counted from March, so that the leap day is the last of its year.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let of_era = shifted % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month,
            day,
            weekday: usize::try_from((days + 4) % 7).unwrap_or(0),
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    fn month_name(&self) -> &'static str {
        usize::try_from(self.month - 1).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or("Jan")
    }
}

/// `Mon, 28 Sep 1970 06:00:00 GMT`
fn http_time(seconds: i64) -> String {
    let date = Date::of(seconds);
    let Date { year, day, hour, minute, second, .. } = date;
    let (weekday, month) = (DAYS[date.weekday], date.month_name());
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// `Mon, 28-Sep-70 06:00:00 GMT`; years two digits cannot tell apart get four.
fn cookie_time(seconds: i64) -> String {
    let date = Date::of(seconds);
    let Date { year, day, hour, minute, second, .. } = date;
    let (weekday, month) = (DAYS[date.weekday], date.month_name());
    let year = if year > 2037 { format!("{year:04}") } else { format!("{:02}", year % 100) };
    format!("{weekday}, {day:02}-{month}-{year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Reads RFC 1123, RFC 850 and asctime dates as nginx does: the weekday is not checked and
/// what follows the date is ignored. Seconds since 1970.
fn parse_http_time(text: &[u8]) -> Option<i64> {
    let stop = text.iter().position(|&byte| byte == b',' || byte == b' ')?;
    let asctime = text[stop] == b' ';
    let mut cursor = Cursor { text, at: stop + 1 };
    cursor.skip_spaces();
    if text.len() - cursor.at < 18 {
        return None;
    }
    let (day, month, year, clock);
    if asctime {
        month = cursor.month()?;
        cursor.expect(b' ')?;
        cursor.skip_one_space();
        let first = cursor.number(1)?;
        day = if cursor.peek() == Some(b' ') { first } else { first * 10 + cursor.number(1)? };
        if text.len() - cursor.at < 14 {
            return None;
        }
        cursor.expect(b' ')?;
        clock = cursor.clock()?;
        cursor.expect(b' ')?;
        year = cursor.number(4)?;
    } else {
        day = cursor.number(2)?;
        let dashed = match cursor.peek()? {
            b' ' => false,
            b'-' => true,
            _ => return None,
        };
        let separator = if dashed { b'-' } else { b' ' };
        cursor.expect(separator)?;
        month = cursor.month()?;
        cursor.expect(separator)?;
        year = if dashed {
            let short = cursor.number(2)?;
            if short < 70 { 2000 + short } else { 1900 + short }
        } else {
            cursor.number(4)?
        };
        cursor.expect(b' ')?;
        clock = cursor.clock()?;
    }
    seconds_of(year, month, day, clock)
}

fn seconds_of(year: i64, month: usize, day: i64, clock: [i64; 3]) -> Option<i64> {
    const LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let [hour, minute, second] = clock;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = LENGTHS[month] + i64::from(leap && month == 1);
    if day > longest {
        return None;
    }
    let before = LENGTHS[..month].iter().sum::<i64>() + i64::from(leap && month > 1);
    let past = year - 1;
    let days = past * 365 + past / 4 - past / 100 + past / 400 + before + day - 1 - 719_162;
    Some(days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second)
}

struct Cursor<'c> {
    text: &'c [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn skip_one_space(&mut self) {
        if self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()? == byte;
        self.at += 1;
        found.then_some(())
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let text = self.text.get(self.at..self.at + digits)?;
        self.at += digits;
        text.iter().try_fold(0, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
        })
    }

    /// Three letters, of which nginx looks at just enough to tell the months apart.
    fn month(&mut self) -> Option<usize> {
        let name = self.text.get(self.at..self.at + 3)?;
        self.at += 3;
        Some(match (name[0], name[1], name[2]) {
            (b'J', b'a', _) => 0,
            (b'F', ..) => 1,
            (b'M', _, b'r') => 2,
            (b'A', b'p', _) => 3,
            (b'M', ..) => 4,
            (b'J', _, b'n') => 5,
            (b'J', ..) => 6,
            (b'A', ..) => 7,
            (b'S', ..) => 8,
            (b'O', ..) => 9,
            (b'N', ..) => 10,
            (b'D', ..) => 11,
            _ => return None,
        })
    }

    /// `HH:MM:SS`
    fn clock(&mut self) -> Option<[i64; 3]> {
        let hour = self.number(2)?;
        self.expect(b':')?;
        let minute = self.number(2)?;
        self.expect(b':')?;
        Some([hour, minute, self.number(2)?])
    }
}
