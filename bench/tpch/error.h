#pragma once

#include <stdexcept>

namespace weld::bench::tpch {

/// The data, a file or a request for data is wrong, and the caller can mend it. The message is lower case,
/// without a full stop; for a line of a file it begins with `file:line: `.
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace weld::bench::tpch
