//! The embedded store: a SQLite file that belongs to this process alone, and one thread that owns the connection. Here is the
//! thread and how it is asked; the SQL is in `rows`, opening the file in `file`.
//!
//! An fsync costs far more than the rows it makes durable, so all that was asked while the last transaction was on its way to the
//! disk shares the next one, each in a savepoint of its own: one that fails takes no other with it.

use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::moved::Everything;
use super::{Backlog, Claims, Commit, Committed, EffectId, Unwritten, Version};
use crate::deploy::name::AppName;

mod file;
mod moving;
mod rows;

/// The log is worked into the file once nobody has asked for so long.
const QUIET: Duration = Duration::from_millis(300);
/// How many requests share a transaction at most; bounds how long the first of them waits.
const SHARED: usize = 256;

/// A SQLite file and its thread. Clones share them; when the last one is dropped, what was asked is finished and the file closed.
#[derive(Clone)]
pub struct Embedded {
    thread: Arc<Thread>,
    ids: rows::Ids,
}

impl Embedded {
    /// Opens `folder`/`lockkeeper.db`, creating folder and file where they are missing. Blocks; call it at the start.
    ///
    /// What a process that died had claimed can be claimed again, and is uncertain. Fails with a sentence that names
    /// `LOCKKEEPER_DATA` where another process uses the folder, or the file cannot be written, is damaged or is of a newer version.
    pub fn open(folder: &Path) -> Result<Self> {
        let file =
            file::open(folder).with_context(|| format!("open the store in {} (LOCKKEEPER_DATA)", folder.display()))?;
        let ids = rows::Ids::new(file.store_id.clone());
        Ok(Self { thread: Arc::new(Thread::start(file)?), ids })
    }

    pub(super) async fn load(&self, app: &AppName) -> Result<Option<(Version, String)>> {
        let app = app.clone();
        self.ask("load a document", move |db| rows::load(db, &app)).await
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<Committed, Unwritten> {
        let ids = self.ids.clone();
        let told = self.ask("commit decisions", move |db| rows::commit(db, &ids, &commit)).await;
        // SQLite rolls back what it could not commit.
        told.map_err(|error| Unwritten::Nothing(format!("{error:#}")))
    }

    pub(super) async fn claim(&self, now: Timestamp, lease: SignedDuration, most: u32) -> Result<Claims> {
        let until = now.saturating_add(lease).context("add the lease to the time")?;
        let ids = self.ids.clone();
        let claim =
            move |db: &_| Ok(Claims { effects: rows::claim(db, &ids, now, until, most)?, next: rows::next_due(db)? });
        self.ask("claim effects", claim).await
    }

    pub(super) async fn renew(&self, id: &EffectId, from: Timestamp, until: Timestamp) -> Result<bool> {
        let row = self.ids.row(id);
        self.ask("renew a claim", move |db| rows::renew(db, row, from, until)).await
    }

    pub(super) async fn retry(&self, id: &EffectId, at: Timestamp, uncertain: bool) -> Result<()> {
        let row = self.ids.row(id);
        self.ask("give an effect back", move |db| rows::retry(db, row, at, uncertain)).await
    }

    pub(super) async fn settle(&self, id: &EffectId) -> Result<()> {
        let row = self.ids.row(id);
        self.ask("settle an effect", move |db| rows::settle(db, row).map(drop)).await
    }

    pub(super) async fn backlog(&self) -> Result<Backlog> {
        self.ask("count the effects", rows::backlog).await
    }

    pub(super) async fn audit(&self, app: &AppName, limit: u32) -> Result<Vec<String>> {
        let app = app.clone();
        self.ask("read the audit log", move |db| rows::audit(db, &app, limit)).await
    }

    pub(super) async fn export(&self) -> Result<Everything> {
        self.ask("read everything", moving::export).await
    }

    /// Afterwards the file has another id: open it anew.
    pub(super) async fn import(&self, all: Everything) -> Result<()> {
        if !self.ask("count what is there", moving::is_empty).await? {
            bail!("the embedded store is not empty: move its folder away, or name another (LOCKKEEPER_DATA)");
        }
        self.ask("write everything", move |db| moving::import(db, &all)).await
    }

    async fn ask<T, F>(&self, what: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (to, answer) = oneshot::channel();
        let stopped = || anyhow!("{what}: the store's thread has stopped");
        let jobs = self.thread.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(Box::new(Asked { work: Some(work), result: None, to })).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?.context(what)
    }
}

/// The thread that owns the connection; joined when dropped.
struct Thread {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    fn start(file: file::File) -> Result<Self> {
        let (jobs, asked) = mpsc::channel();
        let handle = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || work(file, &asked))
            .context("start the store's thread")?;
        Ok(Self { jobs: Some(jobs), handle: Some(handle) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(handle) = self.handle.take()
            && handle.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

/// Something asked of the thread: done within a shared transaction, answered once that is over.
trait Job: Send {
    fn work(&mut self, transaction: &mut Transaction<'_>);
    fn answer(self: Box<Self>, end: &rusqlite::Result<()>);
}

struct Asked<T, F> {
    work: Option<F>,
    result: Option<rusqlite::Result<T>>,
    to: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Asked<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn work(&mut self, transaction: &mut Transaction<'_>) {
        self.result = self.work.take().map(|work| apart(transaction, work));
    }

    fn answer(self: Box<Self>, end: &rusqlite::Result<()>) {
        let answer = match (end, self.result) {
            (Ok(()), Some(result)) => result.map_err(anyhow::Error::from),
            (Ok(()), None) => Err(anyhow!("the store did not get to it")),
            (Err(error), _) => Err(anyhow!("write the store's file: {error}")),
        };
        let _ = self.to.send(answer);
    }
}

/// Does the work in a savepoint, which an error rolls back.
fn apart<T>(
    transaction: &mut Transaction<'_>,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let savepoint = transaction.savepoint()?;
    let result = work(&savepoint)?;
    savepoint.commit()?;
    Ok(result)
}

/// The thread: until nobody can ask any more. The log is worked into the file when nobody has asked for a while: it takes as long as
/// several commits.
fn work(mut file: file::File, asked: &mpsc::Receiver<Box<dyn Job>>) {
    let mut written = false;
    loop {
        let next = if written { asked.recv_timeout(QUIET) } else { asked.recv().map_err(RecvTimeoutError::from) };
        let first = match next {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                written = false;
                file::checkpoint(&file.connection);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut jobs: Vec<Box<dyn Job>> = std::iter::once(first).chain(asked.try_iter().take(SHARED - 1)).collect();
        let end = together(&mut file.connection, &mut jobs);
        if let Err(error) = &end {
            tracing::error!(%error, "the store's file could not be written");
        }
        for job in jobs {
            job.answer(&end);
        }
        written = true;
    }
}

fn together(connection: &mut Connection, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in jobs {
        job.work(&mut transaction);
    }
    transaction.commit()
}

#[cfg(test)]
mod tests;
