#include "tests/codegen/lane_programs.h"

#include <fmt/format.h>

#include <array>

#include "ir/nodes.h"
#include "ir/types.h"

namespace weld::codegen {
namespace {

std::string lanes_of(std::string_view kind) {
  return fmt::format("simd[{},$N]", kind);
}

// A loop over `v` with the bodies for one iteration and for lanes.
std::string loop(std::string_view parameters, std::string_view iterators, std::string_view builder,
                 std::string_view type, std::string_view element, std::string_view scalar,
                 std::string_view lanes) {
  return fmt::format(
      "|t: i64, {}| result(@(block:128)for({}, {}, |b, i, e| {}, |b: {}, i: simd[i64,$N], e: {}| {}))",
      parameters, iterators, builder, scalar, type, element, lanes);
}

class Programs {
 public:
  std::vector<LaneProgram> all() && {
    builders();
    operators();
    elements();
    forms();
    lookups();
    failures();
    return std::move(programs_);
  }

 private:
  void add(std::string name, std::string text) { programs_.push_back({std::move(name), std::move(text)}); }

  // A loop over v: vec[i64] with the masks of the threshold.
  void add_over_i64(std::string name, std::string_view builder, std::string_view type,
                    std::string_view scalar, std::string_view lanes, std::string_view end = "") {
    add(std::move(name),
        loop("v: vec[i64]", "v", builder, type, "simd[i64,$N]", scalar, lanes) + std::string(end));
  }

