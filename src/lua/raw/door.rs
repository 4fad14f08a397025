//! The few functions that Lua calls through `ffi`, so that they become part of compiled code.
//!
//! All of them have one C signature: an [`Object`] of ours, a text, and a row of numbers that
//! Lua owns, which carries arguments in and results out. The returned number is the function's
//! own affair; [`BROKEN`] says that nothing was done. `lua/moongate/door.lua` is the only caller,
//! and asks the plain host function again whenever it gets something unexpected.

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    slice,
};

use super::object::{self, Object};

/// Changes with the signature; `door.lua` compares it.
pub(crate) const VERSION: u32 = 1;

/// What a function returns that was called with something else than its object.
pub(crate) const BROKEN: i32 = i32::MIN;

/// The address of `body`, which must capture nothing, as a C function for Lua's `ffi`.
pub(crate) fn door<T, F>(_body: F) -> mlua::LightUserData
where
    T: Object,
    F: Fn(&T, &[u8], &mut [f64]) -> i32 + Copy + 'static,
{
    const { assert!(size_of::<F>() == 0, "a door captures nothing") };
    mlua::LightUserData(trampoline::<T, F> as *mut c_void)
}

/// What Lua calls.
///
/// # Safety
///
/// `block` is the memory of a userdata made by [`object`], `text` is readable for `len` bytes and
/// `numbers` writable for `count` numbers, none of which anybody changes meanwhile.
unsafe extern "C" fn trampoline<T, F>(
    block: *const c_void,
    text: *const u8,
    len: usize,
    numbers: *mut f64,
    count: usize,
) -> i32
where
    T: Object,
    F: Fn(&T, &[u8], &mut [f64]) -> i32 + Copy + 'static,
{
    // SAFETY: `F` is zero-sized (asserted in `door`): any aligned pointer is a valid reference.
    let body = unsafe { NonNull::<F>::dangling().as_ref() };
    // SAFETY: the caller's promise.
    let Some(object) = (unsafe { object::of_block::<T>(block) }) else { return BROKEN };
    // SAFETY: the caller's promise; Lua's strings are never null.
    let text = unsafe { slice::from_raw_parts(text, len) };
    // SAFETY: the caller's promise.
    let numbers = unsafe { slice::from_raw_parts_mut(numbers, count) };
    catch_unwind(AssertUnwindSafe(|| body(object, text, numbers))).unwrap_or(BROKEN)
}
