// Runs the cases of bench/micro with Polars on demand: a line of JSON is a question, a line of JSON the answer, both
// through the socket that is standard input.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const pl = require("nodejs-polars");

const bound = (tables) => tables.d.getColumn("bound").get(0);

// For each case a function of the tables that gives the run.
const OPERATIONS = {
  group_sums: ({ t }) => () => t.lazy().groupBy("k").agg(pl.col("v").sum()).collectSync(),
  join: ({ t, d }) => () =>
    t.lazy().join(d.lazy(), { on: "k" }).select(pl.col("v").mul(pl.col("p")).sum().alias("s")).collectSync(),
  semi_join: ({ t, d }) => () =>
    t.lazy().join(d.lazy(), { on: "k", how: "semi" }).select(pl.col("v").sum()).collectSync(),
  sort: ({ t }) => () => t.select("k").sort("k"),
  sort_pairs: ({ t }) => () => t.sort("k"),
  top: ({ t }) => () => t.lazy().select("k").sort("k").limit(100).collectSync(),
  filter_rows: (tables) => () => tables.t.lazy().filter(pl.col("k").lt(bound(tables))).collectSync(),
  filter_sum: (tables) => () =>
    tables.t.lazy().filter(pl.col("k").lt(bound(tables))).select(pl.col("k").sum()).collectSync(),
  histogram: ({ t }) => () =>
    t.lazy().select(pl.col("k").mul(256).cast(pl.Int64).alias("k")).groupBy("k").agg(pl.len().cast(pl.Int64).alias("n"))
      .collectSync(),
  scatter: ({ t }) => () => t.lazy().groupBy("k").agg(pl.col("v").sum()).collectSync(),
  distinct: ({ t }) => () => t.lazy().select("k").unique().collectSync(),
  groups: ({ t }) => () => t.lazy().groupBy("k").agg(pl.col("v")).collectSync(),
};

// What is compared, where it is less than the result.
const REDUCTIONS = {
  groups: (frame) => frame.select(pl.col("k"), pl.col("v").lst.sum()),
};

function readColumn({ element, file }) {
  try {
    if (element === "text") return pl.readCSV(file, { hasHeader: false, dtypes: { column_1: pl.String } }).getColumn("column_1");
    const bytes = fs.readFileSync(file);
    return element === "i8"
      ? pl.Series("", new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8), pl.Int64)
      : pl.Series("", new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8), pl.Float64);
  } finally {
    fs.unlinkSync(file);
  }
}

function writeColumn(series, file) {
  if (series.dtype.equals(pl.String)) {
    pl.DataFrame({ k: series }).writeCSV(file, { includeHeader: false });
    return "text";
  }
  const isInteger = !series.dtype.equals(pl.Float64);
  const values = series.toTypedArray();
  fs.writeFileSync(file, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return isInteger ? "i8" : "f8";
}

let operation = null;
let run = null;
let outcome = null;

const ANSWERS = {
  hello: () => ({}),
  forget: () => {
    run = outcome = null;
    if (global.gc) global.gc();
    return {};
  },
  load_tables: (question) => {
    run = outcome = null;
    const columns = {};
    for (const column of question.columns) {
      columns[column.table] = { ...columns[column.table], [column.name]: readColumn(column) };
    }
    const tables = Object.fromEntries(Object.entries(columns).map(([name, parts]) => [name, pl.DataFrame(parts)]));
    operation = question.operation;
    run = OPERATIONS[operation]?.(tables) ?? null;
    return { known: run !== null };
  },
  run_operation: () => {
    outcome = null;
    const start = process.hrtime.bigint();
    outcome = run();
    return { ms: Number(process.hrtime.bigint() - start) / 1e6 };
  },
  columns: ({ folder }) => {
    const frame = REDUCTIONS[operation]?.(outcome) ?? outcome;
    return {
      columns: frame.columns.map((name, number) => {
        const file = path.join(folder, `result-${number}`);
        return { file, element: writeColumn(frame.getColumn(name), file) };
      }),
    };
  },
};

function main() {
  const buffer = Buffer.alloc(1 << 16);
  let received = "";
  for (;;) {
    const count = fs.readSync(0, buffer);
    if (count === 0) return;
    received += buffer.toString("utf8", 0, count);
    for (let end = received.indexOf("\n"); end >= 0; end = received.indexOf("\n")) {
      const question = JSON.parse(received.slice(0, end));
      received = received.slice(end + 1);
      let answer;
      try {
        answer = ANSWERS[question.do](question);
      } catch (error) {
        answer = { error: `${error}` }; // the asker is to know, whatever it is
      }
      fs.writeSync(0, JSON.stringify(answer) + "\n");
    }
  }
}

main();
