// The right-hand panel: merges, jobs, environments, time and trouble. Every button is an act upon the world.
import { keep } from "/messages.js";
import { clock, day, h } from "/markup.js";

const TITLES = [
  "Fix the search box on small screens", "Bump zope-interface to 7.1", "Speed up annotation loading", "Add an index on annotation.updated",
  "Show the group name in e-mails", "Remove the old login page", "Retry failed web hooks", "Translate the sign-up form",
];
let suggestion = 0;
let repo = sessionStorage.getItem("repo");
let author = null;

const $ = (id) => document.getElementById(id);
const short = (version) => version ? version.replace(/^\d{8}-g?/, "") : "nothing";
const running = (run) => run.status !== "completed";
const waits = (run) => running(run) && (run.waiting ?? []).length > 0;

function current(world) {
  return world.repos?.find((one) => one.repo === repo) ?? world.repos?.[0];
}

/** One line that says what to do next. */
export function hint(world, slack) {
  const one = current(world);
  if (!slack.sockets) return "Lockkeeper is not connected. It comes back by itself; until then commands fail, as they would in Slack.";
  const active = one?.runs.filter(running) ?? [];
  const app = one?.repo.split("/").pop() ?? "h";
  const first = "Merge a pull request on the right, then watch #deploys.";
  if (!one || !one.runs.length) return first;
  if (active.some((run) => waits(run) && !run.jobs.some(actionable))) {
    return `A run waits for approval: press the button in #deploys, or type /deploy approve ${app}. Or merge again and see what happens.`;
  }
  if (active.length && !world.auto) return "A run is on its way: decide on the right how its jobs end, or let jobs run by themselves.";
  if (active.length) return "The jobs are running by themselves. Watch the message in #deploys change.";
  if (one.undeployed) return `Some changes are not in production. Type /deploy pending ${app} to see whose.`;
  return `${first} Or ask: type /deploy status ${app}.`;
}

const actionable = (job) => ["in_progress", "queued"].includes(job.status);

/** Draws the panel; `on` has name (of the person on the left), world(act) and slack(act). */
export function drawWorld(world, slack, on) {
  const one = current(world);
  if (!one) return;
  repo = one.repo;
  const now = new Date(world.now);
  $("now").textContent = `${day(now)}, ${clock(now)}`;
  if (!$("panel-merge")) frame(world, on);
  author ??= world.people.find((person) => person.name === on.name)?.login;
  follow(world, on);
  keep($("panel-repo"), [{ all: world.repos.map((each) => each.repo), repo }], () => "repo", ({ all }) => repos(all, world, slack, on));
  keep($("merge-author"), world.people.map(({ login, name, bot }) => ({ login, name, bot })), (person) => person.login,
    (person) => h("option", { value: person.login, selected: person.login === author }, person.bot ? `${person.login} (a bot)` : person.name));
  if ($("auto").checked !== world.auto) $("auto").checked = world.auto;
  drawRuns(one, world, on);
  drawPulls(one, on);
  drawVariables(one);
  keep($("panel-environments"), [{ list: one.environments, undeployed: one.undeployed, repo: one.repo }], () => one.repo, (all) => environments(all, on));
  keep($("panel-faults"), world.faults ?? [], (fault) => fault.kind, (fault) => h("li", {}, `${WORDS[fault.kind] ?? fault.kind}, ${fault.left} more`));
  keep($("panel-aws-faults"), (world.aws_faults ?? []).map((fault, i) => ({ ...fault, i })), ({ i }) => i,
    (fault) => h("li", {}, `Elastic Beanstalk, ${fault.region ?? "all regions"}: ${fault.kind.replace(/_/g, " ")}`));
  keep($("panel-complaints"), slack.complaints.map((text, i) => ({ text, i })), ({ i }) => i, ({ text }) => h("li", {}, text));
  $("complaints").hidden = !slack.complaints.length;
}

/** When the person on the left changes, the merge form follows, until somebody chose another author. */
function follow(world, on) {
  const form = $("panel-merge");
  if (form.dataset.follows === on.name) return;
  form.dataset.follows = on.name;
  author = world.people.find((person) => person.name === on.name)?.login ?? author;
  $("merge-author").value = author;
}

