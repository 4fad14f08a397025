//! Redis as Lua has it: an object per target, and calls that yield until the answer is there.
//!
//! `lua/apisix/core/redis.lua` is the only caller. The object holds what is shared, never a
//! connection: that one is opened, replaced and closed behind it.

use std::{rc::Rc, sync::Arc, time::Duration};

use super::NONE;
use crate::{
    log::error_log,
    lua::{
        core::{Core, Op},
        env::level_of,
        raw::{
            co::Value,
            frame::{Called, Frame, Kind, Outcome, Raise},
            object::{self, Object},
        },
    },
    shared::redis::{
        Address, Command, Error, Job, Options, Place, Reply, Script, Sentinels, Target, Tls,
    },
};

/// Words of one command, and commands of one call: more than any plugin needs.
const WORDS_MAX: i32 = 10_000;

/// `ngx.ERR`.
const ERROR: u8 = 4;

/// A target in Lua's hands.
struct Client(Arc<Target>);

impl Object for Client {
    fn tag() -> &'static u8 {
        static TAG: u8 = 0;
        &TAG
    }
}

/// `redis_open(fields)` -> object | nil, error. The object's methods take the time that they
/// may need, in milliseconds, and then `command(…, word, …)`, `several(…, {word, …}, …)`,
/// `eval(…, digest, script, number_of_keys, key, …, argument, …)`, and `post`, which is
/// `command` without waiting.
pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let lua = core.lua();
    let state = core.state();
    let methods = lua.create_table()?;
    state.host_function(&methods, "command", |frame| call(frame, command_of))?;
    state.host_function(&methods, "several", |frame| call(frame, several_of))?;
    state.host_function(&methods, "eval", |frame| call(frame, script_of))?;
    state.host_function(&methods, "post", post)?;
    object::class::<Client>(lua, methods)?;
    let weak = Rc::downgrade(core);
    let open = lua.create_function(move |lua, fields: mlua::Table| {
        let Some(core) = weak.upgrade() else { return Ok((None, Some("closed".to_owned()))) };
        let clients = &core.env.process.redis;
        let opened = options_of(&core, &fields)?
            .and_then(|options| clients.target(&options).map_err(|error| error.to_string()));
        match opened {
            Ok(target) => Ok((Some(object::create(lua, Client(target))?), None)),
            Err(why) => Ok((None, Some(why))),
        }
    })?;
    table.raw_set("redis_open", open)
}

type Fields<'f> = &'f mlua::Table;

/// The fields that `core.redis` prepared: `mode`, `addresses`, `master`, `username`,
/// `password`, `sentinel_username`, `sentinel_password`, `database`, `tls`, `verify`.
fn options_of(core: &Core, fields: Fields<'_>) -> mlua::Result<Result<Options, String>> {
    let mut addresses = Vec::new();
    for text in fields.get::<mlua::Table>("addresses")?.sequence_values::<String>() {
        let text = text?;
        match Address::parse(&text) {
            Some(address) => addresses.push(address),
            None => return Ok(Err(format!("no address of a Redis: {text}"))),
        }
    }
    let Some(first) = addresses.first().cloned() else {
        return Ok(Err("no address of a Redis".to_owned()));
    };
    let place = match fields.get::<String>("mode")?.as_str() {
        "sentinel" => Place::Sentinel(Sentinels {
            addresses,
            master: fields.get("master")?,
            username: fields.get("sentinel_username")?,
            password: fields.get("sentinel_password")?,
        }),
        "cluster" => Place::Cluster(addresses),
        _ => Place::Single(first),
    };
    let tls = match fields.get::<bool>("tls")? {
        false => None,
        true => match tls_of(core, fields.get("verify")?) {
            Ok(tls) => Some(tls),
            Err(why) => return Ok(Err(why)),
        },
    };
    Ok(Ok(Options {
        place,
        username: fields.get("username")?,
        password: fields.get("password")?,
        database: fields.get("database")?,
        tls,
    }))
}

fn tls_of(core: &Core, verify: bool) -> Result<Tls, String> {
    let local = core.env.local.borrow();
    let trusted = local.pointer("/apisix/ssl/ssl_trusted_certificate");
    let key = match trusted.and_then(|path| path.as_str()) {
        _ if !verify => "anyone".to_owned(),
        Some(path) => format!("verify:{path}"),
        None => "verify".to_owned(),
    };
    let client = core.env.network.tls_client(core, verify)?;
    Ok(Tls { key, connector: client.connector().clone() })
}