  void builders() {
    for (const std::string_view kind : {"i8", "u16", "i32", "u64", "i64", "f32", "f64"}) {
      for (const std::string_view op : {"+", "*", "min", "max"}) {
        const std::string type = fmt::format("merger[{},{}]", kind, op);
        const std::string name = fmt::format("merger_{}_{}", kind,
                                             op == "+"   ? "add"
                                             : op == "*" ? "multiply"
                                                         : op);
        add(name, loop(fmt::format("v: vec[{}]", kind), "v", type, type, lanes_of(kind), "merge(b, e)",
                       "merge(b, e)"));
        add(name + "_masked",
            loop(fmt::format("v: vec[{}]", kind), "v", type, type, lanes_of(kind),
                 "if(i64(e) > t, merge(b, e), b)", "merge(b, e, i64(e) > broadcast[$N](t))"));
      }
      const std::string type = fmt::format("appender[{}]", kind);
      add(fmt::format("appender_{}", kind), loop(fmt::format("v: vec[{}]", kind), "v", type, type,
                                                 lanes_of(kind), "merge(b, e)", "merge(b, e)"));
      add(fmt::format("appender_{}_masked", kind),
          loop(fmt::format("v: vec[{}]", kind), "v", type, type, lanes_of(kind),
               "if(i64(e) > t, merge(b, e), b)", "merge(b, e, i64(e) > broadcast[$N](t))"));
    }
    add_over_i64("merger_initial", "merger[f64,+](0.5)", "merger[f64,+]", "merge(b, f64(e))",
                 "merge(b, f64(e))");
    add_over_i64("merger_struct", "merger[{f64,i32},+]", "merger[{f64,i32},+]", "merge(b, {f64(e), i32(i)})",
                 "merge(b, {f64(e), i32(i)}, e == e)");
    add_over_i64("appender_bool", "appender[bool]", "appender[bool]", "if(e > t, merge(b, e > 20L), b)",
                 "merge(b, e > broadcast[$N](20L), e > broadcast[$N](t))");
    for (const std::string_view element :
         {"{i64, f64}", "{i8, i64, bool}", "{i8, u8}", "{f32, i16, i32}", "{i64, {f64, i32}, f32, i8}",
          "{i64, i64, i64, i64, i64, i64, i64, i64, i64}", "{u16, bool, i16}"}) {
      std::string members;
      std::size_t number = 0;
      std::string value(element);
      // Every scalar type becomes a cast of something.
      std::string made;
      for (std::size_t at = 0; at < value.size();) {
        if (value[at] == '{' || value[at] == '}' || value[at] == ',' || value[at] == ' ') {
          made += value[at++];
          continue;
        }
        std::size_t end = at;
        while (value[end] != ',' && value[end] != '}') ++end;
        made += fmt::format("{}({})", value.substr(at, end - at), ++number % 2 ? "e" : "i");
        at = end;
      }
      const std::string type = fmt::format("appender[{}]", element);
      const std::string name = fmt::format("appender_struct_{}", programs_.size());
      add_over_i64(name, type, type, fmt::format("merge(b, {})", made), fmt::format("merge(b, {})", made));
      add_over_i64(name + "_masked", type, type, fmt::format("if(e > t, merge(b, {}), b)", made),
                   fmt::format("merge(b, {}, e > broadcast[$N](t))", made));
    }
    for (const std::string_view key : {"i64", "f32", "{i8, i64}"}) {
      const std::string made = key.front() == '{' ? "{i8(e), e}" : fmt::format("{}(e)", key);
      for (const std::string_view value : {"f64", "{i64, f32}"}) {
        const std::string merged = value.front() == '{' ? "{i, f32(e)}" : "f64(i)";
        const std::string type = fmt::format("dictmerger[{},{},+]", key, value);
        add_over_i64(fmt::format("dictmerger_{}", programs_.size()), type, type,
                     fmt::format("merge(b, {{{}, {}}})", made, merged),
                     fmt::format("merge(b, {{{}, {}}})", made, merged));
        programs_.back().text.insert(programs_.back().text.find("result("), "tovec(");
        programs_.back().text += ")";
        add_over_i64(fmt::format("dictmerger_masked_{}", programs_.size()), type, type,
                     fmt::format("if(e > t, merge(b, {{{}, {}}}), b)", made, merged),
                     fmt::format("merge(b, {{{}, {}}}, e > broadcast[$N](t))", made, merged));
        programs_.back().text.insert(programs_.back().text.find("result("), "tovec(");
        programs_.back().text += ")";
      }
      const std::string type = fmt::format("groupmerger[{},i64]", key);
      add_over_i64(fmt::format("groupmerger_{}", programs_.size()), type, type,
                   fmt::format("if(e > t, merge(b, {{{}, i}}), b)", made),
                   fmt::format("merge(b, {{{}, i}}, e > broadcast[$N](t))", made));
      programs_.back().text.insert(programs_.back().text.find("result("), "tovec(");
      programs_.back().text += ")";
    }
    for (const std::string_view op : {"+", "min"}) {
      const std::string type = fmt::format("vecmerger[f64,{}]", op);
      add_over_i64(fmt::format("vecmerger_{}", programs_.size()),
                   type + "(result(for(rangeiter(0L, 8L, 1L), appender[f64], |c, j, x| merge(c, 1.0))))",
                   type, "merge(b, {e & 7L, f64(i)})", "merge(b, {e & broadcast[$N](7L), f64(i)})");
      add_over_i64(fmt::format("vecmerger_masked_{}", programs_.size()),
                   type + "(result(for(rangeiter(0L, 8L, 1L), appender[f64], |c, j, x| merge(c, 1.0))))",
                   type, "if(e > t, merge(b, {e & 7L, f64(i)}), b)",
                   "merge(b, {e & broadcast[$N](7L), f64(i)}, e > broadcast[$N](t))");
    }
    vecmergers_of_structs();
    add_over_i64(
        "several_builders", "{merger[f64,+], appender[i64], merger[i64,max], dictmerger[i64,i64,+]}",
        "{merger[f64,+], appender[i64], merger[i64,max], dictmerger[i64,i64,+]}",
        "{merge(b.$0, f64(e)), if(e > t, merge(b.$1, e), b.$1), merge(b.$2, e), merge(b.$3, {e % 7L, i})}",
        "{merge(b.$0, f64(e)), merge(b.$1, e, e > broadcast[$N](t)), merge(b.$2, e), "
        "merge(b.$3, {e % broadcast[$N](7L), i})}");
    programs_.back().text.replace(0, programs_.back().text.size(),
                                  "|t: i64, v: vec[i64]| let r = " +
                                      programs_.back().text.substr(programs_.back().text.find("result(")) +
                                      "; {r.$0, r.$1, r.$2, tovec(r.$3)}");
  }