function repos(all, world, slack, on) {
  const choose = (name) => () => { repo = name; sessionStorage.setItem("repo", name); drawWorld(world, slack, on); };
  return h("div.tabs", { role: "group", "aria-label": "Repository" }, all.map((name) =>
    h("button.tab", { type: "button", "aria-pressed": String(name === repo), onclick: choose(name), title: name }, name.split("/").pop())));
}

const WORDS = {
  error_500: "GitHub answers 500", error_502_after: "GitHub does it, then answers 502", rate_limited: "GitHub's rate limit",
  hang: "GitHub does not answer", hang_after: "GitHub does it, then does not answer", secondary: "GitHub's secondary rate limit",
  stale: "GitHub shows old data",
};

const card = (title, ...children) => h("section.card", {}, h("h2", {}, title), ...children);
const small = (label, onclick, attributes = {}) => h("button.button.small", { type: "button", onclick, ...attributes }, label);

/** What never changes is drawn once, so that nothing typed is ever lost. */
function frame(world, on) {
  const pass = (label, seconds) => small(label, () => on.world({ do: "pass", seconds }), { "data-testid": `pass-${seconds}` });
  const fault = (label, kind, times) => small(label, () => on.world({ do: "fault", kind, times }), { "data-testid": `fault-${kind}` });
  const aws = (label, kind, region) => small(label, () => on.world({ do: "aws_fault", kind, region }), { "data-testid": `aws-${kind}` });
  const auto = h("input", { type: "checkbox", id: "auto", "data-testid": "auto", onchange: (event) => on.world({ do: "auto", on: event.target.checked }) });
  $("world").replaceChildren(
    h("div", { id: "panel-repo" }),
    card("Merge a pull request", mergeForm(on)),
    h("section.card", {}, h("h2", {}, "Runs", h("label.switch", {}, auto, h("span", {}, "Jobs run by themselves"))), h("div", { id: "panel-runs" })),
    card("Pull requests", h("div", { id: "panel-pulls" })),
    card("Environments", h("div", { id: "panel-environments" })),
    card("Variables on the AWS console", variableForm(on), h("ul.plain-list.note", { id: "panel-variables" })),
    card("Time", h("div.row", {}, pass("+1 min", 60), pass("+1 h", 3600), pass("+1 day", 86400))),
    card("Trouble",
      h("div.row", {},
        small("Slack disconnects", () => on.slack({ do: "disconnect", reason: "refresh_requested" }), { "data-testid": "fault-disconnect" }),
        small("Slack drops the line", () => on.slack({ do: "fault", fault: { kind: "drop_tcp" } })),
        fault("GitHub answers 500", "error_500", 5),
        small("GitHub does the next write, then answers 502", () => on.world({ do: "fault", kind: "error_502_after", times: 1, only: "POST /repos" }), { "data-testid": "fault-write-502" }),
        small("GitHub fails the next write", () => on.world({ do: "fault", kind: "error_500", times: 1, only: "POST /repos" })), fault("GitHub's rate limit", "rate_limited", 3),
        fault("GitHub is stale", "stale", 5), fault("GitHub does it, then answers 502", "error_502_after", 1),
        small("Clear", () => { on.world({ do: "clear_faults" }); on.slack({ do: "clear_faults" }); }, { "data-testid": "fault-clear" })),
      h("div.row", {}, aws("AWS throttles", "throttled"), aws("AWS denies Canada", "access_denied", "ca-central-1"),
        aws("AWS login expired", "expired_token")),
      h("ul.plain-list", { id: "panel-faults" }), h("ul.plain-list", { id: "panel-aws-faults" })),
    h("section.card.bad", { id: "complaints", hidden: true }, h("h2", {}, "What Slack complains about"), h("ul.plain-list", { id: "panel-complaints" })),
  );
}

