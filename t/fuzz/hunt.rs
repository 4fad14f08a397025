//! Mutations of samples, seeded: the same on every machine.

use std::panic::{self, AssertUnwindSafe};

const ROUNDS: u32 = 200_000;
const MUTATIONS_MAX: u32 = 6;
const BYTES_MAX: usize = 4096;

/// Bytes and words worth planting anywhere.
pub(crate) const SPICES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "%",
    "%2f",
    "%00",
    "..",
    "/",
    "//",
    "\\",
    "?",
    "#",
    "@",
    "[",
    "]",
    "\"",
    "{",
    "}",
    "0",
    "1",
    "ffffffffffffffff",
    "9223372036854775807",
    "-1",
    "0x",
    "+",
    "chunked",
    "close",
    "\u{e9}",
    "\u{7f}",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "Host: h\r\n",
    "\r\n\r\n",
    "HTTP/1.1",
    "http://h",
    "null",
    "1e999",
    "vector<",
    ">",
    "struct S { 0 require ",
    "};",
    "\u{8}",
    "\u{a}",
];

/// Runs `check` on every sample and on [`ROUNDS`] mutations of them.
#[track_caller]
pub(crate) fn hunt(check: impl Fn(&[u8]), samples: &[&[u8]]) {
    let rounds = std::env::var("MOONGATE_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for sample in samples {
        check(sample);
    }
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let mut data = random.pick(samples).to_vec();
        // Most inputs are changed little: what is refused at once finds nothing.
        let more = random.below(1 << MUTATIONS_MAX).trailing_zeros().min(MUTATIONS_MAX);
        for _ in 0..=more {
            mutate(&mut data, samples, &mut random);
        }
        data.truncate(BYTES_MAX);
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| check(&data))) {
            eprintln!("round {round}: b\"{}\"", data.escape_ascii());
            panic::resume_unwind(panic);
        }
    }
}

fn mutate(data: &mut Vec<u8>, samples: &[&[u8]], random: &mut Random) {
    let at = random.below(data.len() as u64 + 1) as usize;
    let end = at + random.below((data.len() - at) as u64 + 1) as usize;
    match random.below(8) {
        0 => data.truncate(at),
        1 => drop(data.drain(at..end)),
        2 => {
            let piece = data[at..end].to_vec();
            data.splice(at..at, piece);
        }
        3 => {
            let other = random.pick(samples);
            let from = random.below(other.len() as u64 + 1) as usize;
            data.truncate(at);
            data.extend_from_slice(&other[from..]);
        }
        4 => {
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        5 => {
            if let Some(byte) = data.get_mut(at) {
                *byte = random.below(256) as u8;
            }
        }
        _ => {
            data.splice(at..at, random.pick(SPICES).bytes());
        }
    }
}

/// xorshift64*: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len() as u64) as usize]
    }
}
