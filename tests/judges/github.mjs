// Judges what passed between the bot and the pretend GitHub: node github.mjs RECORD

import * as graphql from "./graphql.mjs";
import * as openapi from "./openapi.mjs";
import { Verdicts, lines, mustRefuse } from "./record.mjs";
import * as webhooks from "./webhooks.mjs";

const [folder] = process.argv.slice(2);

const headers = { "user-agent": "x", accept: "application/vnd.github+json", "content-type": "application/json" };
const exchange = { method: "POST", headers, status: 200, answer_headers: {}, fault: null };
const review = { environment_ids: [1], state: "approved", comment: "by Ana" };
const rest = (body) => ({ ...exchange, target: "/repos/o/r/actions/runs/1/pending_deployments", body: JSON.stringify(body), answer: "[]" });
mustRefuse("GitHub's requests", openapi.judge, rest(review), rest({ ...review, environment_ids: ["1"] }));
const head = (answer) => ({ ...exchange, method: "GET", target: "/repos/o/r/git/ref/heads/main", body: "", answer: JSON.stringify(answer) });
const main = { ref: "refs/heads/main", node_id: "x", url: "https://x", object: { type: "commit", sha: "0".repeat(40), url: "https://x" } };
mustRefuse("GitHub's answers", openapi.judge, head(main), head({ ...main, object: { ...main.object, hash: "0" } }));
const asked = (login) => ({
  ...exchange, target: "/graphql", answer: JSON.stringify({ data: { viewer: { login } } }), body: JSON.stringify({ query: "{ viewer { login } }" }),
});
mustRefuse("GitHub's GraphQL answers", graphql.judge, asked("ana"), asked(1));
mustRefuse("GitHub's GraphQL questions", graphql.judge, asked("ana"), { ...asked("ana"), body: JSON.stringify({ query: "{ viewer { logn } }" }) });
mustRefuse("webhooks", webhooks.judge, webhooks.sample({}), webhooks.sample({ hook_id: "1" }));
mustRefuse("webhooks' signatures", webhooks.judge, webhooks.sample({}), { ...webhooks.sample({}), body: webhooks.sample({}).body + " " });

const verdicts = new Verdicts();
for (const line of lines(folder)) {
  if (line.service === "webhook") webhooks.judge(verdicts, line);
  if (line.service !== "github") continue;
  (line.target === "/graphql" ? graphql : openapi).judge(verdicts, line);
}
const expected = [...openapi.EXPECTED, ...graphql.EXPECTED, ...webhooks.EXPECTED];
const well = verdicts.report("GitHub (@octokit/openapi, openapi-webhooks, graphql-schema)", expected);
process.exit(well ? 0 : 1);
