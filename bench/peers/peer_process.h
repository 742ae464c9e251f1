#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace weld::bench::peers {

class PeerError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A process that answers questions: a line of JSON each, both ways, through a socket that is its standard
/// input. It ends with its owner. Functions throw PeerError.
class PeerProcess {
 public:
  /// Starts `program` with a script and with variables of the environment besides our own. Null where the
  /// program is missing, or does not answer the question `hello`.
  static std::unique_ptr<PeerProcess> start(const std::string& program, const std::string& script,
                                            const std::vector<std::string>& variables);
  PeerProcess(const PeerProcess&) = delete;
  ~PeerProcess();

  /// The answer to a question; PeerError with its text when it is an error.
  nlohmann::json ask(const nlohmann::json& question);

  /// A folder for data between the two processes, in memory where the system has one; removed in the end.
  const std::filesystem::path& folder() const { return folder_; }

 private:
  PeerProcess() = default;
  bool spawn(std::string program, std::string script, const std::vector<std::string>& variables);
  std::string read_line();

  pid_t process_ = 0;
  int socket_ = -1;
  std::filesystem::path folder_;
  std::string received_;  // and not yet used
};

/// Writes a whole file. Throws PeerError.
void write_file(const std::filesystem::path& path, const void* data, std::int64_t num_bytes);
/// The bytes of a whole file. Throws PeerError.
std::vector<std::byte> read_file(const std::filesystem::path& path);

}  // namespace weld::bench::peers