  // At the iteration's number, which is inside of the vector or past its end, and at others.
  void vecmergers_of_structs() {
    for (const std::string_view value : {"f64", "{i64, f64, f64}", "{i64, i64, i64, i64, i64, i64}"}) {
      std::string made(value);
      for (const std::string_view kind : {"i64", "f64"}) {
        for (std::size_t at = 0; (at = made.find(kind, at)) != std::string::npos; at += kind.size() + 3)
          made.insert(at + kind.size(), kind == "i64" ? "(e)" : "(i)");
      }
      const std::string type = fmt::format("vecmerger[{},+]", value);
      const std::string start =
          fmt::format("{}(result(for(rangeiter(0L, 300L, 1L), appender[{}], |c, e, i| merge(c, {}))))", type,
                      value, made);
      for (const std::string_view place : {"i", "e & mask"}) {
        const std::string merged = fmt::format("{{{}, {}}}", place, made);
        const std::string name = fmt::format("vecmerger_of_structs_{}", programs_.size());
        add_over_i64(name, start, type, fmt::format("let mask = 63L; merge(b, {})", merged),
                     fmt::format("let mask = broadcast[$N](63L); merge(b, {})", merged));
        add_over_i64(
            name + "_masked", start, type, fmt::format("let mask = 63L; if(e > t, merge(b, {}), b)", merged),
            fmt::format("let mask = broadcast[$N](63L); merge(b, {}, e > broadcast[$N](t))", merged));
      }
    }
    // Few places, and sums in any order.
    for (const std::string_view op : {"+", "max"}) {
      const std::string type = fmt::format("vecmerger[{{i64, i32, i8}},{}]", op);
      const std::string start = type + "([{1L, 2, 3c}, {4L, 5, 6c}, {7L, 8, 9c}, {0L, 0, 0c}])";
      const std::string name = fmt::format("vecmerger_of_few_{}", op == "+" ? "add" : op);
      add_over_i64(name, start, type, "merge(b, {e & 3L, {e, i32(i), i8(e)}})",
                   "merge(b, {e & broadcast[$N](3L), {e, i32(i), i8(e)}})");
      add_over_i64(name + "_masked", start, type, "if(e > t, merge(b, {e & 7L & 3L, {e, i32(i), i8(e)}}), b)",
                   "merge(b, {e & broadcast[$N](3L), {e, i32(i), i8(e)}}, e > broadcast[$N](t))");
      add_over_i64(name + "_fails", start, type, "merge(b, {e & 4095L, {e, i32(i), i8(e)}})",
                   "merge(b, {e & broadcast[$N](4095L), {e, i32(i), i8(e)}})");
    }
  }

  void operators() {
    constexpr std::array kKinds{"i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64"};
    for (const std::string_view kind : kKinds) {
      const bool real = kind.front() == 'f';
      std::vector<std::string> expressions{"e.$0 + e.$1",     "e.$0 - e.$1",
                                           "e.$0 * e.$1",     "min(e.$0, e.$1)",
                                           "max(e.$0, e.$1)", "select(e.$0 < e.$1, e.$0, e.$1)",
                                           "abs(e.$0)",       "sign(e.$0)"};
      if (real) {
        expressions.insert(expressions.end(), {"e.$0 / e.$1", "-e.$0", "sqrt(e.$0)", "floor(e.$0)",
                                               "ceil(e.$0)", "round(e.$0)", "trunc(e.$0)"});
      } else {
        for (const std::string_view op : {"&", "|", "^"})
          expressions.push_back(fmt::format("e.$0 {} e.$1", op));
        // Division fails by zero: an odd divisor never is.
        const std::string one = fmt::format("{}({})", kind, "1");
        expressions.push_back("e.$0 / (e.$1 | one)");
        expressions.push_back("e.$0 % (e.$1 | one)");
      }
      std::string scalar = "merge(b, {", lanes = "merge(b, {", types;
      for (const std::string& expression : expressions) {
        scalar += (types.empty() ? "" : ", ") + expression;
        lanes += (types.empty() ? "" : ", ") + expression;
        types += (types.empty() ? "" : ", ") + std::string(kind);
      }
      // The comparisons make bools.
      for (const std::string_view op : {"==", "!=", "<", ">", "<=", ">="}) {
        scalar += fmt::format(", e.$0 {} e.$1", op);
        lanes += fmt::format(", e.$0 {} e.$1", op);
        types += ", bool";
      }
      const std::string type = fmt::format("appender[{{{}}}]", types);
      add(fmt::format("operators_{}", kind),
          loop(fmt::format("v: vec[{0}], w: vec[{0}]", kind), "zip(v, w)", type, type,
               fmt::format("{{simd[{0},$N], simd[{0},$N]}}", kind),
               fmt::format("let one = {}(1); {}}})", kind, scalar),
               fmt::format("let one = broadcast[$N]({}(1)); {}}})", kind, lanes)));
      std::string casts, cast_types;
      for (const std::string_view to :
           {"i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64", "bool"}) {
        casts += fmt::format("{}{}(e)", casts.empty() ? "" : ", ", to);
        cast_types += fmt::format("{}{}", cast_types.empty() ? "" : ", ", to);
      }
      const std::string cast_type = fmt::format("appender[{{{}}}]", cast_types);
      add(fmt::format("casts_{}", kind),
          loop(fmt::format("v: vec[{}]", kind), "v", cast_type, cast_type, lanes_of(kind),
               fmt::format("merge(b, {{{}}})", casts), fmt::format("merge(b, {{{}}})", casts)));
    }
    for (const std::string_view kind : {"f32", "f64"}) {
      std::string calls, types;
      for (const std::string_view function : {"exp", "log", "sin", "erf", "tanh", "cbrt", "exp2", "atan"}) {
        calls += fmt::format("{}{}(e)", calls.empty() ? "" : ", ", function);
        types += fmt::format("{}{}", types.empty() ? "" : ", ", kind);
      }
      for (const std::string_view function : {"pow", "atan2", "hypot"}) {
        calls += fmt::format(", {}(e, e)", function);
        types += fmt::format(", {}", kind);
      }
      const std::string type = fmt::format("appender[{{{}, bool}}]", types);
      add(fmt::format("mathematics_{}", kind),
          loop(fmt::format("v: vec[{}]", kind), "v", type, type, lanes_of(kind),
               fmt::format("merge(b, {{{}, isnan(e)}})", calls),
               fmt::format("merge(b, {{{}, isnan(e)}})", calls)));
    }
    add("masks", loop("v: vec[i64], w: vec[f32]", "zip(v, w)", "appender[i64]", "appender[i64]",
                      "{simd[i64,$N], simd[f32,$N]}",
                      "if((e.$0 > t & !(e.$1 > 2.0f)) | (e.$0 == 3L ^ e.$1 < 0.0f), merge(b, e.$0), b)",
                      "merge(b, e.$0, (e.$0 > broadcast[$N](t) & !(e.$1 > broadcast[$N](2.0f))) | "
                      "(e.$0 == broadcast[$N](3L) ^ e.$1 < broadcast[$N](0.0f)))"));
  }

