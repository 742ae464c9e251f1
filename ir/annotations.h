#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace weld::ir {

/// `key:value` of `@(key:value, …)`. The texts are owned by the arena of the node that carries it.
struct Annotation {
  enum class Kind : std::uint8_t { kWord, kNumber, kString };

  std::string_view key;
  Kind kind = Kind::kWord;
  std::string_view value;  ///< as written; of a string the bytes, without quotes and escapes

  bool operator==(const Annotation&) const = default;
};

using Annotations = std::span<const Annotation>;

/// The annotation with that key, the last one where several are; null when there is none.
const Annotation* find_annotation(Annotations annotations, std::string_view key);

/// `key:true` or `key:false`; nothing when absent or another value.
std::optional<bool> annotated_bool(Annotations annotations, std::string_view key);

/// `key:n` with an integer n that fits; nothing when absent or another value.
std::optional<std::int64_t> annotated_integer(Annotations annotations, std::string_view key);

/// `key:x` with a number x; nothing when absent or another value.
std::optional<double> annotated_number(Annotations annotations, std::string_view key);

/// True for `key:word`.
bool annotated_word(Annotations annotations, std::string_view key, std::string_view word);

}  // namespace weld::ir
