//! Interface descriptions: `.proto` text or compiled descriptor sets, and the methods in them.
//!
//! The first source is the main one; it may import the others by their names, the well-known
//! types of protobuf, and tRPC's own option files, whose few lines are here. Nothing is read
//! from disk.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    panic::{self, AssertUnwindSafe},
    path::Path,
    rc::{Rc, Weak},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage as _,
    Value,
};
use protox::{
    Compiler,
    file::{DescriptorSetFileResolver, File, FileResolver, GoogleFileResolver},
};

use sha2::{Digest as _, Sha256};

use super::{
    json,
    wire::{self, Reader},
};
use crate::codec::registry::Source;

/// Bytes of all sources together. Compiling takes 220 times as much memory, of which 150 times
/// stay; that was measured over small messages with a few fields.
pub const SOURCES_BYTES_MAX: usize = 1 << 20;

/// Files of one description; each may import the next, and that is how deep the compiler goes.
pub const SOURCES_MAX: usize = 256;

/// Brackets within brackets. The compiler recurses with them in the values of options.
pub const LEVELS_MAX: usize = 64;

/// Statements of one block, values of one list. The compiler compares options with each other.
pub const ENTRIES_MAX: usize = 4096;

/// Bytes of a source's name.
const NAME_BYTES_MAX: usize = 4096;

/// The extension of `google.protobuf.MethodOptions` that holds a method's alias.
const ALIAS: &str = "trpc.alias";

/// tRPC's files that descriptions import: names they go by, and what is in them.
const BUNDLED: &[(&[&str], &str)] = &[
    (
        &["trpc.proto", "trpc/proto/trpc_options.proto", "trpc/common/trpc.proto"],
        r#"syntax = "proto3";
package trpc;
import "google/protobuf/descriptor.proto";
extend google.protobuf.MethodOptions { string alias = 50001; }
extend google.protobuf.FieldOptions { string go_tag = 50001; }
"#,
    ),
    (
        &["trpc/api/annotations.proto", "trpc/api/http.proto"],
        r#"syntax = "proto3";
package trpc.api;
import "google/protobuf/descriptor.proto";
message HttpRule {
  string selector = 1;
  oneof pattern {
    string get = 2;
    string put = 3;
    string post = 4;
    string delete = 5;
    string patch = 6;
    CustomHttpPattern custom = 8;
  }
  string body = 7;
  repeated HttpRule additional_bindings = 11;
  string response_body = 12;
}
message CustomHttpPattern {
  string kind = 1;
  string path = 2;
}
extend google.protobuf.MethodOptions { HttpRule http = 50201; }
"#,
    ),
];

/// A method that can be called.
#[derive(Debug, Clone)]
pub struct Method {
    /// Full name of its service, `trpc.app.server.Service`.
    pub service: String,
    /// Its own name.
    pub name: String,
    /// What goes into the head: its alias, or `/{service}/{name}`.
    pub func: String,
    /// The message of a call.
    pub input: MessageDescriptor,
    /// The message of an answer.
    pub output: MessageDescriptor,
    /// Whether it is called with, or answers with, a stream.
    pub streaming: bool,
}

/// A compiled description.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Under `/{service}/{name}` and under the alias.
    methods: BTreeMap<String, Rc<Method>>,
}

thread_local! {
    /// What this thread has compiled and still uses, by a digest of the sources: many routes
    /// have the same description, and it is large.
    static COMPILED: RefCell<HashMap<[u8; 32], Weak<Schema>>> = RefCell::default();
}