function mergeForm(on) {
  const title = h("input", { id: "merge-title", "data-testid": "merge-title", type: "text", "aria-label": "Title", autocomplete: "off" });
  title.value = TITLES[0];
  const docs = h("input", { type: "checkbox", id: "merge-docs", "data-testid": "merge-docs" });
  const kind = h("select", { id: "merge-kind", "aria-label": "How to merge" }, ["squash", "merge", "rebase"].map((one) => h("option", { value: one }, one)));
  const choose = h("select", { id: "merge-author", "data-testid": "merge-author", "aria-label": "Author", onchange: (event) => (author = event.target.value) });
  const body = h("input", { id: "merge-body", "data-testid": "merge-body", type: "text", "aria-label": "Description", placeholder: "Description", autocomplete: "off" });
  const merge = (event) => {
    event.preventDefault();
    const about = { repo, author: choose.value, title: title.value.trim() || TITLES[suggestion], commits: 1, body: body.value.trim() || null };
    const act = event.submitter?.value === "open" ? { do: "propose", ...about } : { do: "merge", kind: kind.value, docs: docs.checked, ...about };
    body.value = "";
    suggestion = (suggestion + 1) % TITLES.length;
    title.value = TITLES[suggestion];
    on.world(act);
  };
  return h("form.merge", { id: "panel-merge", onsubmit: merge, autocomplete: "off" },
    title, body,
    h("div.row", {}, h("label", {}, h("span.note", {}, "by "), choose), kind,
      h("button.button.primary", { "data-testid": "merge-go", value: "merge" }, "Merge"),
      h("button.button", { "data-testid": "merge-open", value: "open", title: "Open it without merging" }, "Open")),
    h("label.tick.note", {}, docs, h("span", {}, "touches documentation only (no run)")));
}

/** Somebody sets variables by hand, on the console of the right region. */
function variableForm(on) {
  const input = (id, label) => h("input", { id, "data-testid": id, type: "text", "aria-label": label, placeholder: label, autocomplete: "off" });
  const [key, value] = [input("variable-key", "KEY"), input("variable-value", "Value")];
  const where = h("select", { id: "variable-where", "data-testid": "variable-where", "aria-label": "Environment" });
  const act = (rest) => on.world({ repo, environment: where.value, ...rest });
  const set = (event) => { event.preventDefault(); act({ do: "set_variable", key: key.value.trim(), value: value.value }); };
  return h("form.merge", { onsubmit: set, autocomplete: "off" }, where, key, value,
    h("div.row", {}, h("button.button", { "data-testid": "variable-set" }, "Set"),
      small("Remove", () => act({ do: "set_variable", key: key.value.trim() }), { "data-testid": "variable-remove" }),
      small("Next change fails", () => act({ do: "spoil_settings" }), { "data-testid": "variable-spoil" })));
}

/** The names of the variables of each environment; what one types stays. */
function drawVariables(one) {
  const on_aws = one.environments.filter((each) => each.eb);
  keep($("variable-where"), on_aws.map(({ name }) => ({ name, repo: one.repo })), ({ name }) => `${one.repo} ${name}`, ({ name }) => h("option", { value: name }, name));
  keep($("panel-variables"), on_aws.map(({ name, variables }) => ({ name, variables })), ({ name }) => `${one.repo} ${name}`,
    ({ name, variables }) => h("li", {}, `${name}: ${variables.join(", ") || "none"}`));
}

/** Open pull requests with their statuses, and the newest merged ones. */
function drawPulls(one, on) {
  const pulls = (one.pulls ?? []).map((pull) => ({ ...pull, repo: one.repo, by: author ?? "ben-gh" }));
  keep($("panel-pulls"), pulls, (pull) => pull.number, (pull) => drawPull(pull, on));
}

