#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/tpch/make_rows.h"
#include "bench/tpch/schema.h"

namespace weld::bench::tpch {

/// A line of `bench/tpch/data/checksums.csv`: what the official generator made.
struct Checksum {
  double scale_factor;
  TableId table;
  bool whole;
  UnitRange units;  ///< of a part of a table
  std::int64_t num_rows;
  std::int64_t num_bytes;
  std::string md5;
};

std::vector<Checksum> read_checksums();

/// The MD5 of bytes that come in pieces.
class Md5 {
 public:
  Md5();
  void add(std::string_view bytes);
  std::string hex();

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace weld::bench::tpch
