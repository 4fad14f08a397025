//! Codes of the framework as HTTP statuses.

use super::{options::Options, packet::Version};

/// The HTTP status for the framework's code `ret`, which is not 0.
pub(super) fn status(ret: i32, options: &Options) -> u16 {
    if let Some(status) = options.statuses.get(&ret) {
        return *status;
    }
    match ret {
        // Only without a description the arguments went through unchecked.
        -1 if options.version == Version::Json => 400,
        -3 | -4 => 404,
        -6 | -9 | -10 => 503,
        -7 => 504,
        // Also 1, which is the Go server's for everything.
        _ => 502,
    }
}

/// What a code means, for answers whose server sent no text.
pub(super) fn meaning(ret: i32) -> &'static str {
    match ret {
        -1 => "the server could not decode the arguments",
        -2 => "the server could not encode the results",
        -3 => "there is no such function",
        -4 => "there is no such servant",
        -5 => "the server's grid was reset",
        -6 => "the call waited too long in the server's queue",
        -7 => "the call timed out",
        -8 => "the server cannot be reached",
        -9 => "the server is overloaded",
        -10 => "there is no server for this servant",
        -11 => "the server's set is not valid",
        -12 => "the results could not be decoded",
        -13 => "the call could not be sent",
        -99 => "the server failed",
        _ => "the call failed",
    }
}
