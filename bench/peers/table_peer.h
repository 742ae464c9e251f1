#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/peers/peer_process.h"
#include "bench/peers/plain_table.h"

namespace weld::bench::peers {

/// A process in which a library of tables runs the cases of bench/micro on copies of the tables. Functions
/// throw PeerError.
class TablePeer {
 public:
  /// pandas and NumPy, which use one thread; null where they are missing.
  static std::unique_ptr<TablePeer> start_pandas();
  /// Polars with that many threads, in Node; null where either is missing (install.sh).
  static std::unique_ptr<TablePeer> start_polars(int threads);

  /// Hands the tables of a case over, in the place of the last one's. Whether the library can do it.
  bool load(std::string_view operation, std::span<const PlainTable> tables);

  /// Drops the tables.
  void forget();

  /// Runs the loaded case once; the time that the library took, in milliseconds.
  double run_ms();

  /// What the last run computed, reduced to what is compared.
  std::vector<ResultColumn> result();

 private:
  explicit TablePeer(std::unique_ptr<PeerProcess> process);
  std::unique_ptr<PeerProcess> process_;
};

}  // namespace weld::bench::peers