  void elements() {
    add("bools", loop("v: vec[bool], w: vec[i64]", "zip(v, w)", "{merger[i64,+], appender[bool]}",
                      "{merger[i64,+], appender[bool]}", "{simd[bool,$N], simd[i64,$N]}",
                      "{if(e.$0, merge(b.$0, e.$1), b.$0), merge(b.$1, !e.$0)}",
                      "{merge(b.$0, e.$1, e.$0), merge(b.$1, !e.$0)}"));
    add("structs_of_two",
        loop("v: vec[{i64, f64}]", "v", "{merger[i64,+], merger[f64,+]}", "{merger[i64,+], merger[f64,+]}",
             "{simd[i64,$N], simd[f64,$N]}", "{merge(b.$0, e.$0), merge(b.$1, e.$1)}",
             "{merge(b.$0, e.$0), merge(b.$1, e.$1)}"));
    add("structs_of_many",
        loop("v: vec[{i8, f64, {bool, i16}, f32, u8}]", "v", "appender[{i8, f64, bool, i16, f32, u8}]",
             "appender[{i8, f64, bool, i16, f32, u8}]",
             "{simd[i8,$N], simd[f64,$N], {simd[bool,$N], simd[i16,$N]}, simd[f32,$N], simd[u8,$N]}",
             "merge(b, {e.$0, e.$1, e.$2.$0, e.$2.$1, e.$3, e.$4})",
             "merge(b, {e.$0, e.$1, e.$2.$0, e.$2.$1, e.$3, e.$4})"));
    add("structs_wide",
        loop("v: vec[{i8, f64, i64, i64, i64, f32, bool}]", "v", "appender[{i8, f64, i64, f32, bool}]",
             "appender[{i8, f64, i64, f32, bool}]",
             "{simd[i8,$N], simd[f64,$N], simd[i64,$N], simd[i64,$N], simd[i64,$N], simd[f32,$N], "
             "simd[bool,$N]}",
             "merge(b, {e.$0, e.$1, e.$3, e.$5, e.$6})", "merge(b, {e.$0, e.$1, e.$3, e.$5, e.$6})"));
    add("structs_with_text",
        loop("v: vec[{i64, vec[i8], f32}]", "v", "appender[{i64, f32}]", "appender[{i64, f32}]",
             "{simd[i64,$N], {}, simd[f32,$N]}", "merge(b, {e.$0, e.$2})", "merge(b, {e.$0, e.$2})"));
    for (const std::string_view kind : {"i8", "i64", "f32"}) {
      const std::string type = fmt::format("appender[{{{}, i64}}]", kind);
      for (const std::string_view bounds :
           {"len(v) / 4L, len(v) / 2L, 1L", "1L, len(v) - 1L, 3L", "s, len(v), s + 1L"}) {
        add(fmt::format("strided_{}", programs_.size()),
            loop(fmt::format("v: vec[{}]", kind), fmt::format("iter(vv, {})", bounds), type, type,
                 lanes_of(kind), "merge(b, {e, i})", "merge(b, {e, i})"));
        std::string& text = programs_.back().text;
        text.insert(text.find("result("), "let s = if(t > 100L, 1L, 0L); let vv = flatten([v, v, [" +
                                              std::string(kind) + "(1), " + std::string(kind) + "(2)]]); ");
        for (std::size_t at = text.find("len(v)"); at != std::string::npos; at = text.find("len(v)"))
          text.replace(at, 6, "len(vv)");
      }
    }
    add("ranges",
        "|t: i64, n: i8, v: vec[i64]| result(@(block:128)for(zip(rangeiter(0L, len(v), 1L), rangeiter(5L, 5L "
        "+ len(v) * 3L, 3L), v), "
        "appender[i64], |b, i, e| merge(b, e.$0 * e.$1 + e.$2 + i), "
        "|b: appender[i64], i: simd[i64,$N], e: {simd[i64,$N], simd[i64,$N], simd[i64,$N]}| "
        "merge(b, e.$0 * e.$1 + e.$2 + i)))");
    add("nditer",
        "|t: i64, v: vec[f32]| let n = len(v) / 6L; result(@(block:128)for(nditer(v, 0L, n * 6L, 1L, [n, 2L, "
        "3L], [6L, 1L, 2L]), "
        "appender[f32], |b, i, e| merge(b, e), |b: appender[f32], i: simd[i64,$N], e: simd[f32,$N]| merge(b, "
        "e)))");
    add("fringe", loop("v: vec[i64]", "fringeiter(v)", "@(block:128)merger[i64,+]", "merger[i64,+]",
                       "simd[i64,$N]", "merge(b, e)", "merge(b, e)"));
  }

