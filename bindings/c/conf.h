#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "codegen/engine.h"

namespace weld::bindings {

/// Keys and values as they were set.
using Conf = std::map<std::string, std::string, std::less<>>;

/// What a conf says, with defaults for what it does not.
struct Settings {
  codegen::CompileOptions compile;
  std::int64_t memory_limit_bytes = 0;  ///< 0: the runtime's default
  int num_threads = 1;
  std::int64_t deadline_ms = 0;  ///< of a run; 0: none
  bool adaptive = true;
  runtime::VecMergerForced vecmerger{};
  runtime::DictForced dictmerger{};
  std::vector<std::string> warnings;  ///< keys, values and passes that are accepted and do nothing
};

/// Checks all keys and values (LANGUAGE.md §2), those of the original's versions included. Throws UserError
/// (ConfigurationError), with one diagnostic for each bad key or value, which names the key and what it
/// accepts.
Settings parse_conf(const Conf& conf);

}  // namespace weld::bindings
