#include "bench/peers/peer_process.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

extern char** environ;

namespace weld::bench::peers {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

fs::path make_folder() {
  const fs::path memory = "/dev/shm";
  std::string name =
      ((fs::is_directory(memory) ? memory : fs::temp_directory_path()) / "weld-bench-XXXXXX").string();
  if (!mkdtemp(name.data())) throw PeerError(fmt::format("cannot make a folder {}", name));
  return name;
}

}  // namespace

PeerProcess::~PeerProcess() {
  if (socket_ >= 0) close(socket_);  // ends the process
  if (process_ > 0) waitpid(process_, nullptr, 0);
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::unique_ptr<PeerProcess> PeerProcess::start(const std::string& program, const std::string& script,
                                                const std::vector<std::string>& variables) {
  std::unique_ptr<PeerProcess> process(new PeerProcess);
  process->folder_ = make_folder();
  if (!process->spawn(program, script, variables)) return nullptr;
  try {
    process->ask({{"do", "hello"}});
  } catch (const PeerError&) {
    return nullptr;  // its libraries are missing
  }
  return process;
}

bool PeerProcess::spawn(std::string program, std::string script, const std::vector<std::string>& variables) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  socket_ = ends[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
  std::vector<std::string> environment = variables;  // first: they are found before our own
  for (char** variable = environ; *variable; ++variable) environment.emplace_back(*variable);
  std::vector<char*> pointers;
  for (std::string& variable : environment) pointers.push_back(variable.data());
  pointers.push_back(nullptr);
  char* arguments[] = {program.data(), script.data(), nullptr};
  const bool started =
      posix_spawnp(&process_, program.c_str(), &actions, nullptr, arguments, pointers.data()) == 0;
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (!started) process_ = 0;
  return started;
}

std::string PeerProcess::read_line() {
  while (true) {
    const std::size_t end = received_.find('\n');
    if (end != std::string::npos) {
      const std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    char bytes[4096];
    const ssize_t count = recv(socket_, bytes, sizeof bytes, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw PeerError("the process of a peer ended");
    received_.append(bytes, static_cast<std::size_t>(count));
  }
}

json PeerProcess::ask(const json& question) {
  const std::string line = question.dump() + '\n';
  std::size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t count = send(socket_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw PeerError("the process of a peer ended");
    sent += static_cast<std::size_t>(count);
  }
  json answer = json::parse(read_line());
  if (answer.contains("error")) throw PeerError(answer["error"].get<std::string>());
  return answer;
}

void write_file(const fs::path& path, const void* data, std::int64_t num_bytes) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(static_cast<const char*>(data), num_bytes);
  stream.close();
  if (!stream) throw PeerError(fmt::format("cannot write {}", path.string()));
}

std::vector<std::byte> read_file(const fs::path& path) {
  std::vector<std::byte> bytes(fs::file_size(path));
  std::ifstream stream(path, std::ios::binary);
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream) throw PeerError(fmt::format("cannot read {}", path.string()));
  return bytes;
}

}  // namespace weld::bench::peers
