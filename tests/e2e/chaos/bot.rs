//! A bot that can die: it runs on a runtime of its own, which is torn down in the middle of whatever it does, as SIGKILL would.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use lockkeeper::bot::Bot;
use lockkeeper::clock::Clock;
use lockkeeper::config::Config;
use lockkeeper::shell::Shell;
use lockkeeper::store::moved::Kept;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the bots of a story log, for whoever looks why it failed.
#[derive(Clone, Default)]
pub struct Diary(Arc<Mutex<Vec<u8>>>);

impl Diary {
    pub fn read(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }

    /// Writes down what a runtime's threads log from now on.
    fn kept_by(&self, runtime: &mut Builder) {
        let diary = self.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || diary.clone());
        let dispatch = tracing::Dispatch::new(lines.finish());
        // For as long as the thread lives.
        runtime.on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&dispatch)));
    }
}

impl Write for Diary {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A bot on a runtime of its own.
pub struct Mortal {
    /// Gone once it is dead.
    runtime: Arc<Mutex<Option<Runtime>>>,
    /// Whether it is to die at a write.
    doomed: Arc<AtomicBool>,
    shell: Arc<Shell>,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Mortal {
    /// Starts one.
    pub async fn start(config: Config, clock: Clock, diary: &Diary) -> Result<Self, String> {
        let mut why = String::new();
        // Whoever died a moment ago may still hold the store's lock.
        for _ in 0..50 {
            let mut runtime = Builder::new_multi_thread();
            diary.kept_by(&mut runtime);
            let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
            let handle = runtime.handle().clone();
            let runtime = Arc::new(Mutex::new(Some(runtime)));
            let setting_up = handle.spawn(Bot::set_up(config.clone(), clock.clone()));
            match tokio::time::timeout(Duration::from_secs(40), setting_up).await {
                Ok(Ok(Ok(bot))) => {
                    let (shell, shutdown) = (bot.shell(), CancellationToken::new());
                    let task = handle.spawn(bot.run(shutdown.clone()));
                    return Ok(Self { runtime, doomed: Arc::default(), shell, shutdown, task });
                }
                Ok(Ok(Err(error))) => why = format!("{error:#}"),
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => why = "setting up took too long".to_owned(),
            }
            down(runtime).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("the bot does not start: {why}"))
    }

    /// What its parts share.
    pub fn shell(&self) -> &Arc<Shell> {
        &self.shell
    }

    /// Dies: when this returns, nothing of it is left.
    pub async fn kill(self) {
        // Whoever waits for a write to kill it at would cut off the next one.
        self.spare();
        let Self { runtime, shell, task, .. } = self;
        drop((shell, task));
        down(runtime).await;
    }

    /// It will die a moment after what is watched has changed for the n-th time from now on. That is its store's file: a commit, a claim, a
    /// settled effect is on the disk, and what follows from it has not begun, is on its way, or is not written down yet; or what Slack
    /// was told.
    /// `last` is done when it dies.
    pub fn dies_at<T: PartialEq>(
        &self,
        watched: impl Fn() -> T + Send + 'static,
        nth: u32,
        moment: Duration,
        last: impl FnOnce() + Send + 'static,
    ) {
        let (runtime, doomed) = (self.runtime.clone(), self.doomed.clone());
        doomed.store(true, Ordering::Relaxed);
        std::thread::spawn(move || {
            let (mut known, mut left) = (watched(), nth);
            while doomed.load(Ordering::Relaxed) && left > 0 {
                let now = watched();
                left -= u32::from(now != known);
                known = now;
                std::thread::sleep(Duration::from_micros(if left > 0 { 100 } else { 0 }));
            }
            std::thread::sleep(moment);
            let runtime = lock(&runtime);
            if doomed.load(Ordering::Relaxed) {
                last();
                end(runtime);
            }
        });
    }

    /// It does not die at a write any more, unless it has.
    pub fn spare(&self) {
        let _not_now = lock(&self.runtime);
        self.doomed.store(false, Ordering::Relaxed);
    }

    /// Whether it died at a write.
    pub fn is_dead(&self) -> bool {
        self.runtime.try_lock().is_ok_and(|runtime| runtime.is_none())
    }

    /// Ends in peace.
    pub async fn stop(self) -> Result<(), String> {
        self.spare();
        let dead = self.is_dead();
        let Self { runtime, shell, shutdown, task, .. } = self;
        shutdown.cancel();
        drop(shell);
        let ended = tokio::time::timeout(Duration::from_secs(15), task).await;
        down(runtime).await;
        match ended {
            _ if dead => Ok(()),
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(format!("the bot ended badly: {error:#}")),
            Ok(Err(error)) => Err(format!("the bot broke: {error}")),
            Err(_) => Err("the bot did not end when it was told to".to_owned()),
        }
    }

    /// Whether it broke by itself.
    pub fn is_broken(&self) -> bool {
        self.task.is_finished() && self.runtime.try_lock().is_ok_and(|runtime| runtime.is_some())
    }

    /// Makes it look at GitHub, as a webhook does.
    pub fn look(&self) {
        self.shell.config.apps.keys().for_each(|app| self.shell.look_now(app));
    }

    /// What it knows of each app.
    pub fn knows(&self) -> Vec<String> {
        let known = |name| self.shell.desk(name).expect("a desk").app().document().expect("a document");
        self.shell.config.apps.keys().map(known).collect()
    }

    /// What is left to be done, effect by effect.
    pub async fn left(&self) -> String {
        let Ok(all) = self.shell.store.export().await else { return "the store is away".to_owned() };
        let effect =
            |one: &Kept| format!("{} (tried {} times, due {}): {:.200}", one.lane, one.attempts, one.due, one.body);
        all.effects.iter().map(effect).collect::<Vec<_>>().join("\n")
    }

    /// Whether it has seen GitHub since, and has nothing left to do.
    pub async fn is_settled(&self, since: Timestamp) -> bool {
        let looked = self.shell.looked();
        let seen = self.shell.config.apps.keys().all(|app| looked.get(app).is_some_and(|at| *at > since));
        let left = self.shell.store.backlog().await.map(|backlog| backlog.count);
        seen && left.is_ok_and(|left| left == 0) && self.shell.sockets.connected() > 0
    }
}

fn lock(runtime: &Mutex<Option<Runtime>>) -> MutexGuard<'_, Option<Runtime>> {
    runtime.lock().expect("no panic")
}

fn end(mut runtime: MutexGuard<'_, Option<Runtime>>) {
    if let Some(runtime) = runtime.take() {
        runtime.shutdown_timeout(Duration::from_secs(10));
    }
}

async fn down(runtime: Arc<Mutex<Option<Runtime>>>) {
    tokio::task::spawn_blocking(move || end(lock(&runtime))).await.expect("a runtime that ends");
}
