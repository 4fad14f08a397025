//! Where `require` finds Lua files.
//!
//! A [`Generation`] is one consistent view of all files: a file is read once, by whoever
//! asks first, and every VM of the generation sees those bytes. So all workers run the
//! same code even while somebody writes to the directory.
//!
//! Disk comes before what is embedded in the binary: `extra_lua_path`, then the plugin
//! directories, then `<prefix>/lua`.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest::{SHA256, digest};
use include_dir::{Dir, include_dir};

use crate::codec::sign::text::hex;

static LUA: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/lua");
static PLUGINS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/plugins");

/// The module name of a plugin starts with this.
pub(crate) const PLUGIN_PREFIX: &str = "apisix.plugins.";

/// Where files are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// `extra_lua_path`: templates with `?`.
    pub extra: Vec<String>,
    /// Directories whose files are plugins: `<prefix>/plugins`, `/plugins`, ….
    pub plugins: Vec<PathBuf>,
    /// Directories laid out like our `lua/`.
    pub lua: Vec<PathBuf>,
    /// `extra_lua_cpath`: templates for C modules.
    pub extra_c: Vec<String>,
    /// Plugins to take from these directories before all others: name and directory.
    pub checked: Vec<(String, PathBuf)>,
}

impl Places {
    /// Every directory whose change may change the code.
    #[must_use]
    pub fn directories(&self) -> Vec<PathBuf> {
        let extra = self.extra.iter().filter_map(|template| {
            let root = template.split('?').next()?;
            Some(Path::new(root).to_path_buf())
        });
        extra.chain(self.plugins.iter().cloned()).chain(self.lua.iter().cloned()).collect()
    }

    /// The files that may hold module `name`, first choice first.
    fn candidates(&self, name: &str) -> Vec<PathBuf> {
        let path = name.replace('.', "/");
        let mut files = Vec::new();
        let mut plugins = Vec::new();
        if let Some(plugin) = name.strip_prefix(PLUGIN_PREFIX) {
            let plugin = plugin.replace('.', "/");
            for (checked, directory) in &self.checked {
                if plugin.split('/').next() == Some(checked) {
                    files.extend(files_of(directory, &plugin));
                }
            }
            for directory in &self.plugins {
                plugins.extend(files_of(directory, &plugin));
            }
            // What lies beside a plugin that is checked is what it finds once it is installed.
            for (_, directory) in &self.checked {
                plugins.extend(files_of(directory, &plugin));
            }
        }
        let extra = self.extra.iter().filter(|template| !template.is_empty());
        files.extend(extra.map(|template| PathBuf::from(template.replace('?', &path))));
        files.append(&mut plugins);
        for directory in &self.lua {
            files.extend(files_of(directory, &path));
        }
        files
    }
}

/// The two files of a directory that may hold a module.
fn files_of(directory: &Path, module: &str) -> [PathBuf; 2] {
    [directory.join(format!("{module}.lua")), directory.join(module).join("init.lua")]
}

/// A Lua file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What error messages call it.
    pub name: String,
    /// Its text.
    pub text: Arc<[u8]>,
}

/// A file that was found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDisk {
    /// Where.
    pub path: PathBuf,
    /// Its length.
    pub bytes: usize,
    /// Digest of its text, in hexadecimal.
    pub sha256: String,
    /// When it was changed, in seconds since 1970, if the system tells.
    pub mtime: Option<u64>,
}

/// One view of all Lua files.
#[derive(Debug)]
pub struct Generation {
    /// Counts up with every reload.
    pub id: u64,
    places: Places,
    /// What was found on disk; `None` for a file that was not there.
    files: Mutex<BTreeMap<PathBuf, Option<Source>>>,
    /// When those that are there were changed.
    times: Mutex<BTreeMap<PathBuf, SystemTime>>,
    /// Texts as bytecode, by the name of their file; kept from generation to generation.
    compiled: Arc<Mutex<HashMap<String, Compiled>>>,
}

/// A text and what LuaJIT made of it.
#[derive(Debug, Clone)]
struct Compiled {
    text: Arc<[u8]>,
    code: Arc<[u8]>,
}

/// Files by what they hold; `None` for one that is not there.
pub type Changes = BTreeMap<PathBuf, Option<Source>>;

impl Generation {
    /// A fresh view.
    #[must_use]
    pub fn new(id: u64, places: Places) -> Self {
        let (files, times) = (Mutex::default(), Mutex::default());
        Self { id, places, files, times, compiled: Arc::default() }
    }

    /// A fresh view that need not compile again what did not change.
    #[must_use]
    pub fn next(&self, id: u64, places: Places) -> Self {
        Self { compiled: Arc::clone(&self.compiled), ..Self::new(id, places) }
    }

