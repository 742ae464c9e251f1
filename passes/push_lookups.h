#pragma once

#include "ir/arena.h"

namespace weld::passes {

/// Makes elements of vectors that are only looked up where they are looked up:
///
///   let x = result(for(v, appender[f64], |b, i, e| merge(b, f64(e))));
///   … lookup(x, k) …
///
/// becomes
///
///   … let e = lookup(v, k); f64(e) …
///
/// where nothing but `lookup` and `len` uses x, and its elements are made of one element of one vector each,
/// cheaply, and can neither fail nor diverge. The vector itself stays until inline_lets drops it.
ir::Expr push_lookups(ir::Expr root, ir::Arena& arena);

}  // namespace weld::passes
