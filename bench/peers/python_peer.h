#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/peers/peer_process.h"
#include "bench/workloads/workload.h"

namespace weld::bench::peers {

/// Starts Debian's Python with that many threads for every library in it; null where it has no NumPy.
std::unique_ptr<PeerProcess> start_python(int threads);

/// A Python process that runs workloads with NumPy, pandas, SciPy, Numba and NumExpr, as far as they are
/// installed. It has copies of the inputs in memory of its own. Functions throw PeerError.
class PythonPeer {
 public:
  /// Null where there is no Python with NumPy.
  static std::unique_ptr<PythonPeer> start(int threads);

  /// Hands the inputs of a workload over, in the place of the last one's. The systems that can do it, by
  /// name.
  std::vector<std::string> load(std::string_view workload, const workloads::Prepared& prepared);

  /// Runs the loaded workload once; the time that the system took, in milliseconds.
  double run_ms(std::string_view system);

  /// What the last run computed.
  workloads::Outcome result();

 private:
  explicit PythonPeer(std::unique_ptr<PeerProcess> process);
  std::unique_ptr<PeerProcess> process_;
};

}  // namespace weld::bench::peers
