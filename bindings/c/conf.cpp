#include "bindings/c/conf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>

#include "runtime/limits.h"

namespace weld::bindings {
namespace {

using Names = std::vector<std::string>;

// What a program's stages are dumped to.
struct DumpSettings {
  bool enabled = false;
  std::string folder = ".";
  std::string file_name;
  Names stages{"weld", "weldopt", "llvm", "llvmopt", "assembly"};
};

struct Target {
  Settings& settings;
  DumpSettings& dump;
};

std::optional<bool> parse_bool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::optional<std::int64_t> parse_integer(std::string_view text, std::int64_t least, std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || value < least || value > most) return std::nullopt;
  return value;
}

// Comma-separated, blanks ignored; empty text is an empty list.
Names parse_names(std::string_view text) {
  Names names(1);
  for (char c : text) {
    if (c == ',') {
      names.emplace_back();
    } else if (c != ' ') {
      names.back().push_back(c);
    }
  }
  if (names.size() == 1 && names.front().empty()) names.clear();
  return names;
}

// False when the value is none that the key accepts.
using Apply = bool (*)(std::string_view value, Target target);

template <bool Settings::* Field>
bool set_bool(std::string_view value, Target target) {
  const auto parsed = parse_bool(value);
  if (parsed) target.settings.*Field = *parsed;
  return parsed.has_value();
}

template <bool codegen::CompileOptions::* Field>
bool set_compile_bool(std::string_view value, Target target) {
  const auto parsed = parse_bool(value);
  if (parsed) target.settings.compile.*Field = *parsed;
  return parsed.has_value();
}

// The values are those of the annotation `impl`.
bool set_probes(std::string_view value, Target target) {
  using codegen::ProbeStyle;
  if (value != "" && value != "plain" && value != "staged") return false;
  target.settings.compile.probes = value == "plain"    ? ProbeStyle::kPlain
                                   : value == "staged" ? ProbeStyle::kStaged
                                                       : ProbeStyle::kChosen;
  return true;
}

bool set_groups(std::string_view value, Target target) {
  using runtime::GroupImpl;
  if (value != "" && value != "local" && value != "global" && value != "partitioned") return false;
  target.settings.compile.groups = value == "local"         ? GroupImpl::kLocal
                                   : value == "global"      ? GroupImpl::kGlobal
                                   : value == "partitioned" ? GroupImpl::kPartitioned
                                                            : GroupImpl::kChosen;
  return true;
}

bool set_memory_limit(std::string_view value, Target target) {
  const auto parsed = parse_integer(value, 1, INT64_MAX);
  if (parsed) target.settings.memory_limit_bytes = *parsed;
  return parsed.has_value();
}

bool set_threads(std::string_view value, Target target) {
  const auto parsed = parse_integer(value, 1, 1024);
  if (parsed) target.settings.num_threads = target.settings.compile.num_threads = static_cast<int>(*parsed);
  return parsed.has_value();
}

bool set_deadline(std::string_view value, Target target) {
  const auto parsed = parse_integer(value, 0, INT64_MAX / 2'000'000);
  if (parsed) target.settings.deadline_ms = *parsed;
  return parsed.has_value();
}

bool set_dictmerger(std::string_view value, Target target) {
  using enum runtime::DictForced;
  constexpr std::array<std::pair<std::string_view, runtime::DictForced>, 5> kValues{
      {{"", kNone}, {"dense", kNone}, {"global", kGlobal}, {"local", kLocal}, {"partitioned", kPartitioned}}};
  const auto* found = std::ranges::find(kValues, value, [](const auto& pair) { return pair.first; });
  if (found != kValues.end()) target.settings.dictmerger = found->second;
  target.settings.compile.dense_dictmergers = value == "dense";
  return found != kValues.end();
}
bool set_vecmerger(std::string_view value, Target target) {
  using enum runtime::VecMergerForced;
  constexpr std::array<std::pair<std::string_view, runtime::VecMergerForced>, 5> kValues{
      {{"", kNone},
       {"global", kGlobal},
       {"local", kLocal},
       {"partitioned", kPartitioned},
       {"dense", kDirect}}};
  const auto* found = std::ranges::find(kValues, value, [](const auto& pair) { return pair.first; });
  if (found != kValues.end()) target.settings.vecmerger = found->second;
  return found != kValues.end();
}

bool set_level(std::string_view value, Target target) {
  const auto parsed = parse_integer(value, 0, 3);
  if (parsed) target.settings.compile.optimization_level = static_cast<int>(*parsed);
  return parsed.has_value();
}

bool set_simd_width(std::string_view value, Target target) {
  if (value == "auto") return true;
  const auto parsed = parse_integer(value, 1, 512);
  if (!parsed || (*parsed != 1 && (*parsed < 128 || (*parsed & (*parsed - 1)) != 0))) return false;
  target.settings.compile.simd_width_bits = static_cast<int>(*parsed);
  return true;
}

bool set_cache_dir(std::string_view value, Target target) {
  target.settings.compile.cache_dir = value;
  return true;
}

bool set_cache_size(std::string_view value, Target target) {
  const auto bytes = parse_integer(value, 0, INT64_MAX);
  if (bytes) target.settings.compile.cache_bytes = *bytes;
  return bytes.has_value();
}

bool set_passes(std::string_view value, Target target) {
  target.settings.compile.pipeline.passes = parse_names(value);
  return true;
}

bool check_bool(std::string_view value, Target) {
  return parse_bool(value).has_value();
}

bool check_any(std::string_view, Target) {
  return true;
}

bool set_dump(std::string_view value, Target target) {
  const auto parsed = parse_bool(value);
  if (parsed) target.dump.enabled = *parsed;
  return parsed.has_value();
}

bool set_dump_folder(std::string_view value, Target target) {
  target.dump.folder = value;
  return !value.empty();
}

bool set_dump_name(std::string_view value, Target target) {
  target.dump.file_name = value;
  return !value.empty() && value.find('/') == std::string_view::npos;
}

bool set_dump_stages(std::string_view value, Target target) {
  constexpr std::array<std::string_view, 6> kStages{"weld", "weldopt", "llvm", "llvmopt", "assembly", "sir"};
  Names stages = parse_names(value);
  for (std::string& stage : stages) {
    std::ranges::transform(stage, stage.begin(), [](unsigned char c) { return std::tolower(c); });
    if (std::ranges::count(kStages, stage) == 0) return false;
    if (stage == "sir") target.settings.warnings.push_back("weld.compile.dumpCodeFormats: there is no sir");
  }
  target.dump.stages = std::move(stages);
  return true;
}

enum class Life : std::uint8_t { kActive, kRetired };

struct Key {
  std::string_view name;
  std::string_view accepts;
  Apply apply;
  Life life = Life::kActive;  ///< retired: of the original's, accepted with a warning
};

constexpr std::string_view kBool = "true or false";
constexpr std::array kKeys{
    Key{"weld.adaptive", kBool, set_bool<&Settings::adaptive>},
    Key{"weld.cache.dir", "a folder for compiled programs, or nothing for none", set_cache_dir},
    Key{"weld.cache.size", "a number of bytes", set_cache_size},
    Key{"weld.compile.dumpCode", kBool, set_dump},
    Key{"weld.compile.dumpCodeDir", "a folder", set_dump_folder},
    Key{"weld.compile.dumpCodeFilename", "a file name without a folder", set_dump_name},
    Key{"weld.compile.dumpCodeFormats", "a comma-separated list of weld, weldopt, llvm, llvmopt, assembly",
        set_dump_stages},
    Key{"weld.compile.enableBoundsChecks", kBool, check_bool},
    Key{"weld.compile.multithreadSupport", kBool, check_bool, Life::kRetired},
    Key{"weld.compile.traceExecution", kBool, check_bool, Life::kRetired},
    Key{"weld.deadline.ms", "a number of milliseconds, 0 for no deadline", set_deadline},
    Key{"weld.deterministic", kBool, set_compile_bool<&codegen::CompileOptions::deterministic>},
    Key{"weld.fma", kBool, set_compile_bool<&codegen::CompileOptions::allow_fma>},
    Key{"weld.impl.dictmerger", "local, global, partitioned, dense, or nothing to choose", set_dictmerger},
    Key{"weld.impl.groupmerger", "local, global, partitioned, or nothing to choose", set_groups},
    Key{"weld.impl.lookup", "plain, staged, or nothing to choose", set_probes},
    Key{"weld.impl.vecmerger", "local, global, partitioned, dense, or nothing to choose", set_vecmerger},
    Key{"weld.interpret", kBool, set_compile_bool<&codegen::CompileOptions::interpret>},
    Key{"weld.llvm.optimization.funcOpts", kBool, check_bool, Life::kRetired},
    Key{"weld.llvm.optimization.level", "0, 1, 2 or 3", set_level},
    Key{"weld.llvm.optimization.moduleOpts", kBool, check_bool, Life::kRetired},
    Key{"weld.llvm.optimization.targetPasses", kBool, check_bool, Life::kRetired},
    Key{"weld.llvm.optimization.unroller", kBool, check_bool, Life::kRetired},
    Key{"weld.llvm.optimization.vectorizer", kBool, check_bool, Life::kRetired},
    Key{"weld.llvm.runFunctionName", "a name", check_any, Life::kRetired},
    Key{"weld.memory.limit", "a number of bytes, at least 1", set_memory_limit},
    Key{"weld.optimization.applyExperimentalTransforms", kBool, check_bool, Life::kRetired},
    Key{"weld.optimization.passes", "a comma-separated list of passes", set_passes},
    Key{"weld.optimization.sirOptimization", kBool, check_bool, Life::kRetired},
    Key{"weld.simd.width", "auto, 1 (no SIMD), 128, 256 or 512", set_simd_width},
    Key{"weld.threads", "a number from 1 to 1024", set_threads},
};

std::string unique_file_name() {
  static std::atomic<std::uint32_t> count{0};
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return fmt::format("code_{}_{}", std::chrono::duration_cast<std::chrono::milliseconds>(now).count(),
                     count.fetch_add(1));
}

std::string_view extension_of(std::string_view stage) {
  if (stage == "llvm") return "ll";
  if (stage == "llvmopt") return "opt.ll";
  if (stage == "assembly") return "S";
  return stage;
}

// A folder that cannot be written to is an error: whoever asks for dumps wants them.
void write_dump(const DumpSettings& settings, const codegen::Dump& dump) {
  if (std::ranges::count(settings.stages, dump.stage) == 0) return;
  const std::string path =
      fmt::format("{}/{}.{}", settings.folder, settings.file_name, extension_of(dump.stage));
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "w"), std::fclose);
  if (!file || std::fwrite(dump.text.data(), 1, dump.text.size(), file.get()) != dump.text.size()) {
    throw ir::UserError(fmt::format("weld.compile.dumpCodeDir: cannot write {}", path), {},
                        ErrorCode::kConfigurationError);
  }
}

}  // namespace

