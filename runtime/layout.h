#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <unordered_map>
#include <vector>

#include "ir/types.h"

namespace weld::runtime {

enum class LayoutKind : std::uint8_t {
  kScalar,
  kSimd,
  kVec,
  kDict,
  kStruct,
  kAppender,
  kMerger,
  kDictMerger,
  kGroupMerger,
  kVecMerger,
};

/// How the values of a type lie in memory: C layouts, as in abi.h. Dictionaries, dictmergers and groupmergers
/// are one pointer; a merger is its value; a vecmerger is a VecView; bool is one byte; the empty struct has 0
/// bytes.
struct TypeLayout {
  struct Member {
    std::int64_t offset;
    const TypeLayout* layout;
  };

  LayoutKind kind;
  ir::ScalarKind scalar = ir::ScalarKind::kI8;  ///< kScalar, kSimd
  bool contains_pointer = false;                ///< a value refers to memory: vec, dict or builder but merger
  bool contains_builder = false;
  std::int64_t size_bytes = 0;  ///< a multiple of the alignment
  std::int64_t align_bytes = 1;
  std::vector<Member> members = {};  ///< kStruct; kMerger: its value as one member
  const TypeLayout* element =
      nullptr;  ///< kVec, kAppender, kVecMerger: the element. kDict, kDictMerger,
                ///< kGroupMerger: an entry, the struct {K, V} ({K, vec[V]} for groups)
  const TypeLayout* group_value = nullptr;  ///< kGroupMerger: V
  std::int64_t min_serialized_bytes = 0;    ///< of the shortest value; 0 for builders
  std::uint32_t num_dicts = 0;              ///< dictionary types in here, this one included
};

/// Makes and owns layouts, one for each type. Not to be filled by two threads at a time; a layout does not
/// change.
class Layouts {
 public:
  Layouts() = default;
  Layouts(const Layouts&) = delete;
  Layouts& operator=(const Layouts&) = delete;

  /// The layout of a type (no function type, which throws InternalError). Lives as long as this object.
  const TypeLayout& of(ir::Type type);

 private:
  const TypeLayout& structure(std::span<const TypeLayout* const> members);
  const TypeLayout& vector_of(const TypeLayout& element);
  TypeLayout& add(TypeLayout layout) { return layouts_.emplace_back(std::move(layout)); }
  TypeLayout make(ir::Type type);

  std::deque<TypeLayout> layouts_;
  std::unordered_multimap<std::uint64_t, std::pair<ir::Type, const TypeLayout*>> by_hash_;
};

}  // namespace weld::runtime
