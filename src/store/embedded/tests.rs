//! What only the embedded store promises: its files, who may use them, and that a killed process leaves whole commits.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::StatementStatus;

use super::super::{Decision, NewEffect};
use super::*;

const CRASH_FOLDER: &str = "LOCKKEEPER_TEST_CRASH_FOLDER";

/// Three decisions in each commit.
fn commit(app: &str, expected: u64) -> Commit {
    let effect = |lane: &str| NewEffect {
        lane: lane.to_owned(),
        key: None,
        body: format!("{app} {}", expected + 1),
        expires: None,
    };
    let decision = |nth: u64| Decision {
        effects: vec![effect("a"), effect("b")],
        audit: vec![(expected * 3 + nth).to_string()],
        seen: Some(format!("{app} {expected} {nth}")),
        settle: None,
    };
    Commit {
        app: AppName::new(app),
        expected: Version(expected),
        at: Timestamp::UNIX_EPOCH,
        document: Some((expected + 1).to_string()),
        decisions: (1..=3).map(decision).collect(),
        fence: None,
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn refusal(folder: &Path) -> String {
    format!("{:#}", Embedded::open(folder).err().expect("refused"))
}

#[tokio::test]
async fn files_are_private_and_sqlite3_can_read_them_meanwhile() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("deep/data");
    let store = Embedded::open(&folder).unwrap();
    store.commit(commit("h", 0)).await.unwrap();
    assert_eq!(mode(&folder), 0o700);
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let reader = Connection::open_with_flags(folder.join("lockkeeper.db"), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
    let lines: u32 = reader.unwrap().query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap();
    assert_eq!(lines, 3);
}

#[test]
fn a_second_process_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let first = Embedded::open(folder.path()).unwrap();
    let text = refusal(folder.path());
    assert!(text.contains("another Lockkeeper is using this folder"), "{text}");
    assert!(text.contains("LOCKKEEPER_DATA"), "{text}");
    drop(first);
    Embedded::open(folder.path()).unwrap();
}

#[tokio::test]
async fn what_cannot_be_a_store_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lockkeeper.db");
    for (content, expected) in [
        ("this is no database, and long enough to be taken for one".repeat(100), "damaged"),
        ("SQLite format 3\0 and then nothing of the kind".repeat(100), "damaged"),
    ] {
        std::fs::write(&file, content).unwrap();
        let text = refusal(folder.path());
        assert!(
            text.contains("LOCKKEEPER_DATA") && text.contains("lockkeeper.db") && text.contains(expected),
            "{text}"
        );
    }
    let text = refusal(&file);
    assert!(text.contains("LOCKKEEPER_DATA") && text.contains("create the folder"), "{text}");
}

#[tokio::test]
async fn a_torn_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    for n in 0..200 {
        store.commit(commit("h", n)).await.unwrap();
    }
    drop(store);
    let file = folder.path().join("lockkeeper.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xAA);
    std::fs::write(&file, bytes).unwrap();
    let text = refusal(folder.path());
    assert!(text.contains("damaged"), "{text}");
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(Embedded::open(folder.path()).unwrap());
    let connection = Connection::open(folder.path().join("lockkeeper.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let text = refusal(folder.path());
    assert!(text.contains("newer Lockkeeper"), "{text}");
}

#[tokio::test]
async fn an_audit_line_cannot_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    store.commit(commit("h", 0)).await.unwrap();
    for sql in ["DELETE FROM audit", "UPDATE audit SET line = ''"] {
        let error = store.ask("tamper", |db| db.execute(sql, [])).await.unwrap_err();
        assert!(format!("{error:#}").contains("only added to"), "{error:#}");
    }
}

#[tokio::test]
async fn a_failing_request_takes_no_other_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(folder.path()).unwrap();
    let (busy, blocked) = mpsc::channel::<()>();
    let waiting = store.ask("hold the thread", move |_| Ok(blocked.recv().is_err()));
    let ids = store.ids.clone();
    let half = store.ask("write one row, then fail", move |db| {
        rows::commit(db, &ids, &commit("torn", 0))?;
        db.execute("SELECT nonsense", [])
    });
    let whole = store.commit(commit("h", 0));
    let release = async { drop(busy) };
    let (waiting, half, whole, ()) = futures_util::future::join4(waiting, half, whole, release).await;
    assert!(waiting.unwrap() && half.is_err());
    assert_eq!(whole.unwrap(), Committed::Yes(Version(1)));
    assert_eq!(store.load(&AppName::new("torn")).await.unwrap(), None);
}

