//! Opens the database of a disk: makes it, repairs it, and refuses what is not ours.

use super::{
    Fault, OpenError,
    disk::{Disk, Seen, Watched},
    tables::{self, Bounds, FORMAT, META, State, meta},
};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError, TableError,
};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

/// The database of `disk`, made if there is none.
pub(super) fn open(
    disk: &mut dyn Disk,
    seen: &Arc<Seen>,
    cache_bytes: usize,
) -> Result<Database, OpenError> {
    let failed = |path: String, error: io::Error| OpenError::Io { path, why: error.to_string() };
    let name = disk.name();
    let backend = match disk.open() {
        Ok(Some(backend)) => backend,
        Ok(None) => {
            create(disk, cache_bytes)?;
            match disk.open() {
                Ok(Some(backend)) => backend,
                Ok(None) => return Err(failed(name, io::ErrorKind::NotFound.into())),
                Err(error) => return Err(failed(name, error)),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(OpenError::Damaged { path: name, why: error.to_string() });
        }
        Err(error) => return Err(failed(name, error)),
    };
    if let Some(why) = disk.open().ok().flatten().and_then(foreign) {
        return Err(OpenError::Damaged { path: name, why });
    }
    let backend = Watched::new(backend, Arc::clone(seen));
    backend.mend().map_err(|error| failed(name.clone(), error))?;
    // A damaged file may make redb panic where it trusts what it wrote itself.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let database = builder(cache_bytes).create_with_backend(backend)?;
        check(&database).map(|()| database)
    }));
    opened
        .unwrap_or_else(|panic| Err(Why::Damaged(super::panic_text(&*panic))))
        .map_err(|why| why.of(name))
}

fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    // All pages are checked at each start: a file that was damaged while nobody had it open is
    // refused here, and does not fail somewhere later.
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
    builder
}

/// Makes a new database with its tables, and only then puts it where it is found.
fn create(disk: &mut dyn Disk, cache_bytes: usize) -> Result<(), OpenError> {
    let made = disk.create().map_err(Why::from).and_then(|backend| {
        let backend = Watched::new(backend, Arc::default());
        let database = builder(cache_bytes).create_with_backend(backend)?;
        let transaction = database.begin_write().map_err(Fault::from)?;
        State::begin(&transaction, Duration::ZERO, Bounds { revisions: 1, bytes: 1 })?.finish()?;
        transaction.commit().map_err(Fault::from)?;
        database.close()?;
        Ok(disk.publish()?)
    });
    made.map_err(|why| why.of(disk.name()))
}

/// Why a file that was closed in order is none of ours, before anything is written to it: it may
/// be somebody else's, or of a later moongate. All other files are looked at when they are opened.
fn foreign(backend: Box<dyn StorageBackend>) -> Option<String> {
    let backend = Watched::new(backend, Arc::default());
    let checked = catch_unwind(AssertUnwindSafe(|| {
        let database = Builder::new().set_cache_size(0).open_read_only_with_backend(backend)?;
        check(&database)
    }));
    match checked {
        Ok(Err(Why::Foreign(why))) => Some(why),
        _ => None,
    }
}

/// Whether it is ours.
fn check(database: &impl ReadableDatabase) -> Result<(), Why> {
    let transaction = database.begin_read().map_err(Fault::from)?;
    let found = match transaction.open_table(META) {
        Ok(table) => tables::number(&table, meta::FORMAT)?,
        Err(TableError::Storage(error)) => return Err(DatabaseError::Storage(error).into()),
        Err(error) => return Err(Why::Foreign(format!("it is not moongate's: {error}"))),
    };
    if found != FORMAT {
        return Err(Why::Foreign(format!(
            "its layout is number {found}, this moongate knows number {FORMAT}"
        )));
    }
    Ok(())
}

/// Why a database does not open.
enum Why {
    Damaged(String),
    Foreign(String),
    InUse,
    Io(String),
}

impl Why {
    fn of(self, path: String) -> OpenError {
        match self {
            Self::Damaged(why) | Self::Foreign(why) => OpenError::Damaged { path, why },
            Self::InUse => OpenError::InUse { path, by: None },
            Self::Io(why) => OpenError::Io { path, why },
        }
    }
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl From<Fault> for Why {
    fn from(fault: Fault) -> Self {
        if fault.damaged { Self::Damaged(fault.why) } else { Self::Io(fault.why) }
    }
}

impl From<DatabaseError> for Why {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::InUse,
            DatabaseError::Storage(StorageError::Io(error))
                if error.kind() != io::ErrorKind::InvalidData
                    && error.kind() != io::ErrorKind::UnexpectedEof =>
            {
                Self::Io(error.to_string())
            }
            error => Self::Damaged(error.to_string()),
        }
    }
}
