#include "bench/peers/python_peer.h"

#include <cstring>
#include <nlohmann/json.hpp>

namespace weld::bench::peers {

using nlohmann::json;
namespace fs = std::filesystem;

std::unique_ptr<PeerProcess> start_python(int threads) {
  std::vector<std::string> variables = {"PYTHONDONTWRITEBYTECODE=1"};
  for (const std::string name :
       {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS",
        "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS"}) {
    variables.push_back(name + "=" + std::to_string(threads));
  }
  return PeerProcess::start(WELD_PEERS_PYTHON, WELD_PEERS_PYTHON_SCRIPT, variables);
}

PythonPeer::PythonPeer(std::unique_ptr<PeerProcess> process) : process_(std::move(process)) {}

std::unique_ptr<PythonPeer> PythonPeer::start(int threads) {
  std::unique_ptr<PeerProcess> process = start_python(threads);
  return process ? std::unique_ptr<PythonPeer>(new PythonPeer(std::move(process))) : nullptr;
}

std::vector<std::string> PythonPeer::load(std::string_view workload, const workloads::Prepared& prepared) {
  json inputs = json::array();
  for (const workloads::PlainInput& input : prepared.inputs) {
    const fs::path file = process_->folder() / input.name;
    write_file(file, input.data, input.num_bytes);
    inputs.push_back({{"name", input.name}, {"element", input.element}, {"file", file.string()}});
  }
  json parameters = json::object();
  for (const auto& [name, value] : prepared.parameters) parameters[name] = value;
  const json answer =
      process_->ask({{"do", "load"}, {"workload", workload}, {"inputs", inputs}, {"parameters", parameters}});
  return answer["systems"].get<std::vector<std::string>>();
}

double PythonPeer::run_ms(std::string_view system) {
  return process_->ask({{"do", "run"}, {"system", system}})["ms"].get<double>();
}

workloads::Outcome PythonPeer::result() {
  const json answer = process_->ask({{"do", "result"}, {"folder", process_->folder().string()}});
  workloads::Outcome outcome;
  outcome.keys = answer["keys"].get<std::vector<std::string>>();
  for (const json& file : answer["columns"]) {
    const fs::path path = file.get<std::string>();
    const std::vector<std::byte> bytes = read_file(path);
    std::vector<double> values(bytes.size() / sizeof(double));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    outcome.add(std::move(values));
    fs::remove(path);
  }
  return outcome;
}

}  // namespace weld::bench::peers
