//! What people do besides approving: forms, redeploys, reverts.

use lockkeeper::sandbox::slack::{Input, Values, View};
use lockkeeper::sandbox::world::Act;
use serde_json::Value;

use super::plan::{DEVELOPERS, Wish};
use super::stage::{A_MOMENT, Did, Stage};

impl Stage<'_> {
    pub(super) async fn chore(&mut self, who: &[&'static str], app: usize, wish: &Wish) {
        let site = self.plan.sites[app];
        for person in who {
            // A form that somebody forgot is not the one that they wait for.
            for view in self.sandbox.workspace.views(person) {
                let _ = self.sandbox.workspace.close_view(person, &view.id).await;
            }
            match wish {
                Wish::Hold => {
                    let head = format!("{} · ", site.app);
                    let mut shown = self.buttons(person).into_iter().rev();
                    let Some(seen) = shown.find(|seen| seen.label == "Hold…" && seen.text.starts_with(&head)) else {
                        continue;
                    };
                    self.click(person, seen);
                    self.fill(person, |n| {
                        let reason = [("entry".to_owned(), Input::Text(format!("why-{n}")))].into();
                        let values = Values::from([("reason".to_owned(), reason)]);
                        (Did::Sent(format!("hold {} why-{n}", site.app), Vec::new()), values)
                    })
                    .await;
                }
                Wish::Redeploy { form: true, tests } => {
                    self.type_in(person, app, "redeploy {app}");
                    let view = self.form(person).await;
                    let (chosen, values) = view.map(|view| ticked(&view, site, *tests)).unwrap_or_default();
                    self.fill(person, |_| (Did::Sent(format!("redeploy {}", site.app), chosen), values)).await;
                }
                Wish::Redeploy { form: false, .. } => {
                    let name = site.production.last().expect("a production environment");
                    self.type_in(person, app, &format!("redeploy {{app}} {name}"));
                    self.answer_questions(&[*person]).await;
                }
                Wish::Revert => {
                    let repo = self.repo(site.repo);
                    let newest = repo["pulls"].as_array().into_iter().flatten().find(|pull| pull["open"] == false);
                    if let Some(pull) = newest {
                        self.type_in(person, app, &format!("revert {{app}} {}", pull["number"]));
                        self.answer_questions(&[*person]).await;
                    }
                }
                Wish::Type(_) | Wish::Notice(_) | Wish::Confirm | Wish::Old(_) | Wish::Through | Wish::Double(_) => {}
            }
        }
    }

    /// The form that somebody has open, once it shows what there is to fill in.
    async fn form(&mut self, who: &'static str) -> Option<View> {
        let open = |stage: &Stage| {
            let view = stage.sandbox.workspace.views(who).pop()?;
            view.blocks().iter().any(|block| block["type"] == "input").then_some(view)
        };
        self.wait(A_MOMENT, |stage| open(stage).is_some()).await;
        open(self)
    }

    /// Fills in the form that somebody has open and sends it; a number that occurs once is at hand.
    async fn fill(&mut self, who: &'static str, with: impl FnOnce(usize) -> (Did, Values)) {
        let Some(view) = self.form(who).await else { return };
        let n = self.asks.lock().expect("no panic").len();
        let (did, values) = with(n);
        let (index, before) = (self.begin(who, did), self.people.len());
        let (workspace, asks) = (self.sandbox.workspace.clone(), self.asks.clone());
        self.people.spawn(async move {
            let sent = workspace.submit(who, &view.id, values).await;
            let result = sent.and_then(|remarks| match remarks {
                None => Ok(()),
                Some(remarks) => Err(remarks.into_values().collect::<Vec<_>>().join(" ")),
            });
            asks.lock().expect("no panic")[index].result = Some(result);
        });
        self.wait(A_MOMENT / 5, |stage| stage.people.len() <= before).await;
    }

    pub(super) fn merge_revert(&mut self, site: usize, by: usize) {
        let repo = self.repo(self.plan.sites[site].repo);
        let open = repo["pulls"].as_array().into_iter().flatten().find(|pull| pull["open"] == true);
        let Some((number, title)) = open.and_then(|pull| Some((pull["number"].as_u64()?, pull["title"].as_str()?)))
        else {
            return;
        };
        let (repo, by_login) = (self.plan.sites[site].repo.to_owned(), DEVELOPERS[by].1.to_owned());
        if self.act(Act::MergePull { repo, number, by: by_login, kind: Default::default(), docs: false }) {
            self.merged(site, title.to_owned(), by);
        }
    }
}

/// A production environment, and the test environments if wanted: their names, and the form with their ticks.
fn ticked(view: &View, site: &super::plan::Site, tests: bool) -> (Vec<String>, Values) {
    let (mut chosen, mut values) = (Vec::new(), Values::new());
    let wanted =
        |name: &str| site.production.last().is_some_and(|last| *last == name) || tests && site.tests.contains(&name);
    for block in view.blocks().iter().filter(|block| block["type"] == "input") {
        let options = block["element"]["options"].as_array().into_iter().flatten();
        let names = options.filter_map(|option| option["value"].as_str()).filter(|name| wanted(name));
        let names: Vec<String> = names.map(str::to_owned).collect();
        let id = |value: &Value| value.as_str().expect("an id").to_owned();
        if !names.is_empty() {
            let entry = [(id(&block["element"]["action_id"]), Input::Choices(names.clone()))].into();
            values.insert(id(&block["block_id"]), entry);
            chosen.extend(names);
        }
    }
    (chosen, values)
}
