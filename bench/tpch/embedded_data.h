#pragma once

#include <string_view>

/// The data files under `data/`, as they were when this library was built.
namespace weld::bench::tpch::embedded {

extern const std::string_view kDists;
extern const std::string_view kFinerValues;
extern const std::string_view kAnswer1;
extern const std::string_view kAnswer3;
extern const std::string_view kAnswer6;
extern const std::string_view kAnswer12;

}  // namespace weld::bench::tpch::embedded
