//! The house rules, as data, and the tests that hold them.
//!
//! What may use what is [`MAY_USE`]; `src/ARCHITECTURE.md` shows it as a picture. A rule may
//! be changed by whoever has a better reason, in the same commit, with the picture.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A module, and what of ours it may use besides itself. A row may name only rows above it:
/// arrows point down. A part of a module that stands lower than the rest has its own row.
#[rustfmt::skip] // It would put each name of a row on a line of its own.
const MAY_USE: &[(&str, &[&str])] = &[
    // Vocabulary: uses nobody.
    ("clock", &[]),
    ("limits", &[]),
    ("error", &[]),
    ("fields", &[]),
    ("log::stamp", &[]),
    ("sys", &["clock", "limits"]),
    // State.
    ("config", &["clock", "error", "limits"]),
    ("shared", &["clock", "error", "limits"]),
    ("store", &["clock", "error", "limits"]),
    ("http1", &["error", "fields", "limits"]),
    ("codec", &["clock", "error", "limits"]),
    ("exchange", &["clock", "codec", "config", "error", "fields", "http1", "log::stamp", "sys"]),
    ("log", &["clock", "error", "exchange", "limits", "log::stamp"]),
    // The steps of a request, each unaware of the others but for a table it needs.
    ("route", &["config", "error", "exchange", "limits"]),
    ("parse", &["config", "error", "exchange", "http1", "limits", "route"]),
    ("balance", &["clock", "config", "error", "exchange", "limits"]),
    (
        "upstream",
        &[
            "clock", "codec", "config", "error", "exchange", "fields", "http1", "limits", "parse",
            "sys",
        ],
    ),
    // Registries: asks them, and says in the log what they told.
    ("discovery", &["clock", "config", "error", "log"]),
    // Probes nodes as the proxy would, and says so in the log.
    ("health", &["clock", "config", "error", "http1", "log", "shared", "sys", "upstream"]),
    ("live", &["config", "route"]),
    (
        "lua",
        &[
            "clock", "codec", "config", "error", "exchange", "fields", "health", "limits", "log",
            "parse", "route", "shared", "sys", "upstream",
        ],
    ),
    ("phase", &["config", "error", "exchange", "log", "lua"]),
    ("rescue", &["error", "exchange", "http1"]),
    // Those who bring the steps together.
    (
        "gate",
        &[
            "balance",
            "config",
            "discovery",
            "error",
            "exchange",
            "health",
            "live",
            "log",
            "lua",
            "parse",
            "pipeline::target",
            "route",
            "shared",
            "sys",
            "upstream",
        ],
    ),
    ("pipeline::target", &["balance", "config", "error", "gate", "health", "upstream"]),
    (
        "pipeline",
        &[
            "balance",
            "clock",
            "config",
            "discovery",
            "error",
            "exchange",
            "fields",
            "gate",
            "health",
            "http1",
            "live",
            "log",
            "lua",
            "parse",
            "phase",
            "pipeline::target",
            "rescue",
            "route",
            "sys",
            "upstream",
        ],
    ),
    (
        "accept",
        &[
            "clock", "error", "exchange", "fields", "gate", "http1", "limits", "log", "lua",
            "parse", "pipeline", "rescue", "shared", "sys", "upstream",
        ],
    ),
    ("admin", &["clock", "config", "store"]),
    (
        "worker",
        &[
            "accept", "balance", "config", "discovery", "gate", "health", "http1", "limits", "live",
            "log", "lua", "parse", "pipeline", "shared", "upstream",
        ],
    ),
    (
        "control",
        &[
            "accept", "admin", "balance", "clock", "codec", "config", "discovery", "error",
            "health", "limits", "live", "log", "lua", "parse", "rescue", "route", "shared", "store",
            "sys", "upstream",
            "worker",
        ],
    ),
    // Dumps of etcd are files to `moongate config`.
    (
        "cli",
        &["clock", "codec", "config", "control", "limits", "log::stamp", "lua", "store", "sys"],
    ),
    ("main", &["cli"]),
];

/// Arrows that point up, each for a reason.
const UPWARD: &[(&str, &str)] = &[
    // The gate keeps finished targets between requests; a target is made with the gate's pool.
    ("gate", "pipeline::target"),
];

