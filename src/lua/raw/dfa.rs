//! PCRE2's other matcher, which follows all alternatives at once and finds the longest match:
//! flag `d` of `ngx.re`. The `pcre2` crate does not offer it.

use std::{
    ffi::c_int,
    ptr::{self, NonNull},
};

use pcre2_sys as ffi;

/// Numbers of working memory of one match; a pattern that needs more ends with
/// `PCRE2_ERROR_DFA_WSSIZE`.
const WORKSPACE: usize = 4096;

/// A compiled pattern with the memory of its results.
#[derive(Debug)]
pub(crate) struct Dfa {
    code: NonNull<ffi::pcre2_code_8>,
    data: NonNull<ffi::pcre2_match_data_8>,
}

impl Dfa {
    /// Compiles `pattern` with PCRE2's own options; `None` if it does not compile.
    pub(crate) fn compile(pattern: &str, options: u32) -> Option<Self> {
        let (mut error, mut at) = (0, 0);
        // SAFETY: the pattern is readable for its length, and the three results are writable.
        let code = unsafe {
            ffi::pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                options,
                &raw mut error,
                &raw mut at,
                ptr::null_mut(),
            )
        };
        let code = NonNull::new(code)?;
        // SAFETY: plain allocation; one pair is what the longest match needs.
        let data = NonNull::new(unsafe { ffi::pcre2_match_data_create_8(1, ptr::null_mut()) });
        let Some(data) = data else {
            // SAFETY: made above and not used any more.
            unsafe { ffi::pcre2_code_free_8(code.as_ptr()) };
            return None;
        };
        Some(Self { code, data })
    }

    /// The longest match at the first place from `start` on where there is one.
    ///
    /// # Errors
    ///
    /// PCRE2's negative code.
    pub(crate) fn find(
        &self,
        subject: &[u8],
        start: usize,
    ) -> Result<Option<(usize, usize)>, c_int> {
        let mut workspace = [0; WORKSPACE];
        // SAFETY: code and data are ours and alive, the subject is readable for its length, the
        // workspace writable for its own. The data is used by one call at a time: `Dfa` is not
        // `Sync`, and nothing here calls back.
        let code = unsafe {
            ffi::pcre2_dfa_match_8(
                self.code.as_ptr(),
                subject.as_ptr(),
                subject.len(),
                start,
                0,
                self.data.as_ptr(),
                ptr::null_mut(),
                workspace.as_mut_ptr(),
                workspace.len(),
            )
        };
        match code {
            ffi::PCRE2_ERROR_NOMATCH => Ok(None),
            // 0: there were shorter matches, too.
            0.. => {
                // SAFETY: the data has one pair, which a match has filled in.
                let pair = unsafe { ffi::pcre2_get_ovector_pointer_8(self.data.as_ptr()) };
                // SAFETY: as above; two numbers without padding are an array of two.
                let [from, to] = unsafe { *pair.cast::<[usize; 2]>() };
                Ok(Some((from, to)))
            }
            code => Err(code),
        }
    }
}

impl Drop for Dfa {
    fn drop(&mut self) {
        // SAFETY: ours, and nobody uses it any more.
        unsafe { ffi::pcre2_match_data_free_8(self.data.as_ptr()) };
        // SAFETY: as above.
        unsafe { ffi::pcre2_code_free_8(self.code.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_match_wins() {
        let dfa = Dfa::compile("foo|foobar|bar", 0).unwrap();
        assert_eq!(dfa.find(b"a foobar", 0), Ok(Some((2, 8))));
        assert_eq!(dfa.find(b"a foobar", 3), Ok(Some((5, 8))));
        assert_eq!(dfa.find(b"nothing", 0), Ok(None));
        assert!(Dfa::compile("(", 0).is_none());
        // Back references are what this matcher cannot do.
        assert!(Dfa::compile(r"(a)\1", 0).unwrap().find(b"aa", 0).is_err());
    }
}