/// Of names and texts, each with its length.
fn digest(sources: &[Source<'_>]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in sources.iter().flat_map(|source| [source.name.as_bytes(), source.text]) {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

impl Schema {
    /// Compiles a description, or takes what the same thread made of the same sources.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn shared(sources: &[Source<'_>]) -> Result<Rc<Self>, String> {
        let key = digest(sources);
        if let Some(known) = COMPILED.with_borrow(|all| all.get(&key)?.upgrade()) {
            return Ok(known);
        }
        let schema = Rc::new(Self::compile(sources)?);
        COMPILED.with_borrow_mut(|all| {
            all.retain(|_, schema| schema.strong_count() > 0);
            all.insert(key, Rc::downgrade(&schema));
        });
        Ok(schema)
    }

    /// Compiles a description.
    ///
    /// # Errors
    /// `file:line:column: what` for text; the file and what else is wrong.
    pub fn compile(sources: &[Source<'_>]) -> Result<Self, String> {
        let (resolver, roots) = Sources::new(sources)?;
        // Descriptors that no compiler wrote can make the library index past the end of what
        // is there. That must cost an operator an error message, and not a worker.
        let pool = panic::catch_unwind(AssertUnwindSafe(|| pool(resolver, &roots)))
            .unwrap_or_else(|_| Err("the description contradicts itself".to_owned()))?;
        check_maps(&pool)?;
        let mut methods = BTreeMap::new();
        for service in pool.services() {
            for method in service.methods() {
                let method = Rc::new(Method::new(&method));
                methods.insert(format!("/{}/{}", method.service, method.name), Rc::clone(&method));
                methods.insert(method.func.clone(), method);
            }
        }
        Ok(Self { methods })
    }

    /// The method behind `func`: `/{service}/{name}` or an alias.
    #[must_use]
    pub fn method(&self, func: &str) -> Option<&Rc<Method>> {
        self.methods.get(func)
    }

    /// All methods, by service and name.
    pub fn methods(&self) -> impl Iterator<Item = &Rc<Method>> {
        self.methods.iter().filter_map(|(key, method)| {
            let (service, name) = key.strip_prefix('/')?.rsplit_once('/')?;
            (service == method.service && name == method.name).then_some(method)
        })
    }

    /// Names of the services, in order, each once.
    #[must_use]
    pub fn services(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.methods().map(|method| method.service.as_str()).collect();
        names.dedup();
        names
    }
}

/// Checks one file alone, without what it imports: its syntax, or that it is a descriptor set.
///
/// # Errors
/// As [`Schema::compile`].
pub fn check(source: &Source<'_>) -> Result<(), String> {
    check_size(std::slice::from_ref(source))?;
    match content(source)? {
        Content::Text(text) => {
            File::from_source(source.name, text).map_err(|error| message(&error)).map(drop)
        }
        Content::Set(set) => files_of(source.name, &set).map(drop),
    }
}

/// The names of the files that a text imports, but for those that need not be given; none if
/// it cannot be read.
#[must_use]
pub fn imports(source: &Source<'_>) -> Vec<String> {
    let Ok(Content::Text(text)) = content(source) else { return Vec::new() };
    let Ok(file) = File::from_source(source.name, text) else { return Vec::new() };
    let given = |name: &String| {
        let bundled = BUNDLED.iter().any(|(names, _)| names.contains(&name.as_str()));
        bundled || GoogleFileResolver::new().open_file(name).is_ok()
    };
    let mut names = file.file_descriptor_proto().dependency.clone();
    names.retain(|name| !given(name));
    names
}

impl Method {
    fn new(method: &MethodDescriptor) -> Self {
        let service = method.parent_service().full_name().to_owned();
        let name = method.name().to_owned();
        let func = alias(method).unwrap_or_else(|| format!("/{service}/{name}"));
        let streaming = method.is_client_streaming() || method.is_server_streaming();
        let (input, output) = (method.input(), method.output());
        Self { service, name, func, input, output, streaming }
    }
}

/// Compiles `roots` and what they import.
fn pool(resolver: Sources, roots: &[String]) -> Result<DescriptorPool, String> {
    let mut compiler = Compiler::with_file_resolver(resolver);
    for root in roots {
        compiler.open_file(root).map_err(|error| message(&error))?;
    }
    Ok(compiler.descriptor_pool())
}

/// The alias that the description gives a method.
fn alias(method: &MethodDescriptor) -> Option<String> {
    let options = method.options();
    let found = options.extensions().find_map(|(extension, value)| match value {
        Value::String(alias) if extension.full_name() == ALIAS => Some(alias.clone()),
        _ => None,
    });
    found.filter(|alias| !alias.is_empty())
}

/// What a source holds.
enum Content<'a> {
    Text(&'a str),
    /// A `google.protobuf.FileDescriptorSet`.
    Set(Vec<u8>),
}

/// Text of the language has blanks and semicolons, which base64 does not, and no control
/// characters, which a descriptor set does.
fn content<'a>(source: &Source<'a>) -> Result<Content<'a>, String> {
    let is_control = |byte: &u8| *byte < 0x20 && !byte.is_ascii_whitespace() && *byte != 0x0b;
    let is_base64 = |byte: &u8| {
        byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=".contains(byte)
    };
    let text = source.text;
    if !text.is_empty() && text.iter().all(is_base64) {
        let packed: Vec<u8> =
            text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        // A word or two may look like base64; then the compiler says more.
        if let Ok(set) = STANDARD.decode(&packed)
            && files_of(source.name, &set).is_ok_and(|names| !names.is_empty())
        {
            return Ok(Content::Set(set));
        }
    }
    match std::str::from_utf8(text) {
        Ok(text) if !text.as_bytes().iter().any(is_control) => {
            check_levels(source.name, text)?;
            Ok(Content::Text(text))
        }
        _ => Ok(Content::Set(text.to_vec())),
    }
}