/// A crate, and the only modules that may name it.
const DOORS: &[(&str, &[&str])] = &[
    ("mlua", &["lua"]),
    // Also the name of rustls's module for it.
    ("aws_lc_rs", &["admin", "codec", "config", "lua", "upstream"]),
    // Only etcd's client is in the store.
    ("hyper", &["accept", "admin::listener", "control", "store"]),
    ("hyper_util", &["accept", "admin::listener", "control", "store"]),
    ("h2", &["accept"]),
    ("httparse", &["http1"]),
    ("encoding_rs", &["codec"]),
    ("brotli", &["lua"]),
    ("clap", &["cli"]),
    ("notify", &["config"]),
    ("granit_parser", &["config"]),
    ("lz4_flex", &["config"]),
    ("hickory_resolver", &["discovery", "upstream"]),
    ("prost", &["codec", "store"]),
    ("prost_reflect", &["codec"]),
    ("protox", &["codec"]),
    ("roxmltree", &["codec"]),
    ("snap", &["codec"]),
    // The client of Redis has connections of its own: see src/shared/redis/mod.rs.
    ("redis", &["shared"]),
    ("redb", &["store"]),
    ("tokio_rustls", &["admin", "lua", "shared", "store", "sys", "upstream"]),
    (
        "tokio",
        &[
            "accept",
            "admin::listener",
            "control",
            "discovery",
            "gate",
            "health",
            "lua",
            "shared",
            "store",
            "sys",
            "upstream",
            "worker",
        ],
    ),
];

/// Folders that may hold `unsafe`.
const UNSAFE: &[&str] = &["src/lua/raw/", "src/sys/"];

/// File suffix, lines of a file, lines of a function without blank lines and comments.
const BOUNDS: &[(&str, usize, usize)] = &[("rs", 600, 70), ("lua", 400, 70)];

/// Longer than its kind may be, each for a reason.
const LONGER: &[(&str, usize)] = &[
    // One table of functions that share the state of one request; the order is the content.
    ("lua/moongate/runner.lua", 480),
    // Almost only methods of one type, most of them five lines.
    ("src/lua/vm.rs", 640),
];

/// Folders and files that the rules hold for.
const TREES: &[&str] =
    &["src", "lua", "plugins", "conf", "docker", "t", ".ci", "README.md", "Cargo.toml"];

struct File {
    path: String,
    text: String,
}

impl File {
    fn is(&self, suffix: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, found)| found == suffix)
    }

    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("t/") || self.path.contains("/tests/") || name.ends_with("tests.rs")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the trees, with its path below the repository.
fn files() -> Vec<File> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = TREES.iter().map(|tree| root().join(tree)).collect();
    while let Some(path) = waiting.pop() {
        // A server's working directory comes and goes while other tests run.
        if path.ends_with("t/servroot") || path.ends_with("__pycache__") {
            continue;
        }
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            found.push(File { path, text });
        }
    }
    assert!(found.len() > 300, "the files are not where they should be");
    found
}

/// Checks `rule` on all files: it returns what is wrong, and nothing may be.
#[track_caller]
fn check(rule: impl Fn(&File) -> Vec<String>) {
    let wrong: Vec<String> = files()
        .iter()
        .flat_map(|file| rule(file).into_iter().map(|text| format!("{}: {text}", file.path)))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The code of a Rust file without comments and without the tests at its end.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The row of the table that stands for `path` (its segments), the longest first.
fn row(path: &[&str]) -> Option<&'static str> {
    (1..=path.len()).rev().find_map(|length| {
        let name = path[..length].join("::");
        MAY_USE.iter().map(|(row, _)| *row).find(|row| *row == name)
    })
}

/// The module path of a file: `src/pipeline/target.rs` is `pipeline::target`.
fn module(path: &str) -> Vec<&str> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').filter(|part| *part != "mod").collect()
}

