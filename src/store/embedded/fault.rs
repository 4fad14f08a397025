//! What goes wrong with the file while the store is at work.

use redb::{CommitError, StorageError, TableError, TransactionError};
use std::any::Any;

/// Something that ends a transaction, and with it the open database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What the operator reads.
    pub(super) why: String,
    /// Whether the file itself is to blame, and not the disk under it.
    pub(super) damaged: bool,
}

impl Fault {
    /// `what` in the file is not as it was written.
    pub(super) fn damaged(what: &str) -> Self {
        Self { why: format!("{what} in the file is damaged"), damaged: true }
    }

    /// A panic of the database.
    pub(super) fn panicked(panic: &(dyn Any + Send)) -> Self {
        Self { why: panic_text(panic), damaged: true }
    }
}

/// What a caught panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the database gave up").to_owned()
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        let damaged = matches!(error, StorageError::Corrupted(_));
        Self { why: error.to_string(), damaged }
    }
}

impl From<TableError> for Fault {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Storage(error) => error.into(),
            error => Self { why: error.to_string(), damaged: true },
        }
    }
}

impl From<TransactionError> for Fault {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Storage(error) => error.into(),
            error => Self { why: error.to_string(), damaged: false },
        }
    }
}

impl From<CommitError> for Fault {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => error.into(),
            error => Self { why: error.to_string(), damaged: false },
        }
    }
}