function drawPull(pull, on) {
  const act = (rest) => () => on.world({ repo: pull.repo, number: pull.number, ...rest });
  const title = h("div.run-title", { title: pull.body ?? pull.title }, `#${pull.number} ${pull.title}`);
  if (!pull.open) {
    return h("div.run.done", { "data-testid": `pull-${pull.number}` }, title, pull.entangled ? h("div.note", {}, "reverting it conflicts")
      : h("div.row", {}, small("Reverting it conflicts", act({ do: "entangle" }))));
  }
  const reviewers = pull.reviewers.length > 0 && `, review asked of ${pull.reviewers.join(", ")}`;
  const statuses = pull.statuses.map((one) => h("div.note", {}, `${one.state}: ${one.context}, ${one.description ?? ""}`));
  return h("div.run", { "data-testid": `pull-${pull.number}` }, title, h("div.note", {}, pull.author, reviewers), statuses, h("div.row", {},
    small("Merge it", act({ do: "merge_pull", by: pull.by }), { "data-testid": `pull-merge-${pull.number}` }),
    small("Push a commit", act({ do: "push_pull", by: pull.by })), small("Close it", act({ do: "close_pull", by: pull.by }))));
}

function drawRuns(one, world, on) {
  const active = one.runs.filter(running);
  const done = one.runs.filter((run) => !running(run));
  const latest = (runs) => [...runs].sort((a, b) => b.id - a.id);
  const shown = [...latest(active), ...latest(done).slice(0, 3)];
  if (!shown.length) shown.push({ none: true, id: 0 });
  const people = world.people.filter((person) => !person.bot);
  const by = people.find((person) => person.name === on.name)?.login ?? people[0]?.login;
  keep($("panel-runs"), shown.map((run) => ({ ...run, repo: one.repo, by })), (run) => `${one.repo} ${run.id}`, (run) => drawRun(run, on));
}

const MARKS = {
  success: "✓", failure: "✗", cancelled: "⊘", timed_out: "✗", skipped: "–", in_progress: "◔", queued: "○", waiting: "●", pending: "●", requested: "○",
};
const state = (thing) => thing.conclusion ?? thing.status;
const words = (thing) => state(thing).replace(/_/g, " ");
const mark = (thing) => h(`span.mark.${state(thing)}`, { "aria-hidden": "true" }, MARKS[state(thing)] ?? "○");

function drawRun(run, on) {
  if (run.none) return h("p.note", {}, "None yet. A merge starts one.");
  const attempt = run.attempt > 1 ? `, attempt ${run.attempt}` : "";
  const top = h("div.run-top", {}, mark(run), h("div.grow", {}, h("div.run-title", { title: run.title }, run.title),
    h("div.note", {}, `${run.workflow} ${run.number}${attempt}, ${words(run)}, ${run.sha.slice(0, 7)}, ${run.actor}`)));
  if (!running(run)) return h("div.run.done", { "data-testid": `run-${run.number}` }, top, run.conclusion === "failure" && h("div.row", {}, again(run, on)));
  const waiting = (run.waiting ?? []).length > 0 && h("p.approval", {}, `Waiting for approval: ${run.waiting.join(", ")}`);
  return h("div.run", { "data-testid": `run-${run.number}` }, top,
    h("ul.jobs", {}, run.jobs.map((job) => drawJob(run, job, on))), waiting,
    h("details.more", {}, h("summary", {}, "More"), h("div.row", {},
      small("Cancel on GitHub", () => on.world({ do: "cancel_run", repo: run.repo, run: run.id, by: run.by })),
      run.waiting?.length > 0 && [review("Approve on GitHub", "approve", run, on), review("Reject on GitHub", "reject", run, on)],
      again(run, on), run.jobs.filter(actionable).flatMap((job) => oddEnds(run, job, on)))));
}

const review = (label, verb, run, on) => small(label, () =>
  on.world({ do: verb, repo: run.repo, run: run.id, environments: run.waiting, by: run.by, comment: "" }));

const again = (run, on) => run.jobs.some((job) => ["failure", "timed_out"].includes(job.conclusion)) &&
  small("Re-run failed jobs", () => on.world({ do: "rerun", repo: run.repo, run: run.id, failed_only: true, by: run.by }));