/// Paths after `crate::`, brace groups spread out.
fn used_paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        if !before.is_alphanumeric() && before != '_' {
            spread(&code[at + 7..], &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Reads one use tree; returns how many bytes it has.
fn spread(text: &str, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let space = text.len() - text.trim_start().len();
    let tree = &text[space..];
    if let Some(inner) = tree.strip_prefix('{') {
        let mut at = 0;
        while !inner[at..].trim_start().starts_with('}') && at < inner.len() {
            at += spread(&inner[at..], before, found);
            let rest = &inner[at..];
            at += rest.len() - rest.trim_start().len();
            at += usize::from(inner[at..].starts_with(','));
        }
        let rest = &inner[at..];
        return space + 1 + at + (rest.len() - rest.trim_start().len()) + 1;
    }
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
    before.push(tree[..end].to_owned());
    let mut length = space + end;
    if tree[end..].starts_with("::") {
        length += 2 + spread(&tree[end + 2..], before, found);
    } else {
        found.push(before.clone());
        if let Some(alias) = tree[end..].strip_prefix(" as ") {
            length += 4 + alias.find([',', '}', ';']).unwrap_or(alias.len());
        }
    }
    before.pop();
    // Everything after a path that is no list element is none of the tree.
    length.max(space + 1)
}

#[test]
fn use_trees_are_read_whole() {
    let text =
        "use crate::{\n    a::{self, b},\n    c as d,\n    e,\n};\ncrate::f::g(x); mycrate::h";
    let paths: Vec<String> = used_paths(text).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["a::self", "a::b", "c", "e", "f::g"]);
}

#[test]
fn the_table_points_down() {
    for (at, (row, uses)) in MAY_USE.iter().enumerate() {
        for used in *uses {
            let below = MAY_USE[..at].iter().any(|(name, _)| name == used);
            assert!(below || UPWARD.contains(&(row, used)), "{row} must stand below {used}");
        }
    }
}

#[test]
fn modules_use_only_what_stands_in_their_row() {
    check(|file| {
        if !file.path.starts_with("src/")
            || !file.is("rs")
            || file.is_test()
            || file.path == "src/lib.rs"
        {
            return Vec::new();
        }
        let Some(own) = row(&module(&file.path)) else {
            return vec!["give the module a row in MAY_USE".to_owned()];
        };
        let allowed = MAY_USE.iter().find(|(name, _)| *name == own).unwrap().1;
        let mut wrong = BTreeSet::new();
        for path in used_paths(&code(&file.text)) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            // Constants of the crate, and the macro that stands at its root.
            let path = if path == ["log_at"] { vec!["log"] } else { path };
            let Some(used) = row(&path) else {
                if path.first().is_some_and(|name| name.chars().any(char::is_lowercase)) {
                    wrong.insert(format!("crate::{} has no row in MAY_USE", path.join("::")));
                }
                continue;
            };
            let same = used.split("::").next() == own.split("::").next();
            if used != own && !same && !allowed.contains(&used) {
                wrong.insert(format!("{own} must not use {used}"));
            }
        }
        wrong.into_iter().collect()
    });
}

#[test]
fn crates_are_named_only_behind_their_doors() {
    check(|file| {
        if !file.path.starts_with("src/") || !file.is("rs") || file.is_test() {
            return Vec::new();
        }
        let code = code(&file.text);
        let path = module(&file.path);
        let behind = |door: &&str| {
            path.join("::")
                .strip_prefix(*door)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let names = |krate: &str| {
            code.match_indices(&format!("{krate}::")).any(|(at, _)| {
                let before = code[..at].chars().next_back().unwrap_or(' ');
                !before.is_alphanumeric() && before != '_' && before != ':'
            })
        };
        DOORS
            .iter()
            .filter(|(krate, doors)| !doors.iter().any(behind) && names(krate))
            .map(|(krate, doors)| format!("only {doors:?} may name {krate}"))
            .collect()
    });
}

#[test]
fn unsafe_stays_behind_its_fences() {
    check(|file| {
        let fenced = UNSAFE.iter().any(|fence| file.path.starts_with(fence));
        if !file.is("rs") || fenced || file.path == "t/tidy.rs" {
            return Vec::new();
        }
        let code = code(&file.text);
        let words = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code"];
        let found = words.iter().filter(|word| code.contains(**word));
        found.map(|word| format!("`{word}` outside of {UNSAFE:?}")).collect()
    });
}

/// The first line and the length of each function that is longer than `most`. A function
/// ends with the line that closes it at its own indentation, which formatting guarantees.
fn long_functions(file: &File, most: usize) -> Vec<(usize, usize)> {
    let rust = file.is("rs");
    let lines: Vec<&str> = file.text.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim_start();
        let begins = if rust {
            let word = text.split_once("fn ").map(|(words, _)| words);
            let known = ["pub", "const", "async", "unsafe", "extern"];
            word.is_some_and(|words| {
                words
                    .split_whitespace()
                    .all(|word| known.iter().any(|known| word.starts_with(known)))
            })
        } else {
            (text.starts_with("function ") || text.starts_with("local function "))
                || text.contains("= function(")
        };
        if !begins || text.starts_with("//") || text.starts_with("--") || text.ends_with(';') {
            continue;
        }
        let closes = |line: &&str| {
            let end = line.trim_start();
            line.len() - end.len() == indent
                && if rust { end == "}" } else { end.starts_with("end") }
        };
        let rest = &lines[first + 1..];
        let Some(length) = rest.iter().position(closes) else { continue };
        let counts = |line: &&&str| {
            let text = line.trim_start();
            !text.is_empty() && !text.starts_with("//") && !text.starts_with("--")
        };
        let length = rest[..length].iter().filter(counts).count();
        if length > most {
            found.push((first + 1, length));
        }
    }
    found
}

#[test]
fn a_long_function_is_found() {
    let body = "    x();\n".repeat(4);
    for (path, text) in [
        ("a.rs", format!("pub(crate) async fn a(\n    b: u8,\n) {{\n{body}    // why\n}}\n")),
        ("a.lua", format!("local function a(b)\n{body}\n    -- why\nend\n")),
    ] {
        let file = File { path: path.to_owned(), text };
        let length = if path == "a.rs" { 6 } else { 4 };
        assert_eq!(long_functions(&file, 3), [(1, length)], "{path}");
        assert_eq!(long_functions(&file, length), []);
    }
}

