//! `moongate test`: checks everything a start would read.

use crate::{
    config::{Severity, env, verify},
    control::{self, Checker, Options},
};

/// Checks config.yaml, the objects and every plugin conf; prints all problems.
///
/// # Errors
///
/// How many errors there are.
pub(super) fn run(options: &Options) -> Result<(), String> {
    let path = options.config_path();
    let (vm, local) = control::checking(options)?;
    let mut checker = Checker { vm: &vm, local: &local };
    let problems = verify::check_all(&options.prefix, &path, &mut checker, &env::process);
    let mut errors = 0;
    for (name, reason) in &vm.broken {
        super::process::say(&format!("plugin {name} does not load: {reason}"));
        errors += 1;
    }
    for problem in &problems {
        super::process::say(&problem.to_string());
        errors += usize::from(problem.severity == Severity::Error);
    }
    match errors {
        0 => {
            super::process::say("configuration test is successful");
            Ok(())
        }
        errors => Err(format!("{errors} errors")),
    }
}