Settings parse_conf(const Conf& conf) {
  Settings settings;
  settings.num_threads = runtime::default_threads();
  DumpSettings dump;
  std::vector<ir::Diagnostic> problems;
  const auto reject = [&](std::string message) {
    problems.push_back({ErrorCode::kConfigurationError, std::move(message), {}});
  };
  for (const auto& [name, value] : conf) {
    const auto key = std::ranges::find(kKeys, name, &Key::name);
    if (key == kKeys.end()) {
      reject(fmt::format("{} is no key of a conf", name));
    } else if (!key->apply(value, {settings, dump})) {
      reject(fmt::format("{} accepts {}, not \"{}\"", name, key->accepts, value));
    } else if (key->life == Life::kRetired) {
      settings.warnings.push_back(fmt::format("{} is accepted, but does nothing", name));
    }
  }
  try {
    passes::resolve(settings.compile.pipeline, &settings.warnings);
  } catch (const ir::UserError& error) {
    reject(fmt::format("weld.optimization.passes: {}", error.diagnostics().front().message));
  }
  if (!problems.empty()) throw ir::UserError(std::move(problems));
  if (dump.enabled) {
    if (dump.file_name.empty()) dump.file_name = unique_file_name();
    settings.compile.dump = [dump](const codegen::Dump& stage) { write_dump(dump, stage); };
  }
  return settings;
}

}  // namespace weld::bindings
