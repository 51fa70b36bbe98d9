// Tells which of the LogQL queries in QUERIES, a JSON list, do not parse.
import { parser } from '@grafana/lezer-logql';

for (const query of JSON.parse(process.env.QUERIES)) {
  const wrong = [];
  parser.parse(query).iterate({ enter: (node) => { if (node.type.isError) wrong.push(node.from); } });
  if (wrong.length > 0) console.log(`${query}: wrong at ${wrong.join(', ')}`);
}