/// Yields until `job` of the arguments is answered: the reply, or nil and why there is none.
fn call(frame: &mut Frame<'_>, job: fn(&mut Frame<'_>) -> Result<Job, Refused>) -> Called {
    let (target, limit) = target_of(frame)?;
    let job = match job(frame) {
        Ok(job) => job,
        Err(Refused::Raise(raise)) => return Err(raise),
        Err(Refused::Because(error)) => return super::push_failure(frame, &error.to_string()),
    };
    frame.core()?.suspend(Op::Wait(Box::pin(async move {
        match target.call(&job, limit).await {
            Ok(reply) => vec![value_of(reply)],
            Err(error) => vec![Value::Nil, Value::Str(error.to_string().into_bytes())],
        }
    })));
    Ok(Outcome::Yield)
}

/// Sends a command whose answer nobody waits for. A failure is logged.
fn post(frame: &mut Frame<'_>) -> Called {
    let (target, limit) = target_of(frame)?;
    let job = match command_of(frame) {
        Ok(job) => job,
        Err(Refused::Raise(raise)) => return Err(raise),
        Err(Refused::Because(error)) => return Err(Raise(error.to_string())),
    };
    tokio::task::spawn_local(async move {
        if let Err(error) = target.call(&job, limit).await {
            let text = format!("[lua] redis {}: {error}", target.name());
            error_log::log(level_of(ERROR), &error_log::Context::default(), text.as_bytes());
        }
    });
    NONE
}

/// Why there is no job.
enum Refused {
    Raise(Raise),
    Because(Error),
}

impl From<Raise> for Refused {
    fn from(raise: Raise) -> Self {
        Self::Raise(raise)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Because(error)
    }
}

fn target_of(frame: &Frame<'_>) -> Result<(Arc<Target>, Duration), Raise> {
    let client = frame.need_object::<Client>(1, "redis")?;
    let milliseconds = frame.need_num(2, "redis")?;
    if !(1.0..=f64::from(i32::MAX)).contains(&milliseconds) {
        return Err(Raise::new("bad timeout value"));
    }
    if !frame.core()?.env.serves {
        return Err(Raise::new("Redis cannot be asked while plugins are only being checked"));
    }
    Ok((Arc::clone(&client.0), Duration::from_secs_f64(milliseconds / 1000.0)))
}

/// The arguments from `first` on: strings and numbers.
fn words<'f>(frame: &Frame<'f>, first: i32) -> Result<Vec<&'f [u8]>, Raise> {
    let count = frame.count();
    if count - first >= WORDS_MAX {
        return Err(Raise(format!("more than {WORDS_MAX} words in a command")));
    }
    (first..=count).map(|at| frame.need_str(at, "redis")).collect()
}

fn command_of(frame: &mut Frame<'_>) -> Result<Job, Refused> {
    Ok(Job::Command(Command::new(&words(frame, 3)?)?))
}

fn several_of(frame: &mut Frame<'_>) -> Result<Job, Refused> {
    let count = frame.count();
    if count - 3 >= WORDS_MAX {
        return Err(Raise(format!("more than {WORDS_MAX} commands in a call")).into());
    }
    let mut commands = Vec::new();
    for at in 3..=count {
        if frame.kind(at) != Kind::Table {
            let got = frame.type_name(at);
            return Err(Raise(format!("a command must be a table, not a {got}")).into());
        }
        commands.push(Command::new(&frame.strings(at))?);
    }
    if commands.is_empty() {
        return Err(Raise::new("no command").into());
    }
    Ok(Job::Several(commands))
}

fn script_of(frame: &mut Frame<'_>) -> Result<Job, Refused> {
    let (digest, text) = (frame.need_str(3, "redis")?, frame.need_str(4, "redis")?);
    let rest = words(frame, 6)?;
    let keys = frame.need_num(5, "redis")?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
    let keys = keys as usize;
    if keys > rest.len() {
        return Err(Raise::new("fewer keys than were counted").into());
    }
    Ok(Job::Script(Script::new(digest, text, keys, &rest)))
}

fn value_of(reply: Reply) -> Value {
    match reply {
        Reply::Null => Value::Null,
        #[allow(clippy::cast_precision_loss)] // As Lua has numbers; larger ones lose digits.
        Reply::Int(number) => Value::Num(number as f64),
        Reply::Bytes(bytes) => Value::Str(bytes),
        Reply::List(replies) => Value::List(replies.into_iter().map(value_of).collect()),
        // As resty.redis has it, so that a list has no holes.
        Reply::Error(text) => Value::List(vec![Value::Bool(false), Value::Str(text.into_bytes())]),
    }
}
