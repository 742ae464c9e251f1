#pragma once

#include <string>
#include <vector>

namespace weld::codegen {

/// A program whose loop has a lanes function, `$N` standing for the number of lanes. Its first parameter is a
/// threshold, `t: i64`.
struct LaneProgram {
  std::string name;
  std::string text;
};

const std::vector<LaneProgram>& lane_programs();

}  // namespace weld::codegen
