//! What is sent: commands, several at once, and scripts by their digest.

use redis::{Arg, Cmd, Pipeline};

use super::reply::Error;

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// Commands that would stop or change a connection that others share.
const REFUSED: &[&str] = &[
    "AUTH",
    "BLMOVE",
    "BLMPOP",
    "BLPOP",
    "BRPOP",
    "BRPOPLPUSH",
    "BZMPOP",
    "BZPOPMAX",
    "BZPOPMIN",
    "CLIENT",
    "DISCARD",
    "EXEC",
    "HELLO",
    "MONITOR",
    "MULTI",
    "PSUBSCRIBE",
    "PSYNC",
    "PUNSUBSCRIBE",
    "QUIT",
    "READONLY",
    "READWRITE",
    "RESET",
    "SELECT",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SUNSUBSCRIBE",
    "SYNC",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WATCH",
];

/// Scripts and functions: their keys are counted before they are named.
const COUNTED_KEYS: &[&str] = &["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"];

/// Commands that name no key.
const NO_KEY: &[&str] = &[
    "ACL",
    "COMMAND",
    "CONFIG",
    "DBSIZE",
    "ECHO",
    "FUNCTION",
    "INFO",
    "KEYS",
    "LASTSAVE",
    "MEMORY",
    "PING",
    "PUBLISH",
    "RANDOMKEY",
    "ROLE",
    "SCAN",
    "SCRIPT",
    "SLOWLOG",
    "TIME",
    "WAIT",
    "WAITAOF",
    "CLUSTER",
    "FLUSHALL",
    "FLUSHDB",
];

