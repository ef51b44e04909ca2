//! Opening the embedded store: the folder, the lock that keeps a second process out, the pragmas, the migrations.

use std::fs::{DirBuilder, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

/// Each takes the file from the version of its index to the next.
const MIGRATIONS: [&str; 1] = [include_str!("schema-1.sql")];

/// Pages in the log at which SQLite works it into the file by itself, in the middle of a commit that somebody waits for: 32 MB.
const LOG: u32 = 8_000;

/// The open file. Fields are dropped in this order: the connection is closed before the lock is given up.
pub(super) struct File {
    pub(super) connection: Connection,
    pub(super) store_id: String,
    _lock: std::fs::File,
}

pub(super) fn open(folder: &Path) -> Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).context("create the folder")?;
    let lock = lock(&folder.join("lock"))?;
    let path = folder.join("lockkeeper.db");
    // Created here for its mode: SQLite gives its own files beside it the same one.
    private(&path).with_context(|| format!("open {} for writing", path.display()))?;
    let (connection, store_id) = prepare(&path).with_context(|| {
        format!("use {} as a store; if it is damaged, move it away or put a backup in its place", path.display())
    })?;
    Ok(File { connection, store_id, _lock: lock })
}

/// A lock on the database itself would keep people with `sqlite3` out as well.
fn lock(path: &Path) -> Result<std::fs::File> {
    let file = private(path).with_context(|| format!("open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another Lockkeeper is using this folder: stop it, or give this one a folder of its own")
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

fn private(path: &Path) -> std::io::Result<std::fs::File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn prepare(path: &Path) -> Result<(Connection, String)> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        bail!("the file system does not allow a write-ahead log: use a local disk");
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG)?;
    // Else a statement whose plan depends on a time is planned anew for each other time: most of what a claim costs.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let health: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if health != "ok" {
        bail!("the file is damaged: {health}");
    }
    migrate(&mut connection)?;
    // Whoever had claimed these is dead: this process holds the lock.
    connection.execute("UPDATE effects SET leased = NULL, uncertain = 1 WHERE leased IS NOT NULL", [])?;
    let store_id = connection.query_row("SELECT id FROM store", [], |row| row.get(0))?;
    Ok((connection, store_id))
}

/// Works the log into the file, as far as no reader stands in the way; what is left waits for the next time.
pub(super) fn checkpoint(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, "the store's log could not be worked into its file");
    }
}

fn migrate(connection: &mut Connection) -> Result<()> {
    let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))?.try_into()?;
    if version > MIGRATIONS.len() {
        bail!("it was written by a newer Lockkeeper (version {version}, this one knows {})", MIGRATIONS.len());
    }
    let transaction = connection.transaction()?;
    for migration in &MIGRATIONS[version..] {
        transaction.execute_batch(migration)?;
    }
    if version == 0 {
        transaction.execute("INSERT INTO store (id) VALUES (?1)", [format!("{:016x}", fastrand::u64(..))])?;
    }
    transaction.pragma_update(None, "user_version", u32::try_from(MIGRATIONS.len())?)?;
    transaction.commit()?;
    Ok(())
}
