#include "codegen/outstanding_builders.h"

#include <cstring>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace weld::codegen {
namespace {

using runtime::LayoutKind;

// The memory that is a builder's own, by its first field: data of an appender or a vecmerger, the table of
// the others. Mergers have none, and a builder that holds nothing yet may have none.
void collect(const runtime::TypeLayout& layout, const std::byte* value, std::vector<void*>& found) {
  switch (layout.kind) {
    case LayoutKind::kStruct:
      for (const auto& member : layout.members) collect(*member.layout, value + member.offset, found);
      break;
    case LayoutKind::kAppender:
    case LayoutKind::kDictMerger:
    case LayoutKind::kGroupMerger:
    case LayoutKind::kVecMerger: {
      void* memory = nullptr;
      std::memcpy(&memory, value, sizeof memory);
      if (memory) found.push_back(memory);
      break;
    }
    default:
      break;
  }
}

std::vector<void*> builders_of(runtime::RootValue root) {
  std::vector<void*> found;
  collect(*root.layout, static_cast<const std::byte*>(root.value), found);
  return found;
}

struct Home {
  const runtime::Context* context;
  const void* owner;
};

struct Registry {
  std::mutex mutex;
  std::unordered_map<void*, Home> homes;  // by the builder's memory
};

Registry& registry() {
  static Registry& known = *new Registry;
  return known;
}

}  // namespace

void remember_builders(const runtime::Context& context, runtime::RootValue result, const void* owner) {
  Registry& known = registry();
  const std::lock_guard lock(known.mutex);
  for (void* builder : builders_of(result)) known.homes[builder] = {&context, owner};
}

bool take_builders(runtime::Context& context, runtime::RootValue arguments, runtime::OwnedBlocks& consumed) {
  Registry& known = registry();
  const std::vector<void*> builders = builders_of(arguments);
  {
    const std::lock_guard lock(known.mutex);
    std::vector<std::pair<void*, Home>> taken;
    for (void* builder : builders) {
      const auto found = known.homes.find(builder);
      if (found == known.homes.end() || found->second.context != &context) {
        known.homes.insert(taken.begin(), taken.end());
        return false;
      }
      taken.emplace_back(*found);
      known.homes.erase(found);
    }
  }
  runtime::BlockLink blocks;
  blocks.next = blocks.previous = &blocks;
  runtime::move_builder_blocks(arguments, blocks);
  consumed.take(context, blocks);
  return true;
}

void forget_builders(runtime::RootValue result, const void* owner) {
  Registry& known = registry();
  const std::lock_guard lock(known.mutex);
  for (void* builder : builders_of(result)) {
    const auto found = known.homes.find(builder);
    if (found != known.homes.end() && found->second.owner == owner) known.homes.erase(found);
  }
}

}  // namespace weld::codegen
