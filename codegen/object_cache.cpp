#include "codegen/object_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <atomic>
#include <filesystem>
#include <system_error>

#include "codegen/compile_module.h"

namespace weld::codegen {
namespace {

constexpr std::string_view kMagic = "weld object 1\n";

// The file's first bytes: magic, what made the object, and the checksum of what follows.
struct Header {
  std::string text;

  explicit Header(const std::string& object) {
    const XXH128_hash_t checksum = XXH3_128bits(object.data(), object.size());
    text = fmt::format("{}{}\n{:016x}{:016x} {}\n", kMagic, target_description(), checksum.high64,
                       checksum.low64, object.size());
  }
};

// A file that is closed with the object.
class File {
 public:
  File(const std::string& path, int flags, mode_t mode = 0)
      : fd_(open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool is_open() const { return fd_ >= 0; }

  bool is_own_regular_file() const {
    struct stat status{};
    return fstat(fd_, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid();
  }

  std::optional<std::string> read_all() const {
    std::string content;
    char buffer[1 << 16];
    while (true) {
      const ssize_t count = read(fd_, buffer, sizeof buffer);
      if (count < 0) return std::nullopt;
      if (count == 0) return content;
      content.append(buffer, static_cast<std::size_t>(count));
    }
  }

  bool write_all(const std::string& content) const {
    std::size_t written = 0;
    while (written < content.size()) {
      const ssize_t count = write(fd_, content.data() + written, content.size() - written);
      if (count <= 0) return false;
      written += static_cast<std::size_t>(count);
    }
    return true;
  }

 private:
  int fd_;
};

bool is_private_directory(const std::string& path) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return false;
  return status.st_uid == geteuid() && (status.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

}  // namespace

ObjectCache::ObjectCache(std::string directory) {
  if (directory.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(directory).parent_path(), ignored);
  mkdir(directory.c_str(), S_IRWXU);
  if (is_private_directory(directory)) directory_ = std::move(directory);
}

std::string ObjectCache::path_of(const Key& key) const {
  return fmt::format("{}/{:016x}{:016x}.weldo", directory_, key[0], key[1]);
}

std::optional<std::string> ObjectCache::load(const Key& key) const {
  if (directory_.empty()) return std::nullopt;
  const File file(path_of(key), O_RDONLY | O_NOFOLLOW);
  if (!file.is_open() || !file.is_own_regular_file()) return std::nullopt;
  const std::optional<std::string> content = file.read_all();
  if (!content) return std::nullopt;
  // The header has three lines.
  std::size_t end = 0;
  for (int line = 0; line < 3; ++line) {
    end = content->find('\n', end);
    if (end == std::string::npos) return std::nullopt;
    ++end;
  }
  std::string object = content->substr(end);
  if (content->substr(0, end) != Header(object).text) return std::nullopt;
  return object;
}

void ObjectCache::store(const Key& key, const std::string& object) const {
  if (directory_.empty()) return;
  const std::string path = path_of(key);
  static std::atomic<unsigned> num_stored = 0;
  const std::string temporary = fmt::format("{}.{}.{}", path, getpid(), num_stored++);
  bool complete = false;
  {
    const File file(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (!file.is_open()) return;
    complete = file.write_all(Header(object).text + object);
  }
  if (!complete || rename(temporary.c_str(), path.c_str()) != 0) unlink(temporary.c_str());
}

}  // namespace weld::codegen
