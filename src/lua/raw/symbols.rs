//! What Lua code reaches of nginx by `ffi.C`, under nginx's names: functions, and the numbers of
//! its status page.
//!
//! `build.rs` has the linker keep and export them, and nothing here calls the functions. They take
//! memory that a Lua library owns, as their namesakes do, and touch nothing else.

use std::{
    slice,
    sync::atomic::{AtomicU64, Ordering},
};

/// Declares numbers, each behind a pointer of nginx's name, and `publish`, which writes them.
macro_rules! numbers {
    ($($name:literal $symbol:ident $number:ident)*) => {
        $(
            static $number: AtomicU64 = AtomicU64::new(0);

            /// Points to the number, for its readers in C and Lua.
            #[unsafe(no_mangle)]
            #[allow(non_upper_case_globals)] // nginx's name.
            pub(crate) static $symbol: &AtomicU64 = &$number;
        )*

        /// Has readers find these values from now on; a name that nginx has not is passed over.
        pub(crate) fn publish(values: &[(&str, u64)]) {
            for (name, value) in values {
                match *name {
                    $($name => $number.store(*value, Ordering::Relaxed),)*
                    _ => {}
                }
            }
        }
    };
}

numbers! {
    "accepted" ngx_stat_accepted ACCEPTED
    "active" ngx_stat_active ACTIVE
    "handled" ngx_stat_handled HANDLED
    "reading" ngx_stat_reading READING
    "requests" ngx_stat_requests REQUESTS
    "waiting" ngx_stat_waiting WAITING
    "writing" ngx_stat_writing WRITING
}

/// Writes `len` bytes of `src` as twice as many digits to `dst`, and tells where that ends.
///
/// # Safety
///
/// `src` has `len` bytes and `dst` room for twice as many; they do not overlap.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ngx_hex_dump(dst: *mut u8, src: *const u8, len: usize) -> *mut u8 {
    if len == 0 {
        return dst;
    }
    // SAFETY: the caller says so.
    let bytes = unsafe { slice::from_raw_parts(src, len) };
    // SAFETY: the caller says so, and the two are apart.
    let out = unsafe { slice::from_raw_parts_mut(dst, len * 2) };
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        for (digit, value) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        }
    }
    dst.wrapping_add(len * 2)
}

/// A number of digits of `base`, -1 for anything else and for one that is too large.
fn number(line: *const u8, len: usize, base: u32) -> isize {
    if len == 0 {
        return -1;
    }
    // SAFETY: both functions below demand it of their callers.
    let digits = unsafe { slice::from_raw_parts(line, len) };
    let mut value: isize = 0;
    for digit in digits {
        let Some(digit) = char::from(*digit).to_digit(base) else { return -1 };
        let grown = value.checked_mul(base as isize).and_then(|v| v.checked_add(digit as isize));
        let Some(grown) = grown else { return -1 };
        value = grown;
    }
    value
}

/// The decimal number that `len` bytes at `line` are, -1 if they are none.
///
/// # Safety
///
/// `line` has `len` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ngx_atoi(line: *const u8, len: usize) -> isize {
    number(line, len, 10)
}

/// The hexadecimal number that `len` bytes at `line` are, -1 if they are none.
///
/// # Safety
///
/// `line` has `len` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn ngx_hextoi(line: *const u8, len: usize) -> isize {
    number(line, len, 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, decimal: isize, hexadecimal: isize) {
        // SAFETY: pointer and length are of one string.
        let found = unsafe { ngx_atoi(text.as_ptr(), text.len()) };
        assert_eq!(found, decimal);
        // SAFETY: as above.
        let found = unsafe { ngx_hextoi(text.as_ptr(), text.len()) };
        assert_eq!(found, hexadecimal);
    }

    #[test]
    fn each_number_is_behind_the_pointer_of_its_name() {
        let names = ["accepted", "active", "handled", "reading", "requests", "waiting", "writing"];
        publish(&names.into_iter().zip(1..).collect::<Vec<_>>());
        publish(&[("sleeping", 9)]);
        let pointers = [
            ngx_stat_accepted,
            ngx_stat_active,
            ngx_stat_handled,
            ngx_stat_reading,
            ngx_stat_requests,
            ngx_stat_waiting,
            ngx_stat_writing,
        ];
        assert_eq!(pointers.map(|number| number.load(Ordering::Relaxed)), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn numbers_are_read_as_nginx_reads_them() {
        check("0", 0, 0);
        check("128", 128, 0x128);
        check("", -1, -1);
        check("-1", -1, -1);
        check("1f", -1, 0x1f);
        check("9223372036854775807", isize::MAX, -1);
        check("9223372036854775808", -1, -1);
    }

    #[test]
    fn bytes_become_twice_as_many_digits() {
        let mut out = [b'.'; 6];
        // SAFETY: there is room for four digits.
        let end = unsafe { ngx_hex_dump(out.as_mut_ptr(), b"\x0a\xfe".as_ptr(), 2) };
        assert_eq!(&out, b"0afe..");
        assert_eq!(end as usize - out.as_ptr() as usize, 4);
    }
}
