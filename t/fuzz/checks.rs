//! What must hold for any bytes: one [`Check`] per fuzz target.
//!
//! They are run by the fuzz targets beside this file, guided by coverage, and by `t/bounds.rs`
//! over mutated samples in every test run.

#![allow(unreachable_pub, reason = "the fuzz targets see them through their library")]

#[path = "calls.rs"]
mod calls;
#[path = "expr.rs"]
mod expr;
#[path = "http.rs"]
mod http;
#[path = "saml.rs"]
mod saml;
#[path = "sign.rs"]
mod sign;
#[path = "snippet.rs"]
mod snippet;
#[path = "tars.rs"]
mod tars;
#[path = "trpc.rs"]
mod trpc;

/// One decoder or parser.
pub struct Check {
    /// Also the name of its fuzz target.
    pub name: &'static str,
    /// Panics if something does not hold.
    pub run: fn(&[u8]),
    /// Where mutations begin: what it takes, or nearly.
    pub samples: fn() -> Vec<Vec<u8>>,
    /// Large inputs that grow as much as can be; for `t/bounds.rs` only.
    #[allow(dead_code, reason = "libFuzzer makes none so large")]
    pub large: fn() -> Vec<Vec<u8>>,
    /// How many bytes [`run`](Self::run) may have allocated at once, for so many bytes of input:
    /// what the decoder takes, and what is compared with it.
    pub bytes_max: fn(usize) -> usize,
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Check> {
    [
        http::CHECKS,
        expr::CHECKS,
        saml::CHECKS,
        sign::CHECKS,
        snippet::CHECKS,
        tars::CHECKS,
        trpc::CHECKS,
        calls::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// Bytes of a large input.
const LARGE: usize = 1 << 20;

fn owned(samples: &[&[u8]]) -> Vec<Vec<u8>> {
    samples.iter().map(|sample| sample.to_vec()).collect()
}

fn repeated(text: &[u8]) -> Vec<u8> {
    text.repeat(LARGE / text.len())
}
