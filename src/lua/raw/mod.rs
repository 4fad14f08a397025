//! The fence around the Lua C API: the only place, besides `sys`, with `unsafe`.
//!
//! What crosses the fence is safe to use: [`state::State`] owns a Lua state,
//! [`co::Co`] is a coroutine that Rust resumes, [`frame::Frame`] is the stack as a
//! host function sees it. No pointer of ours reaches Lua, no panic and no Rust
//! destructor is crossed by a Lua error.
//!
//! Three rules hold this together:
//!
//! * A host function never calls an API function that may raise, except through
//!   [`frame`], which raises only after every Rust value of the call was dropped.
//! * While a host function runs, the allocator refuses nothing ([`heap`]): a memory
//!   error would unwind through our frames.
//! * The request a VM works for is set before every resume and taken away after it
//!   ([`current`]), so a host function called outside finds none.
#![allow(unsafe_code)] // The fence itself; every block carries its SAFETY sentence.

pub(crate) mod co;
pub(crate) mod current;
pub(crate) mod dfa;
pub(crate) mod door;
pub(crate) mod frame;
pub(crate) mod heap;
mod moment;
pub(crate) mod object;
mod place;
pub(crate) mod state;
pub(crate) mod symbols;
pub(crate) mod watch;