fn is_one_of(name: &[u8], list: &[&str]) -> bool {
    list.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// One command with its arguments.
#[derive(Debug, Clone)]
pub struct Command(Cmd);

impl Command {
    /// The command with these words, the first of which is its name.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for no word at all, and for commands that block, subscribe or change
    /// the state of a connection: it is shared.
    pub fn new<W: AsRef<[u8]>>(words: &[W]) -> Result<Self, Error> {
        let Some(name) = words.first().map(AsRef::as_ref) else {
            return Err(Error::Invalid("a command needs a name".to_owned()));
        };
        if is_one_of(name, REFUSED) || blocks(name, words) {
            let name = name.escape_ascii();
            return Err(Error::Invalid(format!("{name} cannot be used on a shared connection")));
        }
        Ok(Self::build(words))
    }

    /// A command of ours.
    pub(super) fn build<W: AsRef<[u8]>>(words: &[W]) -> Self {
        let bytes = words.iter().map(|word| word.as_ref().len()).sum();
        let mut cmd = Cmd::with_capacity(words.len(), bytes);
        for word in words {
            cmd.arg(word.as_ref());
        }
        Self(cmd)
    }

    pub(super) fn cmd(&self) -> &Cmd {
        &self.0
    }

    fn word(&self, at: usize) -> Option<&[u8]> {
        match self.0.args_iter().nth(at) {
            Some(Arg::Simple(word)) => Some(word),
            _ => None,
        }
    }

    /// The slot of its first key.
    fn slot(&self) -> Option<u16> {
        let name = self.word(0)?;
        if is_one_of(name, NO_KEY) {
            return None;
        }
        if is_one_of(name, COUNTED_KEYS) {
            return if self.word(2)? == b"0" { None } else { self.word(3).map(slot_of) };
        }
        self.word(1).map(slot_of)
    }
}

/// `XREAD BLOCK` and its like: the word stands between the name and the keys.
fn blocks<W: AsRef<[u8]>>(name: &[u8], words: &[W]) -> bool {
    is_one_of(name, &["XREAD", "XREADGROUP"])
        && words.iter().take(8).any(|word| word.as_ref().eq_ignore_ascii_case(b"BLOCK"))
}

/// A script with its keys and arguments.
#[derive(Debug, Clone)]
pub struct Script {
    by_digest: Command,
    text: Vec<u8>,
}

impl Script {
    /// `digest` is the SHA-1 of `text` in lower-case hex; `rest` are the keys, `keys` of them,
    /// and then the arguments.
    pub fn new<W: AsRef<[u8]>>(digest: &[u8], text: &[u8], keys: usize, rest: &[W]) -> Self {
        let keys = keys.to_string();
        let mut words: Vec<&[u8]> = vec![b"EVALSHA", digest, keys.as_bytes()];
        words.extend(rest.iter().map(AsRef::as_ref));
        Self { by_digest: Command::build(&words), text: text.to_vec() }
    }

    pub(super) fn by_digest(&self) -> &Command {
        &self.by_digest
    }

    /// The same with its text, which the server keeps for the next time.
    pub(super) fn by_text(&self) -> Command {
        let mut words: Vec<&[u8]> = vec![b"EVAL", &self.text];
        words.extend(self.by_digest.0.args_iter().skip(2).filter_map(|arg| match arg {
            Arg::Simple(word) => Some(word),
            _ => None,
        }));
        Command::build(&words)
    }
}

/// Something to do for a server.
#[derive(Debug, Clone)]
pub enum Job {
    /// One command.
    Command(Command),
    /// Several, which reach one server in this order; the answer is the list of theirs.
    Several(Vec<Command>),
    /// A script.
    Script(Script),
}

impl Job {
    /// The slot that decides who gets it in a cluster: that of the first key.
    pub(super) fn slot(&self) -> Option<u16> {
        match self {
            Self::Command(command) => command.slot(),
            Self::Several(commands) => commands.iter().find_map(Command::slot),
            Self::Script(script) => script.by_digest.slot(),
        }
    }

    /// The same for a node that gets the slot just now.
    pub(super) fn asking(&self) -> Pipeline {
        let mut pipeline = Pipeline::new();
        let mut add = |command: Command| {
            pipeline.cmd("ASKING");
            pipeline.add_command(command.0);
        };
        match self {
            Self::Command(command) => add(command.clone()),
            Self::Several(commands) => commands.iter().cloned().for_each(add),
            Self::Script(script) => add(script.by_text()),
        }
        pipeline
    }
}

/// The slot of a key. Only what stands in the first braces counts, if anything does.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inner = key.get(open + 1..)?;
        let close = inner.iter().position(|byte| *byte == b'}')?;
        inner.get(..close).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_slot_that_redis_gives_it() {
        for (key, slot) in [
            ("123456789", 12739),
            ("foo", 12182),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn the_first_key_decides() {
        let of = |words: &[&str]| Command::new(words).unwrap().slot();
        assert_eq!(of(&["get", "foo"]), Some(12182));
        assert_eq!(of(&["EVALSHA", "abc", "1", "foo", "x"]), Some(12182));
        assert_eq!(of(&["eval", "return 1", "0", "foo"]), None);
        assert_eq!(of(&["WAIT", "1", "100"]), None);
        let wait = Command::new(&["WAIT", "1", "100"]).unwrap();
        let get = Command::new(&["GET", "foo"]).unwrap();
        assert_eq!(Job::Several(vec![wait, get]).slot(), Some(12182));
    }

    #[test]
    fn what_would_change_a_shared_connection_is_refused() {
        for words in [vec!["blpop", "x", "0"], vec!["MULTI"], vec!["xread", "BLOCK", "0"], vec![]] {
            assert!(matches!(Command::new(&words), Err(Error::Invalid(_))), "{words:?}");
        }
        assert!(Command::new(&["XREAD", "COUNT", "1", "STREAMS", "a", "0"]).is_ok());
    }

    #[test]
    fn a_script_is_sent_by_digest_first_and_then_with_its_text() {
        let script = Script::new(b"abc", b"return 1", 1, &["key", "arg"]);
        let words = |command: &Command| {
            String::from_utf8_lossy(&command.0.get_packed_command()).replace("\r\n", " ")
        };
        assert_eq!(words(script.by_digest()), "*5 $7 EVALSHA $3 abc $1 1 $3 key $3 arg ");
        assert_eq!(words(&script.by_text()), "*5 $4 EVAL $8 return 1 $1 1 $3 key $3 arg ");
    }
}
