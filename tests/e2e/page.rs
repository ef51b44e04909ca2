//! The sandbox's page in a real browser: a story that is played by clicking and typing alone, as somebody would who tries
//! Lockkeeper out. `PICTURES=/some/folder` keeps what it looked like.

use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use jiff::civil::Weekday;
use serde_json::json;
use tempfile::TempDir;

use crate::remind;
use crate::town::{DEPLOYS, Town, until};

/// A headless Chromium, and the driver that moves it. Both are gone when it is dropped.
struct Browser {
    client: Client,
    // Dropped in this order: the browser is still using its folder while the driver ends it.
    _driver: Driver,
    _folder: TempDir,
}

struct Driver {
    child: Child,
    port: u16,
}

const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1500,1000",
];

impl Driver {
    async fn start(folder: &TempDir) -> Self {
        let said = folder.path().join("said");
        let child = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(File::create(&said).expect("a file"))
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!(
                "chromedriver cannot be started ({error}): tests/run installs it, or apt-get install chromium-driver"
            )
        });
        // Ended also when its port is never known.
        let mut driver = Self { child, port: 0 };
        driver.port = until("chromedriver to say its port", || async {
            let said = std::fs::read_to_string(&said).unwrap_or_default();
            let port = said.split("started successfully on port ").nth(1)?;
            port.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        })
        .await;
        driver
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It takes its browser along only when it is asked in peace.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(3)));
            let _ = stream.write_all(b"GET /shutdown HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    async fn open(url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let driver = Driver::start(&folder).await;
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": flags } });
        let wanted = wanted.as_object().expect("an object").clone();
        let address = format!("http://127.0.0.1:{}", driver.port);
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(wanted).connect(&address).await;
        let client = client.expect("a browser: tests/run installs chromium");
        client.goto(url).await.expect("the page");
        Self { client, _driver: driver, _folder: folder }
    }

    async fn close(self) {
        self.client.clone().close().await.expect("an end in peace");
    }

    /// The page is drawn anew whenever something changes, so whatever is done to it is tried until it holds still.
    async fn try_until<T, F>(&self, what: &str, mut attempt: impl FnMut(Client) -> F) -> T
    where
        F: Future<Output = Result<T, CmdError>>,
    {
        let attempted = until(what, || {
            let attempt = attempt(self.client.clone());
            async { attempt.await.ok() }
        });
        attempted.await
    }

    /// Clicks something by its `data-testid`, the newest where there are several.
    async fn click(&self, id: &str) {
        let css = format!("[data-testid=\"{id}\"]");
        let what = format!("{id} to be clicked");
        self.try_until(&what, |client| {
            let css = css.clone();
            async move { newest(client.find_all(Locator::Css(&css)).await?)?.click().await }
        })
        .await;
    }

    /// Clicks the newest button in the channel that says this.
    async fn press(&self, label: &str) {
        let path = format!("//*[@id='log']//article//button[normalize-space()='{label}']");
        let what = format!("the button {label:?} to be pressed");
        self.try_until(&what, |client| {
            let path = path.clone();
            async move { newest(client.find_all(Locator::XPath(&path)).await?)?.click().await }
        })
        .await;
    }

    /// Types into something by its `data-testid`.
    async fn fill(&self, id: &str, text: &str) {
        let css = format!("[data-testid=\"{id}\"]");
        let what = format!("{id} to take {text:?}");
        self.try_until(&what, |client| {
            let css = css.clone();
            async move {
                let field = client.find(Locator::Css(&css)).await?;
                field.clear().await?;
                field.send_keys(text).await
            }
        })
        .await;
    }

    /// Fills the one text of the form that is open.
    async fn fill_form(&self, text: &str) {
        self.try_until("the form to take a text", |client| async move {
            client.find(Locator::Css("#modal textarea, #modal input")).await?.send_keys(text).await
        })
        .await;
    }

    /// Looks through the eyes of another person.
    async fn become_person(&self, id: &str) {
        self.try_until("another person", |client| async move {
            client.find(Locator::Css("[data-testid=\"person\"]")).await?.select_by_value(id).await
        })
        .await;
    }

    /// Types a command or a message and sends it.
    async fn send(&self, text: &str) {
        self.fill("composer", text).await;
        self.click("send").await;
    }

    /// Waits until something reads like this; what it reads then.
    async fn reads(&self, css: &str, text: &str) -> String {
        let what = format!("{css} to read {text:?}");
        until(&what, || async {
            let found = self.client.find_all(Locator::Css(css)).await.ok()?;
            for element in found {
                let read = element.text().await.ok()?;
                if read.contains(text) {
                    return Some(read);
                }
            }
            None
        })
        .await
    }

    /// Keeps a picture, if anybody wants to look.
    async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("PICTURES") else { return };
        let png = self.client.screenshot().await.expect("a picture");
        std::fs::write(PathBuf::from(folder).join(format!("{name}.png")), png).expect("a file");
    }
}

