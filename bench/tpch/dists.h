#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weld::bench::tpch {

struct DistEntry {
  std::string token;
  int weight;
};

/// The word lists of the official data file, `data/dists.dss`, each in file order.
class Dists {
 public:
  /// The file as it was when this library was built.
  static const Dists& official();

  /// Throws DataError, with the line, when `text` breaks the format.
  explicit Dists(std::string_view text);

  /// Throws DataError when there is no such list.
  std::span<const DistEntry> list(std::string_view name) const;

 private:
  std::map<std::string, std::vector<DistEntry>, std::less<>> lists_;
};

}  // namespace weld::bench::tpch
