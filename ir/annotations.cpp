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

namespace {

template <typename T>
std::optional<T> parse_annotated(Annotations annotations, std::string_view key) {
  const Annotation* annotation = find_annotation(annotations, key);
  if (!annotation || annotation->kind != Annotation::Kind::kNumber) return std::nullopt;
  T number = 0;
  const char* end = annotation->value.data() + annotation->value.size();
  const auto [stop, error] = std::from_chars(annotation->value.data(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

}  // namespace

std::optional<std::int64_t> annotated_integer(Annotations annotations, std::string_view key) {
  return parse_annotated<std::int64_t>(annotations, key);
}

std::optional<double> annotated_number(Annotations annotations, std::string_view key) {
  return parse_annotated<double>(annotations, key);
}

bool annotated_word(Annotations annotations, std::string_view key, std::string_view word) {
  const Annotation* annotation = find_annotation(annotations, key);
  return annotation && annotation->kind == Annotation::Kind::kWord && annotation->value == word;
}

}  // namespace weld::ir