/// The process is killed in the middle of many commits; run again with a folder in its environment, this very test is the process.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_whole_commits_and_all_it_was_told_of() {
    if let Some(folder) = std::env::var_os(CRASH_FOLDER) {
        return commit_for_ever(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    for lines in [1, 40, 333] {
        let told = kill_after(lines, folder.path());
        assert!(told.len() >= lines);
        whole(folder.path(), &told).await;
    }
}

async fn commit_for_ever(folder: &Path) {
    let store = Embedded::open(folder).unwrap();
    let apps = ["x", "y", "z"].map(|app| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut version = store.load(&AppName::new(app)).await.unwrap().map_or(0, |(version, _)| version.0);
            loop {
                assert_eq!(store.commit(commit(app, version)).await.unwrap(), Committed::Yes(Version(version + 1)));
                version += 1;
                // One write for each line, and past the test harness, which keeps what `println!` says.
                std::io::stdout().write_all(format!("told {app} {version}\n").as_bytes()).unwrap();
            }
        })
    });
    futures_util::future::join_all(apps).await;
}

/// Starts the process, kills it after so many lines, and returns all that it was told is committed.
fn kill_after(lines: usize, folder: &Path) -> Vec<(String, u64)> {
    let test = "store::embedded::tests::a_killed_process_leaves_whole_commits_and_all_it_was_told_of";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CRASH_FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some((app, version)) = line.unwrap().strip_prefix("told ").and_then(|told| told.split_once(' ')) {
            told.push((app.to_owned(), version.parse().unwrap()));
        }
        if told.len() == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    told
}

async fn whole(folder: &Path, told: &[(String, u64)]) {
    let store = Embedded::open(folder).unwrap();
    let mut commits = 0;
    for app in ["x", "y", "z"] {
        let told = told.iter().filter(|(of, _)| of == app).map(|(_, version)| *version).max();
        let (version, document) = store.load(&AppName::new(app)).await.unwrap().unwrap_or_default();
        assert!(version.0 >= told.unwrap_or(0), "{app} forgot what it was told");
        assert!(version.0 == 0 || document == version.0.to_string());
        let lines = store.audit(&AppName::new(app), u32::MAX).await.unwrap();
        let whole = (1..=version.0 * 3).rev().map(|n| n.to_string());
        assert!(lines.into_iter().eq(whole), "a line for each decision of {app}, and all of a commit or none");
        commits += version.0;
    }
    assert_eq!(store.backlog().await.unwrap().count, 6 * commits, "two effects for each decision");
    let keys: i64 =
        store.ask("count", |db| db.query_row("SELECT count(*) FROM seen", [], |row| row.get(0))).await.unwrap();
    assert_eq!(keys.unsigned_abs(), 3 * commits);
}

/// SQLite may plan a statement anew for each value that is bound to it, which takes longer than the claim itself.
#[test]
fn a_claim_is_planned_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = file::open(folder.path()).unwrap();
    let (db, ids) = (&file.connection, rows::Ids::new(file.store_id.clone()));
    for nth in 0..3 {
        rows::commit(db, &ids, &commit("h", nth)).unwrap();
        let now = Timestamp::from_second(nth.try_into().unwrap()).unwrap();
        for claimed in rows::claim(db, &ids, now, now, 256).unwrap() {
            rows::settle(db, ids.row(&claimed.id)).unwrap();
        }
    }
    let claim = db.prepare_cached(rows::CLAIM).unwrap();
    assert_eq!(claim.get_status(StatementStatus::Run), 3, "it is the same statement");
    assert_eq!(claim.get_status(StatementStatus::RePrepare), 0);
}