function drawJob(run, job, on) {
  const end = (outcome) => () => on.world({ do: "finish_job", repo: run.repo, run: run.id, job: job.name, outcome });
  const buttons = actionable(job) && h("span.job-buttons", {},
    small("✓ Succeed", end("success"), { "data-testid": `job-ok-${job.name}`, "aria-label": `${job.name} succeeds` }),
    small("✗ Fail", end("failure"), { "data-testid": `job-fail-${job.name}`, "aria-label": `${job.name} fails` }));
  const deploying = job.in_deploy_step && actionable(job) && h("span.note", {}, " deploying");
  return h("li.job", {}, mark(job), h("span.grow", { title: `${job.name}: ${words(job)}` }, job.name, deploying), buttons);
}

/** What a job can do besides ending well or badly. */
function oddEnds(run, job, on) {
  const act = (rest) => () => on.world({ repo: run.repo, run: run.id, job: job.name, ...rest });
  return [
    job.environment && !job.in_deploy_step && small(`${job.name} reaches its deploy step`, act({ do: "deploy_step" })),
    small(`${job.name} times out`, act({ do: "finish_job", outcome: "timed_out" })),
    ...Object.entries(job.environment ? DEPLOY_FAILS : BUILD_FAILS).map(([label, says]) =>
      small(`${job.name}: ${label}`, act({ do: "finish_job", outcome: "failure", says }))),
  ];
}

/** What a job's check says when it fails. */
const BUILD_FAILS = {
  "the image cannot be built": "ERROR: failed to solve: process \"/bin/sh -c pip install\" did not complete successfully: exit code: 1",
  "the image cannot be pushed": "denied: requested access to the resource is denied",
};
const DEPLOY_FAILS = {
  "AWS login expired": "An error occurred (ExpiredTokenException): The security token included in the request is expired",
  "environment not ready": "Environment is in an invalid state for this operation. Must be Ready.",
  "does not get healthy": "Following services are not running: web. Failed to deploy application.",
  "version missing": "No Application Version named that was found.",
  "variable missing": "Missing environment variable: PROXY_URL",
};

function environments({ list, undeployed, repo: name }, on) {
  const rows = list.flatMap((one) => [h("tr", {},
    h("td", { title: [one.name, one.region, one.health ?? "health unknown"].filter(Boolean).join(", ") }, h(`span.dot.${(one.health ?? "none").toLowerCase()}`, { "aria-hidden": "true" }), one.name),
    h("td", {}, h("code", { title: one.version }, short(one.version))),
    h("td.note", {}, one.status && one.status !== "Ready" ? one.status : one.region)),
  one.eb && h("tr", {}, h("td", { colSpan: 3 }, servers(one, name, on)))].filter(Boolean));
  const note = undeployed ? `${undeployed} ${undeployed === 1 ? "change is" : "changes are"} not in production yet` : "Nothing waits to be deployed";
  return h("div", {}, h("table.environments", {}, h("tbody", {}, rows)), h("p.note", {}, note));
}

/** The servers of an environment: how many run what, and what can happen to them. */
function servers(one, name, on) {
  const counts = Object.entries(Object.groupBy(one.servers, (server) => short(server.version)));
  const runs = counts.map(([version, some]) => `${some.length} × ${version}`).join(", ");
  const turn = (label, what) => small(label, () => on.world({ do: "servers", repo: name, environment: one.name, turn: what }),
    { "data-testid": `servers-${Object.keys(what).length && typeof what === "object" ? Object.keys(what)[0] : what}-${one.name}` });
  const deploying = [turn("Next batch", "next_batch"), turn("Finish by itself", "finish"), turn("Deployment fails", "fail")];
  const idle = [
    turn("One server on an older version", "mix"),
    turn("Requests fail", { health: { health: "severe", causes: ["52.4 % of the requests are failing with HTTP 5xx."] } }),
    one.status === "Ready" ? turn("Not ready", { busy: true }) : turn("Ready again", { busy: false }),
  ];
  return h("details.more", {}, h("summary", {}, `${one.eb}: ${runs || "no servers"}`),
    h("p.note", {}, [one.health_status, ...one.causes].join(". ")),
    h("div.row", {}, one.deploying ? deploying : idle, turn("All is well", "heal")));
}
