#include "bench/peers/python_peer.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

extern char** environ;

namespace weld::bench::peers {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// A folder in memory, where the system has one, for data between the processes.
fs::path make_folder() {
  const fs::path memory = "/dev/shm";
  std::string name =
      ((fs::is_directory(memory) ? memory : fs::temp_directory_path()) / "weld-bench-XXXXXX").string();
  if (!mkdtemp(name.data())) throw PythonError(fmt::format("cannot make a folder {}", name));
  return name;
}

void write_file(const fs::path& path, const void* data, std::int64_t num_bytes) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(static_cast<const char*>(data), num_bytes);
  stream.close();
  if (!stream) throw PythonError(fmt::format("cannot write {}", path.string()));
}

template <class T>
std::vector<T> read_file(const fs::path& path) {
  std::vector<T> values(fs::file_size(path) / sizeof(T));
  std::ifstream stream(path, std::ios::binary);
  stream.read(reinterpret_cast<char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(T)));
  if (!stream) throw PythonError(fmt::format("cannot read {}", path.string()));
  return values;
}

// The environment, in which each library that has threads of its own finds their number.
std::vector<std::string> environment(int threads) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable; ++variable) variables.emplace_back(*variable);
  for (const std::string_view name :
       {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS",
        "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS"}) {
    variables.push_back(fmt::format("{}={}", name, threads));
  }
  variables.emplace_back("PYTHONDONTWRITEBYTECODE=1");
  return variables;
}

}  // namespace

struct PythonPeer::State {
  pid_t process = 0;
  int socket = -1;
  fs::path folder;
  std::string received;  // and not yet used

  ~State() {
    if (socket >= 0) close(socket);  // ends the process
    if (process > 0) waitpid(process, nullptr, 0);
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }

  bool spawn(int threads) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
    socket = ends[0];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
    std::vector<std::string> variables = environment(threads);
    std::vector<char*> pointers;
    for (std::string& variable : variables) pointers.push_back(variable.data());
    pointers.push_back(nullptr);
    std::string python = WELD_PEERS_PYTHON;
    std::string script = WELD_PEERS_SCRIPT;
    char* arguments[] = {python.data(), script.data(), nullptr};
    const bool started =
        posix_spawnp(&process, python.c_str(), &actions, nullptr, arguments, pointers.data()) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (!started) process = 0;
    return started;
  }

  std::string read_line() {
    while (true) {
      const std::size_t end = received.find('\n');
      if (end != std::string::npos) {
        const std::string line = received.substr(0, end);
        received.erase(0, end + 1);
        return line;
      }
      char bytes[4096];
      const ssize_t count = recv(socket, bytes, sizeof bytes, 0);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) throw PythonError("the process of Python ended");
      received.append(bytes, static_cast<std::size_t>(count));
    }
  }

  json ask(const json& question) {
    const std::string line = question.dump() + '\n';
    std::size_t sent = 0;
    while (sent < line.size()) {
      const ssize_t count = send(socket, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) throw PythonError("the process of Python ended");
      sent += static_cast<std::size_t>(count);
    }
    json answer = json::parse(read_line());
    if (answer.contains("error")) throw PythonError(answer["error"].get<std::string>());
    return answer;
  }
};

PythonPeer::PythonPeer(std::unique_ptr<State> state) : state_(std::move(state)) {}
PythonPeer::~PythonPeer() = default;

std::unique_ptr<PythonPeer> PythonPeer::start(int threads) {
  auto state = std::make_unique<State>();
  state->folder = make_folder();
  if (!state->spawn(threads)) return nullptr;
  try {
    state->ask({{"do", "hello"}});
  } catch (const PythonError&) {
    return nullptr;  // no NumPy, or no Python
  }
  return std::unique_ptr<PythonPeer>(new PythonPeer(std::move(state)));
}

std::vector<std::string> PythonPeer::load(std::string_view workload, const workloads::Prepared& prepared) {
  json inputs = json::array();
  for (const workloads::PlainInput& input : prepared.inputs) {
    const fs::path file = state_->folder / input.name;
    write_file(file, input.data, input.num_bytes);
    inputs.push_back({{"name", input.name}, {"element", input.element}, {"file", file.string()}});
  }
  json parameters = json::object();
  for (const auto& [name, value] : prepared.parameters) parameters[name] = value;
  const json answer =
      state_->ask({{"do", "load"}, {"workload", workload}, {"inputs", inputs}, {"parameters", parameters}});
  return answer["systems"].get<std::vector<std::string>>();
}

double PythonPeer::run_ms(std::string_view system) {
  return state_->ask({{"do", "run"}, {"system", system}})["ms"].get<double>();
}

workloads::Outcome PythonPeer::result() {
  const json answer = state_->ask({{"do", "result"}, {"folder", state_->folder.string()}});
  workloads::Outcome outcome;
  outcome.keys = answer["keys"].get<std::vector<std::string>>();
  for (const json& file : answer["columns"]) {
    const fs::path path = file.get<std::string>();
    outcome.add(read_file<double>(path));
    fs::remove(path);
  }
  return outcome;
}

}  // namespace weld::bench::peers
