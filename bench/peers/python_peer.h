#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bench/workloads/workload.h"

namespace weld::bench::peers {

class PythonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A Python process that runs workloads with NumPy, pandas, SciPy, Numba and NumExpr, as far as they are
/// installed. It has copies of the inputs in memory of its own. Functions throw PythonError.
class PythonPeer {
 public:
  /// Starts the process with that many threads for every library in it; null where there is no Python with
  /// NumPy.
  static std::unique_ptr<PythonPeer> start(int threads);
  PythonPeer(const PythonPeer&) = delete;
  ~PythonPeer();

  /// Hands the inputs of a workload over, in the place of the last one's. The systems that can do it, by
  /// name.
  std::vector<std::string> load(std::string_view workload, const workloads::Prepared& prepared);

  /// Runs the loaded workload once; the time that the system took, in milliseconds.
  double run_ms(std::string_view system);

  /// What the last run computed.
  workloads::Outcome result();

 private:
  struct State;
  explicit PythonPeer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace weld::bench::peers
