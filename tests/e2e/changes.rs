//! Changes: which ones a run ships, whose they are, and that no text from outside does any harm.

use insta::assert_snapshot;
use lockkeeper::deploy::pipeline::Environment;
use lockkeeper::sandbox::world::{Act, MergeKind, Outcome};

use crate::town::{H, SETTINGS, Town};

/// A merge with everything that a plain one has not.
fn merge(author: &str, by: &str, title: &str, kind: MergeKind, commits: u32) -> Act {
    let (repo, author, by, title) = (H.to_owned(), author.to_owned(), Some(by.to_owned()), title.to_owned());
    Act::Merge { repo, author, by, title, kind, commits, docs: false, body: None }
}

fn docs(author: &str, title: &str) -> Act {
    let (repo, author, title) = (H.to_owned(), author.to_owned(), title.to_owned());
    Act::Merge { repo, author, by: None, title, kind: MergeKind::Squash, commits: 1, docs: true, body: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_merging_is_one_change_with_its_person() {
    let town = Town::open().await;
    town.act(merge("ana-gh", "ana-gh", "Five in a row", MergeKind::Rebase, 5));
    town.act(merge("ben-gh", "chi-gh", "Three and a merge", MergeKind::Merge, 3));
    town.act(merge("dependabot[bot]", "dora-gh", "Bump zope", MergeKind::Squash, 1));
    let run = town.act(Act::Push { repo: H.into(), by: "chi-gh".into(), title: "Hotfix".into() });
    town.on_staging(run);
    town.settled().await;
    assert_snapshot!(town.says(815), @"
    h · run 815 · Hotfix
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ⏸️ Production, Production (WebSocket), Production (Canada): waiting for approval
    Ships 4 changes:
    ⬜ #4498 Five in a row · <@UANA>, merged (time)
    ⬜ #4499 Three and a merge · <@UBEN> (merged by <@UCHI>), merged (time)
    ⬜ #4500 Bump zope · <@UDORA> (merged dependabot[bot]’s), merged (time)
    ⬜ bace519 Hotfix · <@UCHI>, pushed without a pull request, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    assert_snapshot!(town.thread(815).last().expect("a question"), @"
    <@UANA> <@UBEN> <@UDORA> <@UCHI> run 815 is on Staging and Staging (WebSocket).
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    ");
    town.command("UDORA", "tested h").await;
    assert_snapshot!(town.told("UDORA"), @"Thank you: #4500 ticked as tested on run 815. The notice shows it.");
    town.command("UCHI", "tested h").await;
    assert_snapshot!(town.told("UCHI"), @"Thank you: #4499, bace519 ticked as tested on run 815. The notice shows it.");
    town.command("UBEN", "where 4499").await;
    assert_snapshot!(town.told("UBEN"), @"
    #4499 Three and a merge
    Merged a moment ago by chi-gh
    Run 813: replaced by run 815
    Run 814: replaced by run 815
    Run 815: waiting for approval
    ✅ on Staging since (time)
    ✅ on Staging (WebSocket) since (time)
    ⬜ not on Production
    ⬜ not on Production (WebSocket)
    ⬜ not on Production (Canada)
    ");
    town.approve("UBEN").await;
    town.ship(run);
    town.settled().await;
    town.command("UBEN", "where https://github.com/hypothesis/h/pull/4498/files").await;
    assert_snapshot!(town.told("UBEN"), @"
    #4498 Five in a row
    Merged a moment ago by ana-gh
    Run 812: replaced by run 815
    Run 813: replaced by run 815
    Run 814: replaced by run 815
    Run 815: done
    ✅ on Staging since (time)
    ✅ on Staging (WebSocket) since (time)
    ✅ on Production since (time)
    ✅ on Production (WebSocket) since (time)
    ✅ on Production (Canada) since (time)
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_of_ignored_paths_rides_along() {
    let town = Town::open().await;
    town.act(docs("ana-gh", "Explain the API"));
    town.settled().await;
    town.command("UBEN", "pending h").await;
    assert_snapshot!(town.told("UBEN"), @"
    h · 1 change not in production
    #4498 Explain the API · <@UANA> · merged a moment ago · its run is about to start
    Ping their authors
    ");
    town.pass(4).await;
    town.command("UBEN", "pending h").await;
    assert_snapshot!(town.told("UBEN"), @"
    h · 1 change not in production
    #4498 Explain the API · <@UANA> · merged 4 min ago · no run of its own (only ignored files): rides along with the next deploy
    ");
    town.command("UBEN", "ping h").await;
    assert_snapshot!(town.told("UBEN"), @"There is nobody to ping in h: what is merged is in production, or rides along with the next deploy.");
    town.command("UANA", "").await;
    assert_snapshot!(town.told("UANA"), @"
    h
    #4498 Explain the API · <@UANA> · merged 4 min ago · no run of its own (only ignored files): rides along with the next deploy
    ");
    town.waiting("ben-gh", "Fix RPC").await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ⏸️ Production, Production (WebSocket), Production (Canada): waiting for approval
    Ships 2 changes:
    ⬜ #4498 Explain the API · <@UANA>, rides along: only ignored files
    ⬜ #4499 Fix RPC · <@UBEN>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    assert_snapshot!(town.thread(812).join("\n"), @"
    <@UBEN> run 812 is on Staging and Staging (WebSocket).
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    ");
    assert_eq!(town.mentions(), ["UBEN"], "who changed only documentation is not asked to test");
    town.command("UCHI", "ping h").await;
    assert_eq!(town.mentions(), ["UBEN", "UBEN"]);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_title_from_hell_is_only_a_title() {
    let evil = "<!channel> <!here> <@UBEN> <https://evil.example|x> *bold* _it_ ~no~ `code` ```pre``` @channel \
                &lt;!everyone&gt; [a](https://evil.example) \u{202e}gnihtemos\u{202c} \u{200b}\u{2066}";
    let title = format!("{evil} {}", "long ".repeat(800));
    let town = Town::open().await;
    let run = town.act(Act::merge(H, "ana-gh", &title));
    town.on_staging(run);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · <!channel> <!here> <@UBEN> <https://evil.example|x> *bold* _it_ ~no~ `code` ```pre``` @channel &lt;!everyone&gt; [a](ht…
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ⏸️ Production, Production (WebSocket), Production (Canada): waiting for approval
    Ships 1 change:
    ⬜ #4498 <!channel> <!here> <@UBEN> <https://evil.example|x> *bold* _it_ ~no~ `code` ```pre``` @channel &lt;… · <@UANA>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    assert_eq!(town.mentions(), ["UANA"], "only who has to test");
    town.command("UBEN", "approve h").await;
    assert_snapshot!(town.told("UBEN"), @"
    h 14c7efe goes to Production, Production (WebSocket) and Production (Canada). It ships 1 change of 1 person. Not ticked as tested: #4498.
    ⬜ #4498 <!channel> <!here> <@UBEN> <https://evil.example|x> *bold* _it_ ~no~ `code` ```pre``` @channel &lt;… · <@UANA>, merged (time)
    Approve 3 environments
    Not now
    ");
    for typed in ["status h", "pending h", "where 4498", "", "ping h"] {
        town.command("UANA", typed).await;
        assert!(!town.told("UANA").contains('\u{202e}'), "{typed}");
    }
    town.command("UANA", "where 4498").await;
    assert_snapshot!(town.told("UANA"), @"
    #4498 <!channel> <!here> <@UBEN> <https://evil.example|x> *bold* _it_ ~no~ `code` ```pre``` @channel &lt;!everyone&gt; [a](ht…
    Merged a moment ago by ana-gh
    Run 812: waiting for approval
    ✅ on Staging since (time)
    ✅ on Staging (WebSocket) since (time)
    ⬜ not on Production
    ⬜ not on Production (WebSocket)
    ⬜ not on Production (Canada)
    ");
    town.click("UANA", &town.notice(812).at(), "What changes?").await;
    assert_snapshot!(town.told("UANA"), @"
    Run 812 ships 1 change:
    ⬜ #4498 <!channel> <!here> <@UBEN> <https://evil.example|x> *bold* _it_ ~no~ `code` ```pre``` @channel &lt;… · <@UANA>, merged (time)
    ");
    assert_eq!(town.mentions(), ["UANA", "UANA"], "who pings herself");
    let text = town.notice(812).text;
    assert_snapshot!(text.split(": ⏳").next().expect("a title"), @"h · run 812 · &lt;!channel&gt; &lt;!here&gt; &lt;@UBEN&gt; &lt;https://evil.example|x&gt; *bold* _it_ ~no~ `code` ```pre``` @channel &amp;lt;!everyone&amp;gt; [a](ht…");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_changes_are_cut_and_all_to_be_had() {
    let town = Town::open().await;
    for n in 0..59 {
        town.act(docs("ana-gh", &format!("Change {n}")));
    }
    town.merged("ben-gh", "The sixtieth").await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · The sixtieth
    🕓 Waiting to start
    ▫️ Staging, Staging (WebSocket): not yet
    ▫️ Production, Production (WebSocket), Production (Canada): not yet
    Ships 60 changes:
    ⬜ #4498 Change 0 · <@UANA>, merged (time)
    ⬜ #4499 Change 1 · <@UANA>, merged (time)
    ⬜ #4500 Change 2 · <@UANA>, merged (time)
    ⬜ #4501 Change 3 · <@UANA>, merged (time)
    ⬜ #4502 Change 4 · <@UANA>, merged (time)
    ⬜ #4503 Change 5 · <@UANA>, merged (time)
    ⬜ #4504 Change 6 · <@UANA>, merged (time)
    ⬜ #4505 Change 7 · <@UANA>, merged (time)
    and 52 more
    What changes?
    Hold…
    ");
    town.click("UBEN", &town.notice(812).at(), "What changes?").await;
    all_sixty(&town.told("UBEN"), 28);
    town.command("UBEN", "pending h").await;
    all_sixty(&town.told("UBEN"), 25);
    town.close().await;
}

/// What does not fit into a message is counted, not lost.
fn all_sixty(told: &str, at_least: usize) {
    let shown = told.lines().filter(|line| line.contains(" Change ") || line.contains(" The sixtieth ")).count();
    let more = told.lines().find_map(|line| line.strip_prefix("and ")?.strip_suffix(" more")?.parse().ok());
    assert_eq!(shown + more.unwrap_or(0), 60, "{told}");
    assert!(shown >= at_least, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_from_another_branch_is_said_loudly() {
    let town = Town::open().await;
    let run = town.dispatch("deploy.yml", "ana-gh", "try-it", &[]);
    town.on_staging(run);
    town.settled().await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Deploy · ⚠️ from branch try-it
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ⏸️ Production, Production (WebSocket), Production (Canada): waiting for approval
    ⚠️ Production runs commits that are not in this: approving it takes them away.
    Ships 1 change:
    ⬜ 086886b Try something on try-it · <@UANA>, pushed without a pull request, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    assert_snapshot!(town.thread(812).join("\n"), @"
    <@UANA> run 812 is on Staging and Staging (WebSocket).
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    ");
    town.command("UBEN", "approve h").await;
    assert_snapshot!(town.told("UBEN"), @"
    h 086886b goes to Production, Production (WebSocket) and Production (Canada). ⚠️ It is from branch try-it, not main. ⚠️ It takes away commits that Production runs. It ships 1 change of 1 person. Not ticked as tested: 086886b.
    ⬜ 086886b Try something on try-it · <@UANA>, pushed without a pull request, merged (time)
    Approve 3 environments
    Not now
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered() {
    let town = Town::open().await;
    town.command("UANA", "").await;
    assert_snapshot!(town.told("UANA"), @"Nothing waits for you: no change of yours, no approval, no hold.");
    town.command("UANA", "pending").await;
    assert_snapshot!(town.told("UANA"), @"Everything that is merged is in production.");
    town.merged("ana-gh", "Fix RPC").await;
    town.waiting("ben-gh", "Bump zope-interface").await;
    for (typed, said) in [("", mine as fn(&Town)), ("status", status), ("pending", pending), ("whoami", whoami)] {
        town.command("UANA", typed).await;
        said(&town);
    }
    town.command("UANA", "help").await;
    assert_snapshot!(town.told("UANA"), @"
    How to use /deploy
    /deploy what concerns you: your changes, approvals you may give, apps on hold
    /deploy status [app] what runs in each environment, the current run, holds
    /deploy health [app] Elastic Beanstalk’s view: health and causes, servers by version, last events
    /deploy pending [app] what is merged and not in production, with people
    /deploy ping <app> mentions the authors of undeployed changes
    /deploy approve <app> [environment…] approves the waiting production environments
    /deploy reject <app> <reason> rejects the waiting production environments
    /deploy tested <app> [pr…] ticks your changes as tested
    /deploy redeploy <app> [environment…] deploys anew what environments run already; a form asks which
    /deploy start <app> starts Deploy for the newest commit
    /deploy revert <app> <pr> opens the pull request that takes a change back, to roll forward
    /deploy retry <app> runs the failed jobs of the newest run again
    /deploy cancel <app> cancels the run that goes on
    /deploy where <pr or link> follows a change to production
    /deploy hold <app> <reason> locks the app: nothing is approved until it is released
    /deploy release <app> ends the hold
    /deploy env <app> [KEY] variables that are missing or differ, never a value; env check <pr>: what a pull request requires
    /deploy history <app> who approved, rejected or held what, and when
    /deploy whoami who you are to me, and what you may do
    /deploy help [command] this, or more about one command
    Environments are typed as they are shown, pull requests as 4501, #4501 or a link.
    Reminders come as direct messages; their buttons say that a change is tested or not ready, or snooze them.
    ");
    town.command("UANA", "help aprove").await;
    assert_snapshot!(town.told("UANA"), @"There is no aprove. Did you mean /deploy approve?");
    town.command("UANA", "statsu h").await;
    assert_snapshot!(town.told("UANA"), @"There is no statsu. Did you mean /deploy status?");
    town.command("UANA", "link h").await;
    assert_snapshot!(town.told("UANA"), @"/deploy link is not there yet. /deploy help shows what is.");
    town.command("UANA", "status hh").await;
    assert_snapshot!(town.told("UANA"), @"There is no app “hh” here. Did you mean h?");
    town.command("UANA", "where 1").await;
    assert_snapshot!(town.told("UANA"), @"#1 is in none of the runs that are remembered: either it is not merged, or it went out long ago. See hypothesis/h#1.");
    assert_eq!(town.mentions().len(), 4, "questions make no sound");
    town.close().await;
}

fn mine(town: &Town) {
    assert_snapshot!(town.told("UANA"), @"
    h
    #4498 Fix RPC · <@UANA> · merged a moment ago · run 813: waiting for approval
    Run 813 waits for approval: /deploy approve h
    ");
}

fn status(town: &Town) {
    assert_snapshot!(town.told("UANA"), @"h · Production now: Production, Production (WebSocket) and Production (Canada) run 62f5268 · Run 813 · Bump zope-interface: waiting for approval");
}

fn pending(town: &Town) {
    assert_snapshot!(town.told("UANA"), @"
    h · 2 changes not in production
    #4498 Fix RPC · <@UANA> · merged a moment ago · run 813: waiting for approval
    #4499 Bump zope-interface · <@UBEN> · merged a moment ago · run 813: waiting for approval
    Ping their authors
    ");
}

fn whoami(town: &Town) {
    assert_snapshot!(town.told("UANA"), @"
    You are <@UANA>.
    h: ana-gh at GitHub, you may approve
    ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authors_are_pinged_once() {
    let town = Town::open().await;
    town.merged("ana-gh", "Fix RPC").await;
    let before = town.mentions().len();
    town.command("UCHI", "pending h").await;
    let asked = town.answer("UCHI").at();
    town.click("UCHI", &asked, "Ping their authors").await;
    assert_snapshot!(town.thread(812).join("\n"), @"
    <@UANA> this change of yours is not in production yet; chi-gh asks what it waits for.
    #4498 Fix RPC
    ");
    assert_eq!(town.rang_since(before), ["UANA"]);
    town.command("UCHI", "ping h").await;
    assert_snapshot!(town.told("UCHI"), @"They were all pinged about this before; once is enough.");
    assert_eq!(town.rang_since(before).len(), 1);
    // Another change is news, the old one is not.
    town.merged("dora-gh", "Bump zope-interface").await;
    let before = town.mentions().len();
    town.command("UBEN", "ping h").await;
    assert_snapshot!(town.thread(813).last().expect("a ping"), @"
    <@UDORA> this change of yours is not in production yet; ben-gh asks what it waits for.
    #4499 Bump zope-interface
    ");
    assert_eq!(town.rang_since(before), ["UDORA"]);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pipeline_is_read_from_one_line() {
    let apps = ["h", "lms", "via", "report", "client"].map(|name| format!("{name} = \"hypothesis/{name}\"")).join("\n");
    let town = Town::with(&SETTINGS.replace("h = \"hypothesis/h\"", &apps)).await;
    let read: Vec<String> = ["h", "lms", "via", "report", "client"].iter().map(|app| pipeline(&town, app)).collect();
    assert_snapshot!(read.join("\n"), @r#"
    hypothesis/h · Some("deploy") · Some("redeploy.yml")
      Staging · Test · h-staging in us-west-1 · after [] · Some(false)
      Staging (WebSocket) · Test · h-websocket-staging in us-west-1 · after [] · Some(false)
      Production · Production · h-prod in us-west-1 · after ["Staging", "Staging (WebSocket)"] · Some(true)
      Production (WebSocket) · Production · h-websocket-prod in us-west-1 · after ["Staging", "Staging (WebSocket)"] · Some(true)
      Production (Canada) · Production · h-prod in ca-central-1 · after ["Staging", "Staging (WebSocket)"] · Some(true)
    hypothesis/lms · Some("deploy") · Some("redeploy.yml")
      Staging · Test · lms-staging in us-west-1 · after [] · Some(false)
      Production · Production · lms-prod in us-west-1 · after ["Staging"] · Some(true)
      Production (Canada) · Production · lms-prod in ca-central-1 · after ["Staging"] · Some(true)
    hypothesis/via · Some("deploy") · Some("redeploy.yml")
      Staging · Test · via-staging in us-west-1 · after [] · Some(false)
      Staging (Edu) · Test · edu-via-staging in us-west-1 · after [] · Some(false)
      Production · Production · via-prod in us-west-1 · after ["Staging"] · Some(true)
      Production (Edu) · Production · lms-via-prod in us-west-1 · after ["Staging (Edu)"] · Some(true)
    hypothesis/report · Some("deploy") · Some("redeploy.yml")
      QA · Test · report-qa in us-west-1 · after [] · Some(false)
      Production · Production · report-prod in us-west-1 · after ["QA"] · Some(true)
    hypothesis/client · Some("client-deploy") · None
      qa · Test · elsewhere in no region · after [] · Some(false)
      production · Production · elsewhere in no region · after ["qa"] · Some(true)
    "#);
    town.command("UANA", "status").await;
    assert_snapshot!(town.told("UANA"), @"
    client · Production now: production runs fdb11b6 · Run 956 · Fix the error page's links: done
    h · Production now: Production, Production (WebSocket) and Production (Canada) run 62f5268 · Run 811 · Fix the error page's links: done
    lms · Production now: Production and Production (Canada) run d17e712 · Run 1434 · Fix the error page's links: done
    report · Production now: Production runs 5d2c426 · Run 181 · Fix the error page's links: done
    via · Production now: Production and Production (Edu) run 267a8f4 · Run 403 · Fix the error page's links: done
    ");
    let run = town.act_at("hypothesis/client", Act::merge("hypothesis/client", "ana-gh", "Highlight faster"));
    town.finish_at("hypothesis/client", run, &["Build package", "Release to staging"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.reads("client · run"), @"
    client · run 957 · Highlight faster
    ⏳ On qa since (time), waiting for approval
    ✅ qa: done (time)
    ⏸️ production: waiting for approval
    Ships 1 change:
    ⬜ #7016 Highlight faster · <@UANA>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    town.close().await;
}

/// What was read of an app's workflow files.
fn pipeline(town: &Town, app: &str) -> String {
    let app = town.shell().desk(&app.into()).expect("an app").app();
    let read = app.pipeline().expect("a pipeline");
    let environment = |e: &Environment| {
        let needs: Vec<&str> = e.needs.iter().map(|name| name.as_str()).collect();
        let servers = e.beanstalk.as_ref().map_or("elsewhere", |b| &b.environment);
        let region = e.region.as_deref().unwrap_or("no region");
        format!("  {} · {:?} · {servers} in {region} · after {needs:?} · {:?}", e.name, e.kind, e.gated)
    };
    let environments: Vec<String> = read.environments.iter().map(environment).collect();
    let redeploy = read.redeploy.as_ref().map(|redeploy| redeploy.file.as_str());
    format!("{} · {:?} · {redeploy:?}\n{}", read.repo, read.group, environments.join("\n"))
}
