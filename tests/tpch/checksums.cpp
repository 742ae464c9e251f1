#include "tests/tpch/checksums.h"

#include <fmt/format.h>

#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace weld::bench::tpch {

std::vector<Checksum> read_checksums() {
  std::ifstream file(WELD_SOURCE_DIR "/bench/tpch/data/checksums.csv");
  std::vector<Checksum> checksums;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#') || line.starts_with("scale")) continue;
    std::istringstream fields(line);
    std::array<std::string, 7> field;
    for (std::string& text : field) std::getline(fields, text, ',');
    Checksum& checksum = checksums.emplace_back();
    checksum.scale_factor = std::stod(field[0]);
    checksum.table = table_named(field[1]);
    checksum.whole = field[2].empty();
    if (!checksum.whole) {
      const std::int64_t first = std::stoll(field[2]) - 1;
      checksum.units = {first, std::stoll(field[3]) - first};
    }
    checksum.num_rows = std::stoll(field[4]);
    checksum.num_bytes = std::stoll(field[5]);
    checksum.md5 = field[6];
  }
  if (checksums.empty()) throw std::runtime_error("no checksums were read");
  return checksums;
}

Md5::Md5() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
  if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_md5(), nullptr) != 1) {
    throw std::runtime_error("libcrypto has no MD5");
  }
}

void Md5::add(std::string_view bytes) {
  EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
}

std::string Md5::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned num_bytes = 0;
  EVP_DigestFinal_ex(context_.get(), digest.data(), &num_bytes);
  std::string text;
  for (unsigned i = 0; i < num_bytes; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace weld::bench::tpch
