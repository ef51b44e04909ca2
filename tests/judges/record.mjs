// Reads the record that the end-to-end tests leave (src/sandbox/record.rs), and collects what judges say about it.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Every line of every file of a record, with the story and the place that it comes from. */
export function* lines(folder) {
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".jsonl")).sort()) {
    const story = file.split(".").slice(0, -3).join("::");
    const texts = readFileSync(join(folder, file), "utf8").split("\n");
    for (const [index, text] of texts.entries()) {
      if (text) yield { ...JSON.parse(text), story, file, place: `${file}:${index + 1}` };
    }
  }
}

/** What was judged, and what was found wrong. The same fault is told once, with the first place it was seen at. */
export class Verdicts {
  operations = new Map();
  findings = new Map();

  /** Counts a request or an answer of an operation as judged. */
  count(operation, what) {
    const counts = this.operations.get(operation) ?? { requests: 0, answers: 0 };
    counts[what] += 1;
    this.operations.set(operation, counts);
  }

  /** Something is wrong: at which line, in which operation's request or answer, and what. */
  find(line, what, message) {
    const key = `${what}: ${message.replaceAll(/\/\d+(?=\/|:| )/g, "/*")}`;
    const found = this.findings.get(key) ?? { place: line.place, story: line.story, message: `${what}: ${message}`, times: 0 };
    found.times += 1;
    this.findings.set(key, found);
  }

  /** Prints the table and the findings; whether all is well. `expected` operations must have been judged, and no others. */
  report(title, expected) {
    const names = [...new Set([...this.operations.keys(), ...expected])].sort();
    const rows = names.map((name) => ({ name, requests: 0, answers: 0, ...this.operations.get(name) }));
    const width = Math.max(...names.map((name) => name.length), title.length);
    console.log(`\n${title.padEnd(width)}  requests   answers`);
    for (const { name, requests, answers } of rows) {
      console.log(`${name.padEnd(width)}  ${String(requests).padStart(8)}  ${String(answers).padStart(8)}`);
    }
    for (const { name } of rows.filter(({ requests, answers }) => requests + answers === 0)) {
      this.find({ place: "", story: "the whole record" }, name, "was never seen");
    }
    for (const { name } of rows.filter(({ name }) => !expected.includes(name))) {
      this.find({ place: "", story: "the whole record" }, name, "is in no list of what the bot uses: add it to the judge's");
    }
    for (const { place, story, message, times } of this.findings.values()) {
      console.log(`WRONG ${message}\n      ${times}x, first in ${story} (${place})`);
    }
    return this.findings.size === 0;
  }
}

/** Refuses to go on unless a judge refuses a bad sample (`broken`) and passes a good one: a judge that validates nothing is worse than none. */
export function mustRefuse(name, judge, good, broken) {
  const complaints = (sample) => {
    const verdicts = new Verdicts();
    judge(verdicts, { story: "self-test", place: "self-test", ...sample });
    return [...verdicts.findings.values()].map(({ message }) => message);
  };
  const [wrong, right] = [complaints(broken), complaints(good)];
  if (wrong.length === 0) throw new Error(`the judge of ${name} passes a bad sample`);
  if (right.length > 0) throw new Error(`the judge of ${name} refuses a good sample: ${right}`);
}

/** What ajv found, in one line: of the branches of a union the one that got furthest. */
export function worst(errors) {
  // Branches of another kind (a section's, where a header is judged) have nothing to say.
  const branch = (error) => error.schemaPath.replace(/\/(properties\/.*|required|(additional|unevaluated)Properties)$/, "");
  const kind = ({ instancePath, keyword }) => instancePath.endsWith("/type") && ["const", "enum"].includes(keyword);
  const strange = errors.filter(kind).map((error) => [branch(error), error.instancePath.slice(0, -"/type".length)]);
  const near = errors.filter((error) => !strange.some(([of, at]) => branch(error) === of && error.instancePath.startsWith(at)));
  if (near.some(({ keyword }) => keyword !== "anyOf")) errors = near;
  const depth = (error) => error.instancePath.split("/").length;
  const deepest = Math.max(...errors.map(depth));
  const far = errors.filter((error) => depth(error) === deepest && !["anyOf", "oneOf", "if"].includes(error.keyword));
  const best = (far.length > 0 ? far : errors)[0];
  const detail = best.params.additionalProperty ?? best.params.unevaluatedProperty ?? best.params.allowedValues ?? "";
  return `${best.instancePath || "/"} ${best.message}${detail ? ` (${[detail].flat().join(", ")})` : ""}`;
}