    /// Where it looks.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Finds module `name`.
    ///
    /// # Errors
    ///
    /// When a file is there but cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<Source>, String> {
        Ok(self.find_on_disk(name)?.or_else(|| embedded(name)))
    }

    /// Finds module `name`, but not in the binary.
    ///
    /// # Errors
    ///
    /// As [`Generation::find`].
    pub fn find_on_disk(&self, name: &str) -> Result<Option<Source>, String> {
        for path in self.places.candidates(name) {
            if let Some(source) = self.read(&path)? {
                return Ok(Some(source));
            }
        }
        Ok(None)
    }

    /// A file that is no module.
    ///
    /// # Errors
    ///
    /// As [`Generation::find`].
    pub fn file(&self, path: &Path) -> Result<Option<Source>, String> {
        self.read(path)
    }

    fn read(&self, path: &Path) -> Result<Option<Source>, String> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = files.get(path) {
            return Ok(known.clone());
        }
        let found = match fs::read(path) {
            Ok(text) => {
                self.note_time(path);
                Some(Source { name: path.display().to_string(), text: text.into() })
            }
            Err(error) if missing(&error) => None,
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        files.insert(path.to_path_buf(), found.clone());
        Ok(found)
    }

    fn note_time(&self, path: &Path) {
        // Only shown: without it a file is as good.
        if let Ok(time) = fs::metadata(path).and_then(|file| file.modified()) {
            let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
            times.insert(path.to_path_buf(), time);
        }
    }

    /// The files that were found on disk.
    #[must_use]
    pub fn on_disk(&self) -> Vec<OnDisk> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let seconds = |time: &SystemTime| Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs());
        let file = |(path, source): (PathBuf, Option<Source>)| {
            let text = source?.text;
            Some(OnDisk {
                bytes: text.len(),
                sha256: hex(digest(&SHA256, &text).as_ref()),
                mtime: times.get(&path).and_then(seconds),
                path,
            })
        };
        self.snapshot().into_iter().filter_map(file).collect()
    }

    /// The first of the files `known` if all of them still are what they were then.
    ///
    /// # Errors
    ///
    /// When a file is there but cannot be read.
    pub fn holds(&self, known: &Changes) -> Result<Option<String>, String> {
        for (path, source) in known {
            if self.read(path)? != *source {
                return Ok(None);
            }
        }
        Ok(known.keys().next().map(|path| path.display().to_string()))
    }

    /// The files that `older` did not see as they are.
    #[must_use]
    pub fn changed_since(&self, older: &Self) -> Changes {
        let (mut new, old) = (self.snapshot(), older.snapshot());
        new.retain(|path, source| match old.get(path) {
            Some(known) => known != source,
            None => source.is_some(),
        });
        new
    }

    /// Whether any file on disk differs from what this view read.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.snapshot().iter().any(|(path, source)| {
            let now = fs::read(path).ok();
            now.as_deref() != source.as_ref().map(|source| &source.text[..])
        })
    }

    fn snapshot(&self) -> BTreeMap<PathBuf, Option<Source>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a plugin of this name exists, loaded or not.
    #[must_use]
    pub fn has_plugin(&self, name: &str) -> bool {
        matches!(self.find(&format!("{PLUGIN_PREFIX}{name}")), Ok(Some(_)))
    }
}

fn missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A module out of the binary.
fn embedded(name: &str) -> Option<Source> {
    let path = name.replace('.', "/");
    let (shelf, root, path) = match name.strip_prefix(PLUGIN_PREFIX) {
        Some(plugin) => ("plugins", &PLUGINS, plugin.replace('.', "/")),
        None => ("lua", &LUA, path),
    };
    [format!("{path}.lua"), format!("{path}/init.lua")].into_iter().find_map(|file| {
        let found = root.get_file(&file)?;
        Some(Source { name: format!("{shelf}/{file}"), text: found.contents().into() })
    })
}

impl Generation {
    /// The chunk of a file. It is compiled once for all VMs; its bytecode keeps the names and
    /// lines that messages need.
    fn compile(&self, lua: &mlua::Lua, source: &Source) -> mlua::Result<mlua::Function> {
        let known = {
            let compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
            compiled.get(&source.name).filter(|known| known.text == source.text).cloned()
        };
        let name = format!("@{}", source.name);
        if let Some(known) = known {
            let chunk = lua.load(&known.code[..]).set_name(name);
            return chunk.set_mode(mlua::chunk::ChunkMode::Binary).into_function();
        }
        let chunk = lua.load(&source.text[..]).set_name(name);
        let chunk = chunk.set_mode(mlua::chunk::ChunkMode::Text).into_function()?;
        let made = Compiled { text: Arc::clone(&source.text), code: chunk.dump(false).into() };
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.insert(source.name.clone(), made);
        Ok(chunk)
    }
}

/// Makes `require` look into `generation` right after `package.preload`.
///
/// # Errors
///
/// When Lua has no memory for it.
pub(crate) fn install(lua: &mlua::Lua, generation: &Arc<Generation>) -> mlua::Result<()> {
    let view = Arc::clone(generation);
    let search = lua.create_function(move |lua, name: String| {
        let source = match view.find(&name) {
            Ok(Some(source)) => source,
            Ok(None) => {
                let text = format!("\n\tno file for '{name}' in moongate's directories");
                return Ok(mlua::Value::String(lua.create_string(text)?));
            }
            Err(text) => return Err(mlua::Error::RuntimeError(text)),
        };
        Ok(mlua::Value::Function(view.compile(lua, &source)?))
    })?;
    let package: mlua::Table = lua.globals().get("package")?;
    let loaders: mlua::Table = package.get("loaders")?;
    loaders.raw_insert(2, search)?;
    let places = generation.places();
    if !places.extra_c.is_empty() {
        let standard: String = package.get("cpath")?;
        package.set("cpath", format!("{};{standard}", places.extra_c.join(";")))?;
    }
    Ok(())
}