#[test]
fn files_and_functions_are_short() {
    check(|file| {
        let Some((_, file_max, function_max)) = BOUNDS.iter().find(|(suffix, ..)| file.is(suffix))
        else {
            return Vec::new();
        };
        let longer = LONGER.iter().find(|(path, _)| *path == file.path);
        let file_max = longer.map_or(*file_max, |(_, most)| *most);
        let mut wrong = Vec::new();
        let count = file.text.lines().count();
        if count > file_max {
            wrong.push(format!("{count} lines, {file_max} are allowed"));
        }
        for (line, length) in long_functions(file, *function_max) {
            wrong.push(format!("the function in line {line} has {length} lines"));
        }
        wrong
    });
}

#[test]
fn every_file_says_what_it_is() {
    check(|file| {
        let header = match () {
            () if file.is("rs") => "//! ",
            () if file.is("lua") => "--",
            () if file.is("md") => "# ",
            () => return Vec::new(),
        };
        if file.text.starts_with(header) {
            return Vec::new();
        }
        vec![format!("the first line must begin with {header:?}")]
    });
}

#[test]
fn every_plugin_has_its_test_and_every_test_its_plugin() {
    let names = |folder: &str, suffix: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let names = entries.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        names.filter_map(|name| name.strip_suffix(suffix).map(str::to_owned)).collect()
    };
    let (plugins, tests) = (names("plugins", ".lua"), names("t/plugins", ".t"));
    let untested: Vec<_> = plugins.difference(&tests).collect();
    assert!(untested.is_empty(), "no t/plugins/<name>.t: {untested:?}");
    // A plugin may have several: `limit-count-redis.t` is about `limit-count`.
    let of_one = |test: &&String| plugins.iter().any(|plugin| test.starts_with(plugin.as_str()));
    let stray: Vec<_> = tests.iter().filter(|test| !of_one(test)).collect();
    assert!(stray.is_empty(), "tests of no plugin: {stray:?}");
}

#[test]
fn a_plugin_requires_no_other_plugin() {
    check(|file| {
        if !file.is("lua") || !(file.path.starts_with("plugins/") || file.path.starts_with("lua/"))
        {
            return Vec::new();
        }
        let own = file.path.strip_prefix("plugins/").unwrap_or_default();
        let own = own.split(['/', '.']).next().unwrap_or_default();
        let asked = file.text.match_indices("require(\"apisix.plugins.").map(|(at, found)| {
            file.text[at + found.len()..].split(['"', '.']).next().unwrap_or_default()
        });
        // Two plugins that are one but for the phase they run in share a folder.
        let shared = |name: &str| {
            root().join("plugins").join(name).is_dir()
                && !root().join("plugins").join(format!("{name}.lua")).is_file()
        };
        asked
            .filter(|name| !name.is_empty() && *name != own && !shared(name))
            .map(|name| format!("requires plugin {name}"))
            .collect()
    });
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    check(|file| {
        let found = paths.iter().filter(|path| {
            file.text.match_indices(**path).any(|(at, _)| {
                let before = file.text[..at].chars().next_back().unwrap_or(' ');
                !before.is_alphanumeric() && !matches!(before, '.' | '_' | '-' | '}')
            })
        });
        found.map(|path| format!("names {path}")).collect()
    });
}

#[test]
fn nothing_is_left_for_later() {
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("HA", "CK")];
    check(|file| {
        let found = words.iter().filter(|word| {
            file.text.match_indices(**word).any(|(at, _)| {
                let before = file.text[..at].chars().next_back().unwrap_or(' ');
                let after = file.text[at + word.len()..].chars().next().unwrap_or(' ');
                !before.is_alphanumeric() && !after.is_alphanumeric()
            })
        });
        found.map(|word| format!("says {word}")).collect()
    });
}

#[test]
fn the_documents_name_files_that_exist() {
    let trees = ["src/", "lua/", "plugins/", "t/", "docker/", "conf/", ".ci/"];
    for document in ["src/ARCHITECTURE.md", "README.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        for path in quoted.filter(|text| trees.iter().any(|tree| text.starts_with(tree))) {
            let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            assert!(!plain || root().join(path).exists(), "{document} names {path}, which is gone");
        }
    }
}

#[test]
fn every_row_has_its_module() {
    for (name, _) in MAY_USE {
        let path = root().join("src").join(name.replace("::", "/"));
        let exists =
            path.join("mod.rs").is_file() || Path::new(&format!("{}.rs", path.display())).is_file();
        assert!(exists, "MAY_USE has a row for {name}, which is gone");
    }
    for (path, _) in LONGER {
        assert!(root().join(path).is_file(), "LONGER names {path}, which is gone");
    }
}