  void forms() {
    const std::string_view table = "w: vec[f64], x: vec[{i8, i64, f32}], v: vec[i64]";
    for (const std::string_view index : {"i64", "i32"}) {
      const std::string at = fmt::format("{}(e)", index);
      add(fmt::format("gather_{}", index),
          loop(table, "v", "appender[{f64, i8, i64, f32}]", "appender[{f64, i8, i64, f32}]", "simd[i64,$N]",
               "if(e >= 0L & e < len(w), merge(b, {lookup(w, e), lookup(x, e).$0, lookup(x, e).$1, lookup(x, "
               "e).$2}), b)",
               fmt::format(
                   "let m = e >= broadcast[$N](0L) & e < broadcast[$N](len(w)); let y = gather(x, {0}, m); "
                   "merge(b, {{gather(w, {0}, m), y.$0, y.$1, y.$2}}, m)",
                   at)));
      add(fmt::format("gather_fails_{}", index),
          loop(table, "v", "merger[f64,+]", "merger[f64,+]", "simd[i64,$N]",
               "if(e > -1000L & e < 1000L, merge(b, lookup(w, e + 20L)), b)",
               fmt::format("let m = e > broadcast[$N](-1000L) & e < broadcast[$N](1000L); "
                           "merge(b, gather(w, {}(e + broadcast[$N](20L)), m), m)",
                           index)));
    }
    add_over_i64(
        "any_lane", "{appender[i64], merger[f64,+]}", "{appender[i64], merger[f64,+]}",
        "if(e > t, {merge(b.$0, i), merge(b.$1, f64(e))}, b)",
        "let m = e > broadcast[$N](t); if(any_lane(m), {merge(b.$0, i, m), merge(b.$1, f64(e), m)}, b)");
    // A column that is read under any_lane only, twice, and after it.
    add("late_columns", loop("v: vec[i64], w: vec[f32]", "zip(v, w)", "{merger[f32,+], merger[f32,max]}",
                             "{merger[f32,+], merger[f32,max]}", "{simd[i64,$N], simd[f32,$N]}",
                             "{if(e.$0 > t, merge(b.$0, e.$1 * e.$1), b.$0), merge(b.$1, e.$1)}",
                             "let m = e.$0 > broadcast[$N](t); "
                             "{if(any_lane(m), merge(b.$0, e.$1 * e.$1, m), b.$0), merge(b.$1, e.$1)}"));
    for (const std::string_view kind : {"i8", "u16", "bool"}) {
      add(fmt::format("gather_few_{}", kind),
          loop(fmt::format("v: vec[i64], w: vec[{}]", kind), "v", fmt::format("appender[{}]", kind),
               fmt::format("appender[{}]", kind), "simd[i64,$N]",
               "if(e > t & e % 16L == 3L, merge(b, lookup(w, i64(i32(i)))), b)",
               "let m = e > broadcast[$N](t) & e % broadcast[$N](16L) == broadcast[$N](3L); "
               "merge(b, gather(w, i32(i), m), m)"));
    }
    add("map_lanes",
        loop("v: vec[i64], w: vec[vec[i8]]", "v", "appender[{i64, f32, bool}]", "appender[{i64, f32, bool}]",
             "simd[i64,$N]", "if(e > t, merge(b, {len(lookup(w, i)) + e, f32(e), lookup(w, i) == \"a\"}), b)",
             "let m = e > broadcast[$N](t); let r = map_lanes({i, e}, m, |p: {i64, i64}| "
             "{len(lookup(w, p.$0)) + p.$1, f32(p.$1), lookup(w, p.$0) == \"a\"}); "
             "merge(b, r, m)"));
    add_over_i64("map_lanes_scalar", "merger[i64,+]", "merger[i64,+]", "merge(b, if(e > t, e + t, 0L))",
                 "merge(b, map_lanes(e, e > broadcast[$N](t), |p: i64| p + t))");
    add_over_i64(
        "for_lanes", "{merger[f64,+], appender[i64], dictmerger[i64,f64,+], merger[i64,min], merger[f32,+]}",
        "{merger[f64,+], appender[i64], dictmerger[i64,f64,+], merger[i64,min], merger[f32,+]}",
        "if(e > t, {merge(b.$0, f64(e)), merge(b.$1, i), merge(b.$2, {e, f64(i)}), merge(b.$3, e), "
        "merge(b.$4, f32(i))}, b)",
        "for_lanes(b, {e, i}, e > broadcast[$N](t), "
        "|c: {merger[f64,+], appender[i64], dictmerger[i64,f64,+], merger[i64,min], merger[f32,+]}, p: {i64, "
        "i64}| "
        "{merge(c.$0, f64(p.$0)), merge(c.$1, p.$1), merge(c.$2, {p.$0, f64(p.$1)}), merge(c.$3, p.$0), "
        "merge(c.$4, f32(p.$1))})");
    programs_.back().text.replace(0, programs_.back().text.size(),
                                  "|t: i64, v: vec[i64]| let r = " +
                                      programs_.back().text.substr(programs_.back().text.find("result(")) +
                                      "; {r.$0, r.$1, tovec(r.$2), r.$3, r.$4}");
    add_over_i64("for_lanes_with_loop", "{appender[i64], merger[f64,+]}", "{appender[i64], merger[f64,+]}",
                 "if(e > t & e < 50L, {for(rangeiter(0L, e & 3L, 1L), b.$0, |d, j, y| merge(d, y + e)), "
                 "for(rangeiter(0L, e & 7L, 1L), b.$1, |d, j, y| merge(d, f64(y) / 3.0))}, b)",
                 "for_lanes(b, e, e > broadcast[$N](t) & e < broadcast[$N](50L), |c: {appender[i64], "
                 "merger[f64,+]}, p: i64| "
                 "{for(rangeiter(0L, p & 3L, 1L), c.$0, |d, j, y| merge(d, y + p)), "
                 "for(rangeiter(0L, p & 7L, 1L), c.$1, |d, j, y| merge(d, f64(y) / 3.0))})");
    add_over_i64("islands_that_allocate", "appender[i64]", "appender[i64]",
                 "if(e > t, merge(b, len(serialize([e, i]))), b)",
                 "let m = e > broadcast[$N](t); merge(b, map_lanes({e, i}, m, |p: {i64, i64}| "
                 "len(serialize([p.$0, p.$1]))), m)");
    add("inside_a_loop",
        "|t: i64, v: vec[i64], w: vec[f64]| result(for(slice(v, 0L, 20L), {appender[f64], merger[f64,+], "
        "appender[i64]}, |o, k, y| "
        "{merge(o.$0, result(@(block:128)for(w, merger[f64,+], |b, i, e| merge(b, e), |b: merger[f64,+], i: "
        "simd[i64,$N], e: "
        "simd[f64,$N]| merge(b, e)))), @(block:128)for(w, o.$1, |b, i, e| merge(b, e * 2.0), |b: "
        "merger[f64,+], i: simd[i64,$N], "
        "e: simd[f64,$N]| merge(b, e * broadcast[$N](2.0))), @(block:128)for(v, o.$2, |b, i, e| if(e > t, "
        "merge(b, e), b), "
        "|b: appender[i64], i: simd[i64,$N], e: simd[i64,$N]| merge(b, e, e > broadcast[$N](t)))}))");
    add_over_i64("iterate_in_lanes", "merger[i64,+]", "merger[i64,+]",
                 "merge(b, iterate({e, 0}, |s| {{s.$0 * 3L + i, s.$1 + 1}, s.$1 < 4}).$0)",
                 "merge(b, iterate({e, 0}, |s| {{s.$0 * broadcast[$N](3L) + i, s.$1 + 1}, s.$1 < 4}).$0)");
  }

