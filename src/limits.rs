//! Every bound of this process that is not a key of `config.yaml`.
//!
//! Whatever can grow has its bound here, so that a reader finds all of them in one
//! place. Units are the last word of each name.

/// Nodes (scalars, lists, mappings) of one configuration document. 100,000 routes with a
/// few plugins each hold about 3 million.
pub const DOCUMENT_NODES_MAX: usize = 16_000_000;

/// Bytes of one configuration document.
pub const DOCUMENT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Nesting of one configuration document, in levels.
pub const DOCUMENT_LEVELS_MAX: usize = 64;

/// Bytes that aliases (`*name`) of one document may copy, 64 per node plus its text.
/// A document of a few lines can ask for terabytes.
pub const DOCUMENT_ALIAS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Seconds between two scans of watched files that look for what no event told.
pub const WATCH_SCAN_SECONDS: u64 = 1;

/// Milliseconds a watched directory must be quiet before its change is reported.
pub const WATCH_QUIET_MS: u64 = 5;

/// Milliseconds after which a change is reported even if the directory never gets quiet.
pub const WATCH_QUIET_MS_MAX: u64 = 250;

/// Files of one watched directory that the scan looks at.
pub const WATCH_FILES_MAX: usize = 10_000;

/// Worker threads, whatever configuration or variables ask for.
pub const WORKERS_MAX: usize = 1024;

/// Bytes of stack of every thread that runs Lua. Only what is used becomes memory. A plugin
/// that recurses through C functions (`gsub` with a callback, coroutines in coroutines) meets
/// LuaJIT's own bounds well before this one, which would end the process.
pub const LUA_STACK_BYTES: usize = 128 << 20;

/// Bytes of one key of the store: `routes/1`.
pub const STORE_KEY_BYTES_MAX: usize = 4 * 1024;

/// Bytes of one object in the store.
pub const STORE_VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of one write to the store, and of all writes that wait for it: an import of a whole
/// document is one write.
pub const STORE_WRITE_BYTES_MAX: usize = DOCUMENT_BYTES_MAX;

/// Bytes of the name that a write to the store goes down in history with.
pub const STORE_WHO_BYTES_MAX: usize = 256;

/// Requests that wait for the store's thread.
pub const STORE_WAITING_MAX: usize = 4096;

/// Bytes of one message of etcd. Larger pages of a listing are asked for anew with fewer keys;
/// etcd itself takes no value above `--max-request-bytes` (1.5 MiB unless told otherwise).
pub const ETCD_MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Bytes of keys and values below the prefix in etcd, and of its snapshot on disk.
pub const ETCD_LISTING_BYTES_MAX: usize = 512 << 20;
