#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace weld::codegen {

/// Compiled objects on disk, shared by processes of one user.
///
/// Files     one an object, named by its key, with a header that names the version of this library, LLVM and
/// the
///           processor, and a checksum. Written under another name and renamed: never seen half-written. What
///           does not match is ignored, and replaced by the next store
/// Safety    the directory is made 0700; one that belongs to another user, or that others may write, is not
/// used Errors    none: a cache that cannot be used is empty, and stores nothing
class ObjectCache {
 public:
  using Key = std::array<std::uint64_t, 2>;

  /// `directory` is made where it is missing; empty: no cache.
  explicit ObjectCache(std::string directory);

  bool is_usable() const { return !directory_.empty(); }
  std::optional<std::string> load(const Key& key) const;
  void store(const Key& key, const std::string& object) const;

 private:
  std::string path_of(const Key& key) const;

  std::string directory_;  // empty when unusable
};

}  // namespace weld::codegen