  // A loop over v into a dictionary d of the keys that are not negative.
  void add_lookup(std::string name, std::string_view key, std::string_view value, std::string_view condition,
                  std::string_view builder, std::string_view scalar, std::string_view lanes) {
    for (const std::string_view impl : {"plain", "staged"}) {
      std::string text = fmt::format(
          "|t: i64, v: vec[i64]| let d = result(for(v, {}, |b, i, e| if({}, merge(b, {{{}, {}}}), b)));\n"
          "result(@(block:128)for(v, {}, |b, i, e| {}, |b: {}, i: simd[i64,$N], e: simd[i64,$N]| {}))",
          value.starts_with("vec") ? fmt::format("groupmerger[{},i64]", type_of(key))
                                   : fmt::format("dictmerger[{},{},+]", type_of(key), value),
          condition, key, value_of(value), builder, scalar, builder, lanes);
      for (std::size_t at; (at = text.find("$I")) != std::string::npos;)
        text.replace(at, 2, fmt::format("@(impl:{})", impl));
      add(fmt::format("{}_{}", name, impl), std::move(text));
    }
  }
  static std::string_view type_of(std::string_view key) {
    if (key.starts_with("f64")) return "f64";
    if (key.starts_with("f32")) return "f32";
    if (key.starts_with("i8")) return "i8";
    if (key.starts_with("u16")) return "u16";
    if (key.ends_with("bool(e)")) return "bool";
    return key.starts_with("{") ? "{i64,i8}" : "i64";
  }
  static std::string_view value_of(std::string_view type) {
    if (type == "i64" || type.starts_with("vec")) return "i";
    return type == "f64" ? "f64(i) / 4.0" : "{i, f32(i), i8(e)}";
  }

