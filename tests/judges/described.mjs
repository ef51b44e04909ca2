// A description of GitHub's own in OpenAPI (@octokit/openapi, @octokit/openapi-webhooks), and its schemas as validators.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import addFormats from "ajv-formats";
import { Ajv2020 } from "ajv/dist/2020.js";

const require = createRequire(import.meta.url);

/** Reads what a package describes of github.com. `validator` makes a schema of it a check that refuses members without a name there. */
export function read(name) {
  const path = require.resolve(`${name}/package.json`).replace("package.json", "generated/api.github.com.json");
  const description = JSON.parse(readFileSync(path, "utf8"));
  const ajv = new Ajv2020({ strict: false, allErrors: true, logger: false });
  addFormats.default(ajv);
  const [added, validators] = [new Set(), new Map()];

  function deref(node) {
    if (!node?.$ref) return node;
    return deref(node.$ref.slice(2).split("/").reduce((at, key) => at[key], description));
  }

  function validator(schema) {
    if (!validators.has(schema)) {
      const own = sealed(schema);
      validators.set(schema, ajv.compile(own));
    }
    return validators.get(schema);
  }

  /** OpenAPI's schema as JSON Schema 2020-12. */
  function converted(schema) {
    if (schema.$ref) return { $ref: shared(schema.$ref) };
    const { nullable, oneOf, anyOf, allOf, properties, items, additionalProperties, not, example, examples, ...out } = schema;
    // Kinds overlap in GitHub's unions, so "exactly one" cannot be asked for.
    if (oneOf ?? anyOf) out.anyOf = (oneOf ?? anyOf).map(converted);
    if (allOf) out.allOf = allOf.map(converted);
    if (not) out.not = converted(not);
    if (items) out.items = sealed(items);
    if (properties) out.properties = Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, sealed(one)]));
    if (additionalProperties !== undefined) {
      out.additionalProperties = typeof additionalProperties === "object" ? sealed(additionalProperties) : additionalProperties;
    } else if ([out.type].flat().includes("object") && !properties && !out.anyOf && !allOf) {
      out.additionalProperties = true;
    }
    if (!nullable) return out;
    if (out.enum) out.enum = [...out.enum, null];
    return out.type ? { ...out, type: [out.type, "null"].flat() } : { anyOf: [out, { type: "null" }] };
  }

  /** The same, with nothing allowed that it does not name. */
  function sealed(schema) {
    const out = converted(schema);
    const open = out.additionalProperties !== undefined;
    return open ? out : { ...out, unevaluatedProperties: false };
  }

  /** Makes a component known to ajv under a name of its own. */
  function shared(ref) {
    const name = ref.split("/").at(-1);
    if (!added.has(name)) {
      added.add(name);
      ajv.addSchema(converted(deref({ $ref: ref })), name);
    }
    return name;
  }

  /** A text of a path, a query or a header as the type that the schema wants, where it can be read as such. */
  function typed(schema, text) {
    const { type } = deref(schema);
    if ((type === "integer" || type === "number") && /^\d+$/.test(text)) return Number(text);
    if (type === "boolean" && /^(true|false)$/.test(text)) return text === "true";
    return text;
  }

  return { description, deref, typed, validator };
}