fn newest(mut found: Vec<Element>) -> Result<Element, CmdError> {
    found.pop().ok_or_else(|| CmdError::NotJson("no such button".to_owned()))
}

/// Messages that everybody in the channel sees.
const MESSAGE: &str = "#log [data-testid=\"message\"]";
/// Messages that only the person on the left sees.
const PRIVATE: &str = "#log [data-testid=\"ephemeral\"]";

async fn succeed(browser: &Browser, jobs: &[&str]) {
    for job in jobs {
        browser.click(&format!("job-ok-{job}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_is_played_by_clicking() {
    let town = Town::open().await;
    let browser = Browser::open(&format!("http://{}", town.sandbox.page)).await;
    browser.reads("#link", "Lockkeeper is connected").await;
    browser.picture("1-empty").await;

    browser.fill("merge-title", "Fix RPC").await;
    browser.click("merge-go").await;
    browser.reads(MESSAGE, "h · run 812 · Fix RPC").await;
    succeed(&browser, &["Docker Hub", "Staging", "Staging (WebSocket)"]).await;
    browser.reads(MESSAGE, "waiting for approval").await;
    browser.picture("2-waiting").await;

    browser.become_person("UBEN").await;
    browser.fill("merge-title", "Bump zope-interface").await;
    browser.click("merge-go").await;
    browser.reads(MESSAGE, "replaced by run 813").await;
    succeed(&browser, &["Docker Hub", "Staging", "Staging (WebSocket)"]).await;
    let notice = browser.reads(MESSAGE, "h · run 813").await;
    assert!(notice.contains("Ships 2 changes"), "{notice}");
    browser.reads(MESSAGE, "On Staging and Staging (WebSocket) since today ").await;
    browser.click("thread-open").await;
    browser.reads("#thread-log", "was replaced when @Ben merged").await;
    browser.picture("3-thread").await;
    browser.click("thread-close").await;

    browser.become_person("UANA").await;
    browser.press("I tested mine").await;
    browser.reads(PRIVATE, "ticked as tested").await;
    browser.picture("4-tested").await;
    browser.become_person("UBEN").await;
    browser.send("/deploy approve h").await;
    browser.reads(PRIVATE, "Not ticked as tested").await;
    browser.picture("5-asked").await;
    assert!(town.reviews().is_empty(), "nothing is approved before it is confirmed");
    browser.press("Approve 3 environments").await;
    browser.reads(PRIVATE, "Approved: run 813 goes to").await;
    assert_eq!(town.reviews().len(), 1);
    succeed(&browser, &["Production", "Production (WebSocket)", "Production (Canada)"]).await;
    let end = browser.reads(MESSAGE, "is live on Production").await;
    assert!(end.contains("approved by @Ben"), "{end}");
    town.settled().await;
    let said = town.sandbox.workspace.messages(DEPLOYS);
    let alarm = said.iter().flat_map(|message| &message.replies).find(|reply| reply.reads().contains("split"));
    assert!(alarm.is_none(), "jobs that end one by one are no alarm: {alarm:#?}");
    browser.picture("6-live").await;
    browser.close().await;
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_notices_button_asks_back() {
    let town = Town::open().await;
    let run = town.merge("ana-gh", "Fix RPC");
    town.on_staging(run);
    town.settled().await;
    let browser = Browser::open(&format!("http://{}", town.sandbox.page)).await;
    browser.become_person("UBEN").await;
    browser.press("Approve production…").await;
    let asked = browser.reads("[data-testid=\"confirm\"]", "Production").await;
    browser.picture("7-confirm").await;
    assert!(asked.contains("1 change"), "{asked}");
    browser.click("confirm-cancel").await;
    town.settled().await;
    assert!(town.reviews().is_empty(), "cancelled");
    browser.press("Approve production…").await;
    browser.click("confirm-ok").await;
    browser.reads(PRIVATE, "Approved: run 812 goes to").await;
    assert_eq!(town.reviews().len(), 1);
    browser.reads(MESSAGE, "Going to production").await;

    browser.press("Hold…").await;
    browser.reads("[data-testid=\"modal\"]", "Hold").await;
    browser.picture("8-form").await;
    browser.fill_form("Search is broken").await;
    browser.click("modal-submit").await;
    browser.reads(MESSAGE, "h is on hold").await;
    browser.send("/deploy").await;
    browser.reads(PRIVATE, "on hold").await;
    browser.fill("composer", "/deploy ").await;
    browser.reads("#hints", "/deploy approve h").await;
    browser.picture("9-offers").await;
    browser.fill("composer", "/deploy help").await;
    browser.click("send").await;
    browser.reads(PRIVATE, "/deploy approve").await;
    browser.picture("10-help").await;
    browser.close().await;
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reminder_is_answered_in_the_direct_messages() {
    let town = remind::town().await;
    town.travel(Weekday::Wednesday, 8).await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    let browser = Browser::open(&format!("http://{}", town.sandbox.page)).await;
    town.travel(Weekday::Wednesday, 13).await;
    browser.reads("#dms .badge", "1").await;
    browser.click("channel-UANA").await;
    browser.reads("#topic", "in Europe/Berlin").await;
    browser.reads(MESSAGE, "1 change of yours is not in production yet").await;
    browser.picture("11-reminder").await;
    browser.press("Not ready…").await;
    browser.reads("[data-testid=\"modal\"]", "Not ready").await;
    browser.picture("12-not-ready").await;
    browser.fill_form("Legal has to agree").await;
    browser.click("modal-submit").await;
    browser.reads(MESSAGE, "Noted: #4498 is not ready").await;
    browser.press("Tested, approve…").await;
    browser.reads(PRIVATE, "goes to Production").await;
    browser.picture("13-asked-in-a-direct-message").await;
    browser.press("Approve 3 environments").await;
    browser.reads(PRIVATE, "Approved: run 812 goes to").await;
    assert_eq!(town.reviews().len(), 1);
    town.ship(run);
    browser.click("channel-deploys").await;
    browser.reads(MESSAGE, "is live on Production").await;
    browser.close().await;
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redeploy_is_chosen_in_its_form() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    let browser = Browser::open(&format!("http://{}", town.sandbox.page)).await;
    browser.become_person("UBEN").await;
    browser.send("/deploy redeploy h").await;
    let form = browser.reads("[data-testid=\"modal\"]", "This cancels run 812 · Fix RPC").await;
    browser.picture("14-redeploy").await;
    assert!(form.contains("Ready, Ok, 2 servers"), "{form}");
    browser.click("modal-submit").await;
    browser.reads("[data-testid=\"modal\"]", "Please tick at least one environment").await;
    assert!(town.says(812).contains("waiting for approval"), "nothing is started before something is chosen");
    browser
        .try_until("Production to be ticked", |client| async move {
            client.find(Locator::Css("#modal input[value=\"Production\"]")).await?.click().await
        })
        .await;
    browser.click("modal-submit").await;
    browser.reads(PRIVATE, "The redeploy of Production was started").await;
    browser.reads(MESSAGE, "replaced by redeploy 41").await;
    browser.reads(MESSAGE, "approved by @Ben").await;
    browser.click("job-ok-Production").await;
    browser.reads(MESSAGE, "Redeployed").await;
    browser.picture("15-redeployed").await;
    town.settled().await;
    let offer = town.message("h · redeploy 41").replies.pop().expect("an offer");
    assert!(offer.reads().contains("/deploy start h"), "{}", offer.reads());
    browser.close().await;
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_opened_merged_and_taken_back_on_the_page() {
    let town = Town::open().await;
    let browser = Browser::open(&format!("http://{}", town.sandbox.page)).await;
    browser.fill("merge-title", "Try it").await;
    browser.click("merge-open").await;
    browser.reads("#panel-pulls", "#4498 Try it").await;
    browser.click("pull-merge-4498").await;
    browser.reads(MESSAGE, "h · run 812 · Try it").await;
    browser.send("/deploy revert h 4498").await;
    browser.reads(PRIVATE, "Take back").await;
    browser.press("Open the revert").await;
    browser.reads("#panel-pulls", "#4499 Revert \"Try it\"").await;
    browser.reads(PRIVATE, "is open and reverts #4498").await;
    browser.picture("16-revert").await;
    browser.send("/deploy rollback h").await;
    browser.reads(PRIVATE, "There is no rollback").await;
    browser.close().await;
    town.close().await;
}
