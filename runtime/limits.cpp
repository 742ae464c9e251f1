#include "runtime/limits.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace weld::runtime {
namespace {

// The folders of this process's cgroup and of those around it, the innermost first. `controller` is "" for
// version 2.
std::vector<std::string> cgroup_folders(const std::string& controller) {
  std::vector<std::string> folders;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // id:controller,controller:path
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::istringstream names(line.substr(first + 1, second - first - 1));
    bool is_wanted = controller.empty() && second == first + 1;
    for (std::string name; std::getline(names, name, ',');) is_wanted |= name == controller;
    if (!is_wanted) continue;
    std::string root = "/sys/fs/cgroup";
    if (!controller.empty()) root += "/" + controller;
    // Inside a container the path may be that of the host: the root is looked at as well.
    for (std::string path = line.substr(second + 1); !path.empty() && path != "/";
         path.resize(path.find_last_of('/')))
      folders.push_back(root + path);
    folders.push_back(root);
  }
  return folders;
}

// The first number in a file; none if it says "max" or is not there.
std::optional<std::int64_t> read_number(const std::string& file) {
  std::ifstream stream(file);
  std::int64_t number;
  if (stream >> number && number >= 0) return number;
  return std::nullopt;
}

}  // namespace

std::int64_t default_memory_limit() {
  static const std::int64_t limit = [] {
    std::int64_t bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    for (const std::string& folder : cgroup_folders(""))
      bytes = std::min(bytes, read_number(folder + "/memory.max").value_or(bytes));
    for (const std::string& folder : cgroup_folders("memory"))
      bytes = std::min(bytes, read_number(folder + "/memory.limit_in_bytes").value_or(bytes));
    return bytes / 5 * 4;
  }();
  return limit;
}

int default_threads() {
  std::int64_t threads = std::max<std::int64_t>(sysconf(_SC_NPROCESSORS_ONLN), 1);
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) threads = CPU_COUNT(&allowed);
  const auto apply_quota = [&](std::int64_t quota, std::int64_t period) {
    if (quota > 0 && period > 0) threads = std::min(threads, (quota + period - 1) / period);
  };
  for (const std::string& folder : cgroup_folders("")) {
    std::ifstream file(folder + "/cpu.max");
    std::int64_t quota;
    std::int64_t period;
    if (file >> quota >> period) apply_quota(quota, period);
  }
  for (const std::string& folder : cgroup_folders("cpu"))
    apply_quota(read_number(folder + "/cpu.cfs_quota_us").value_or(0),
                read_number(folder + "/cpu.cfs_period_us").value_or(0));
  return static_cast<int>(std::max<std::int64_t>(threads, 1));
}

}  // namespace weld::runtime