  void lookups() {
    add_lookup("lookup", "e", "f64", "true", "merger[f64,+]", "if(e > t, merge(b, lookup(d, e)), b)",
               "let m = e > broadcast[$N](t); merge(b, $I lookup_lanes(d, e, m), m)");
    add_lookup("lookup_all", "e", "i64", "true", "appender[i64]", "merge(b, lookup(d, e))",
               "merge(b, $I lookup_lanes(d, e, broadcast[$N](true)))");
    add_lookup("lookup_of_absent_under_mask", "e", "i64", "e > 0L", "appender[i64]",
               "if(e > 0L & e > t, merge(b, lookup(d, e)), b)",
               "let m = e > broadcast[$N](0L) & e > broadcast[$N](t); merge(b, $I lookup_lanes(d, e, m), m)");
    add_lookup("lookup_fails", "e", "i64", "e < 70L", "merger[i64,+]", "if(e > t, merge(b, lookup(d, e)), b)",
               "let m = e > broadcast[$N](t); merge(b, $I lookup_lanes(d, e, m), m)");
    add_lookup("lookup_in_empty", "e", "i64", "e < e", "appender[i64]",
               "if(e > t, merge(b, lookup(d, e)), b)",
               "let m = e > broadcast[$N](t); merge(b, $I lookup_lanes(d, e, m), m)");
    add_lookup("division_fails_before_lookup", "e", "i64", "e < 70L", "merger[i64,+]",
               "merge(b, 100L / (e - 3L) + lookup(d, e))",
               "merge(b, broadcast[$N](100L) / (e - broadcast[$N](3L)) + "
               "$I lookup_lanes(d, e, broadcast[$N](true)))");
    for (const std::string_view value : {"i64", "f64", "{i64,f32,i8}"}) {
      const bool is_struct = value.starts_with("{");
      add_lookup(fmt::format("optlookup_{}", is_struct ? "struct" : value), "e", value, "e > 0L",
                 fmt::format("appender[{{bool,{}}}]", is_struct ? "f32" : value),
                 fmt::format("if(e > t, let r = optlookup(d, e); merge(b, {{r.$0, r.$1{}}}), b)",
                             is_struct ? ".$1" : ""),
                 fmt::format("let m = e > broadcast[$N](t); let r = $I optlookup_lanes(d, e, m); "
                             "merge(b, {{r.$0, r.$1{}}}, m)",
                             is_struct ? ".$1" : ""));
    }
    add_lookup("key_exists", "e", "i64", "e > 0L", "appender[i64]", "if(keyexists(d, e), merge(b, e), b)",
               "merge(b, e, $I optlookup_lanes(d, e, broadcast[$N](true)).$0)");
    add_lookup("key_of_group_exists", "e", "vec[i64]", "e > 0L", "appender[i64]",
               "if(keyexists(d, e + 1L), merge(b, e), b)",
               "let r = $I optlookup_lanes(d, e + broadcast[$N](1L), broadcast[$N](true)); "
               "merge(b, e, r.$0)");
    // -0 is 0, and NaN itself.
    for (const std::string_view kind : {"f64", "f32"}) {
      add_lookup(
          fmt::format("keys_{}", kind), fmt::format("{0}(e % 5L) / {0}(e % 3L)", kind), "i64", "e > 0L",
          "appender[{bool,i64}]",
          fmt::format("let r = optlookup(d, -{0}(e % 5L) / {0}(e % 3L)); merge(b, {{r.$0, r.$1}})", kind),
          fmt::format("let r = $I optlookup_lanes(d, -{0}(e % broadcast[$N](5L)) / "
                      "{0}(e % broadcast[$N](3L)), broadcast[$N](true)); merge(b, r)",
                      kind));
    }
    add_lookup("keys_i8", "i8(e)", "i64", "e > 0L", "appender[{bool,i64}]", "merge(b, optlookup(d, i8(e)))",
               "merge(b, $I optlookup_lanes(d, i8(e), broadcast[$N](true)))");
    add_lookup("keys_u16", "u16(e)", "i64", "e > 0L", "appender[{bool,i64}]",
               "merge(b, optlookup(d, u16(e)))",
               "merge(b, $I optlookup_lanes(d, u16(e), broadcast[$N](true)))");
    add_lookup("keys_struct", "{e, i8(e % 3L)}", "i64", "e > 0L", "appender[{bool,i64}]",
               "if(e > t, merge(b, optlookup(d, {e, i8(i % 3L)})), b)",
               "let m = e > broadcast[$N](t); "
               "merge(b, $I optlookup_lanes(d, {e, i8(i % broadcast[$N](3L))}, m), m)");
    // The value of one is the key of the next, looked for where there is one.
    add_lookup("lookups_of_lookups", "e", "i64", "e > 0L", "appender[i64]",
               "let r = optlookup(d, e); if(r.$0, let s = optlookup(d, r.$1); "
               "if(s.$0, merge(b, lookup(d, s.$1 * 0L + e)), b), b)",
               "let r = $I optlookup_lanes(d, e, broadcast[$N](true)); "
               "let s = $I optlookup_lanes(d, r.$1, r.$0); let m = r.$0 & s.$0; "
               "merge(b, $I lookup_lanes(d, s.$1 * broadcast[$N](0L) + e, m), m)");
  }

