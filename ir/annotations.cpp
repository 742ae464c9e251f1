#include "ir/annotations.h"

#include <charconv>
#include <ranges>

namespace weld::ir {

const Annotation* find_annotation(Annotations annotations, std::string_view key) {
  for (const Annotation& annotation : annotations | std::views::reverse) {
    if (annotation.key == key) return &annotation;
  }
  return nullptr;
}

std::optional<bool> annotated_bool(Annotations annotations, std::string_view key) {
  if (annotated_word(annotations, key, "true")) return true;
  if (annotated_word(annotations, key, "false")) return false;
  return std::nullopt;
}

std::optional<std::int64_t> annotated_integer(Annotations annotations, std::string_view key) {
  const Annotation* annotation = find_annotation(annotations, key);
  if (!annotation || annotation->kind != Annotation::Kind::kNumber) return std::nullopt;
  std::int64_t number = 0;
  const char* end = annotation->value.data() + annotation->value.size();
  const auto [stop, error] = std::from_chars(annotation->value.data(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

bool annotated_word(Annotations annotations, std::string_view key, std::string_view word) {
  const Annotation* annotation = find_annotation(annotations, key);
  return annotation && annotation->kind == Annotation::Kind::kWord && annotation->value == word;
}

}  // namespace weld::ir