/// Names of the files in a descriptor set.
fn files_of(name: &str, set: &[u8]) -> Result<Vec<String>, String> {
    let broken = |error: &dyn std::fmt::Display| format!("{name}: no descriptor set: {error}");
    let kind = DescriptorPool::global().get_message_by_name("google.protobuf.FileDescriptorProto");
    let kind = kind.ok_or_else(|| broken(&"its description is not there"))?;
    let mut reader = Reader::new(set);
    let mut names = Vec::new();
    while let Some((number, value)) = reader.field().map_err(|error| broken(&error))? {
        match (number, value) {
            (1, wire::Value::Bytes(bytes)) => {
                let file = json::read(&kind, bytes).map_err(|error| broken(&error))?;
                names.push(check_file(&file).map_err(|error| broken(&error))?);
            }
            (_, wire::Value::GroupStart) => {
                reader.skip_group(number).map_err(|error| broken(&error))?;
            }
            _ => {}
        }
    }
    if names.len() > SOURCES_MAX {
        return Err(format!("{name}: more than {SOURCES_MAX} files"));
    }
    Ok(names)
}

/// The name of a file of a descriptor set, if it has what compilers write.
fn check_file(file: &DynamicMessage) -> Result<String, String> {
    let text = |field: &str| {
        let value = file.get_field_by_name(field);
        value.as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (name, syntax) = (text("name"), text("syntax"));
    if !matches!(syntax.as_str(), "" | "proto2" | "proto3") {
        return Err(format!("{name}: unknown syntax {syntax:?}"));
    }
    // Their text would be parsed, as deep as it nests.
    if has_open_options(file) {
        return Err(format!("{name}: it has options that are not interpreted"));
    }
    Ok(name)
}

fn has_open_options(message: &DynamicMessage) -> bool {
    if message.descriptor().full_name() == "google.protobuf.UninterpretedOption" {
        return true;
    }
    message.fields().any(|(_, value)| match value {
        Value::Message(inner) => has_open_options(inner),
        Value::List(list) => list.iter().filter_map(Value::as_message).any(has_open_options),
        _ => false,
    })
}

/// All that can be imported.
struct Sources {
    texts: HashMap<String, String>,
    sets: Vec<DescriptorSetFileResolver>,
    google: GoogleFileResolver,
}

impl Sources {
    /// The sources, and the names of the files to compile: the main one, or all of a set.
    fn new(sources: &[Source<'_>]) -> Result<(Self, Vec<String>), String> {
        check_size(sources)?;
        let mut all =
            Self { texts: HashMap::new(), sets: Vec::new(), google: GoogleFileResolver::new() };
        let mut roots = Vec::new();
        for (at, source) in sources.iter().enumerate() {
            let mut names = Vec::new();
            match content(source)? {
                Content::Text(text) => {
                    let known = all.texts.insert(source.name.to_owned(), text.to_owned());
                    if known.is_some() {
                        return Err(format!("{}: there are two of this name", source.name));
                    }
                    names.push(source.name.to_owned());
                }
                Content::Set(set) => {
                    names = files_of(source.name, &set)?;
                    let resolver = DescriptorSetFileResolver::decode(set.as_slice());
                    all.sets.push(resolver.map_err(|error| format!("{}: {error}", source.name))?);
                }
            }
            if at == 0 {
                roots = names;
            }
        }
        Ok((all, roots))
    }
}

impl FileResolver for Sources {
    /// The compiler takes what it is to compile for a path; a source may have any name.
    fn resolve_path(&self, path: &Path) -> Option<String> {
        path.to_str().filter(|name| self.texts.contains_key(*name)).map(str::to_owned)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if let Some(text) = self.texts.get(name) {
            return File::from_source(name, text);
        }
        for set in &self.sets {
            match set.open_file(name) {
                Err(error) if error.is_file_not_found() => {}
                other => return other,
            }
        }
        match BUNDLED.iter().find(|(names, _)| names.contains(&name)) {
            Some((_, text)) => File::from_source(name, text),
            None => self.google.open_file(name),
        }
    }
}

fn check_size(sources: &[Source<'_>]) -> Result<(), String> {
    if sources.len() > SOURCES_MAX {
        return Err(format!("more than {SOURCES_MAX} files"));
    }
    let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
    if bytes > SOURCES_BYTES_MAX {
        return Err(format!("the files have {bytes} bytes, {SOURCES_BYTES_MAX} are allowed"));
    }
    for source in sources {
        let name = source.name;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
            return Err(format!("{name:?} is no name for a file of a description"));
        }
    }
    Ok(())
}

/// Brackets must not nest deeper than [`LEVELS_MAX`], nor have more than [`ENTRIES_MAX`] entries
/// in one. Comments and strings do not count.
fn check_levels(name: &str, text: &str) -> Result<(), String> {
    let mut line = 1_usize;
    // Entries so far of each open bracket, and of the file.
    let mut entries = vec![0_usize];
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\n' => line += 1,
            b'{' | b'[' | b'(' | b'<' => entries.push(0),
            b'}' | b']' | b')' | b'>' if entries.len() > 1 => drop(entries.pop()),
            b';' | b',' => {
                if let Some(count) = entries.last_mut() {
                    *count += 1;
                }
            }
            b'/' if bytes.peek() == Some(&b'/') => {
                while bytes.next_if(|byte| *byte != b'\n').is_some() {}
            }
            b'/' if bytes.peek() == Some(&b'*') => {
                let mut before = 0;
                bytes.next();
                for byte in bytes.by_ref() {
                    line += usize::from(byte == b'\n');
                    if (before, byte) == (b'*', b'/') {
                        break;
                    }
                    before = byte;
                }
            }
            b'"' | b'\'' => {
                // A string ends in its line.
                while let Some(inner) = bytes.next_if(|byte| *byte != b'\n') {
                    match inner {
                        b'\\' => drop(bytes.next_if(|byte| *byte != b'\n')),
                        inner if inner == byte => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        if entries.len() > LEVELS_MAX + 1 {
            return Err(format!("{name}:{line}: brackets nest deeper than {LEVELS_MAX}"));
        }
        if entries.last().is_some_and(|count| *count > ENTRIES_MAX) {
            return Err(format!("{name}:{line}: more than {ENTRIES_MAX} entries in one block"));
        }
    }
    Ok(())
}

/// A descriptor set that no compiler wrote may have maps that are none; reading messages by
/// them would fail badly.
fn check_maps(pool: &DescriptorPool) -> Result<(), String> {
    for message in pool.all_messages().filter(MessageDescriptor::is_map_entry) {
        let name = message.full_name();
        let (Some(key), Some(value)) = (message.get_field(1), message.get_field(2)) else {
            return Err(format!("{name}: a map entry without key or value"));
        };
        let keyed = !matches!(
            key.kind(),
            Kind::Float | Kind::Double | Kind::Bytes | Kind::Message(_) | Kind::Enum(_)
        );
        if !keyed || key.is_list() || value.is_list() || value.is_map() {
            return Err(format!("{name}: a map with a key or value that cannot be one"));
        }
    }
    Ok(())
}

/// `file:line:column: what`, as far as the compiler knows where. Its debug form is made so.
fn message(error: &protox::Error) -> String {
    let text = format!("{error:?}");
    match error.file() {
        Some(file) if !text.starts_with(file) => format!("{file}: {text}"),
        _ => text,
    }
}