  void failures() {
    add_over_i64("division_fails", "appender[i64]", "appender[i64]", "if(e != 99L, merge(b, 100L / e), b)",
                 "let m = e != broadcast[$N](99L); merge(b, broadcast[$N](100L) / select(m, e, "
                 "broadcast[$N](1L)), m)");
    add_over_i64("second_fails_first", "{merger[i64,+], merger[i64,+]}", "{merger[i64,+], merger[i64,+]}",
                 "{merge(b.$0, 7L / (e + 3L)), merge(b.$1, lookup(v, e + 10L))}",
                 "{merge(b.$0, broadcast[$N](7L) / (e + broadcast[$N](3L))), "
                 "merge(b.$1, gather(v, e + broadcast[$N](10L), e == e))}");
    add_over_i64(
        "island_fails", "merger[i64,+]", "merger[i64,+]", "if(e > t, merge(b, lookup(v, e + 5L)), b)",
        "for_lanes(b, e, e > broadcast[$N](t), |c: merger[i64,+], p: i64| merge(c, lookup(v, p + 5L)))");
    add_over_i64("assert_fails", "merger[i64,+]", "merger[i64,+]", "if(assert(e < 70L), merge(b, e), b)",
                 "merge(b, e, map_lanes(e, e == e, |p: i64| assert(p < 70L)))");
    add_over_i64("vecmerger_fails", "vecmerger[i64,+](v)", "vecmerger[i64,+]", "merge(b, {e + 20L, 1L})",
                 "merge(b, {e + broadcast[$N](20L), broadcast[$N](1L)})");
  }

  std::vector<LaneProgram> programs_;
};

}  // namespace

const std::vector<LaneProgram>& lane_programs() {
  static const std::vector<LaneProgram> programs = Programs().all();
  return programs;
}

}  // namespace weld::codegen
