//! The command line.

mod config;
mod health;
mod idl;
mod plugin;
mod process;
mod sign;
mod test;

use std::{path::PathBuf, process::ExitCode, thread};

use clap::{Parser, Subcommand};

use crate::{
    control::{self, Options},
    limits::LUA_STACK_BYTES,
};

/// An API gateway that runs APISIX's Lua plugins.
#[derive(Debug, Parser)]
#[command(name = "moongate", version, about)]
struct Args {
    /// Holds conf/, logs/ and plugins/.
    #[arg(short = 'p', long, global = true, env = "MOONGATE_PREFIX", default_value = ".")]
    prefix: PathBuf,
    /// Instead of conf/config.yaml.
    #[arg(short = 'c', long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serves in the foreground.
    Start {
        /// Listens beside a running process, which then can be stopped without a refused connection.
        #[arg(long)]
        takeover: bool,
    },
    /// Ends the running process, letting its requests finish.
    Stop,
    /// The same as stop.
    Quit,
    /// Reads config.yaml, objects and plugins again.
    Reload,
    /// Checks config.yaml, the objects and every plugin conf.
    Test,
    /// Makes and checks plugins.
    Plugin {
        #[command(subcommand)]
        verb: PluginVerb,
    },
    /// Checks interface descriptions, and calls what they describe.
    Idl {
        #[command(subcommand)]
        verb: idl::Verb,
    },
    /// Shows, brings back, writes out and reads in what the Admin API stores.
    Config(config::Config),
    /// Prints a signed request as a curl command.
    Sign(Box<sign::Options>),
    /// Exits with 0 when the running process is ready.
    Health,
    /// Prints the version.
    Version,
}

#[derive(Debug, Subcommand)]
enum PluginVerb {
    /// Writes PREFIX/plugins/NAME.lua, a plugin that works as it is.
    New {
        /// Small letters, digits, - and _.
        name: String,
    },
    /// Loads plugins as the gateway would and tells what they lack here.
    Check {
        /// Lua files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Runs what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    // Plugins' Lua is checked on this thread, too: it needs as much stack as a worker.
    let builder = thread::Builder::new().name("control".to_owned()).stack_size(LUA_STACK_BYTES);
    match builder.spawn(run).map(thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // The panic was printed where it happened.
        Ok(Err(_panic)) => ExitCode::FAILURE,
        Err(error) => {
            process::complain(&format!("cannot start a thread: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> ExitCode {
    let args = Args::parse();
    let options = |takeover| Options {
        prefix: args.prefix.clone(),
        config: args.config.clone(),
        takeover,
        demo: true,
    };
    let result = match args.verb {
        Verb::Start { takeover } => control::run(options(takeover)),
        Verb::Stop | Verb::Quit => process::signal(&args.prefix, libc::SIGQUIT),
        Verb::Reload => process::signal(&args.prefix, libc::SIGHUP),
        Verb::Test => test::run(&options(false)),
        Verb::Plugin { verb: PluginVerb::New { name } } => plugin::new(&args.prefix, &name),
        Verb::Plugin { verb: PluginVerb::Check { files } } => {
            plugin::check(&options(false), &files)
        }
        Verb::Idl { verb } => idl::run(&verb),
        Verb::Config(asked) => config::run(&asked, &options(false)),
        Verb::Sign(options) => sign::run(&options),
        Verb::Health => health::run(&options(false)),
        Verb::Version => {
            process::say(&format!(
                "moongate {} (APISIX {})",
                crate::VERSION,
                crate::APISIX_VERSION
            ));
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::complain(&error);
            ExitCode::FAILURE
        }
    }
}
