//! What `moongate plugin check` asks of a VM that serves nobody.

use super::{raw::current::Phase, task, vm::Vm};

impl Vm {
    /// Calls `question` of `moongate.probe` with texts and returns the texts it answers.
    ///
    /// # Errors
    ///
    /// When the module is broken.
    pub(crate) fn probe(&self, question: &str, args: &[&str]) -> Result<Vec<String>, String> {
        let fetch = || {
            let chunk = self.core.lua().load("return require('moongate.probe')[...]");
            let function: mlua::Function = chunk.call(question)?;
            self.core.keep(function)
        };
        let function = fetch().map_err(|error: mlua::Error| error.to_string())?;
        let co = self.core.coroutine();
        co.push_ref(&function);
        for arg in args {
            co.push_str(arg.as_bytes());
        }
        let count = i32::try_from(args.len()).unwrap_or(0);
        let co = task::run_now(&self.core, co, count, None, Phase::Init)
            .map_err(|failure| failure.message)?;
        let texts = (1..=co.count())
            .map(|at| String::from_utf8_lossy(&co.str(at).unwrap_or_default()).into_owned())
            .collect();
        self.core.recycle(co);
        Ok(texts)
    }
}
