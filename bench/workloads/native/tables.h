#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "bench/workloads/native/strings.h"

namespace weld::bench::workloads::native {

// The table workloads by hand, in the manner of native.h.

/// Names and the sums of their values, in any order.
struct NameSums {
  std::vector<String> names;
  std::vector<std::int64_t> sums;
};
struct NamedValues {
  const String* names;
  const std::int64_t* values;
  std::int64_t length;
};
void births_by_name(const NamedValues& data, NameSums& result, int threads);

/// Births of the names that begin with `start`, or of all where `names` is null, by year and sex.
struct BirthRows {
  const String* names;
  std::string_view start;
  const std::int64_t* years;
  const std::int8_t* sexes;  ///< 0 or 1
  const std::int64_t* births;
  std::int64_t length;
  std::int64_t first_year;
  std::int64_t num_years;
  std::int64_t* sums;  ///< 2 for each year
};
void pivot_births(const BirthRows& rows, int threads);

/// Sums and numbers of ratings by movie and the gender of the user. Ids are below the numbers given; that of
/// a row of `users` or `movies` stands at the row's place.
struct Ratings {
  std::int64_t length;
  const std::int32_t* users;
  const std::int32_t* movies;
  const double* ratings;
  std::int64_t num_users;
  const std::int32_t* user_ids;
  const std::int8_t* genders;  ///< 0 or 1
  std::int64_t num_movies;
  const std::int32_t* movie_ids;
  double* sums;          ///< 2 for each row of movies
  std::int64_t* counts;  ///< likewise
};
void mean_ratings(const Ratings& data, int threads);

/// The distinct results of cutting strings to 5 bytes and replacing `00000` and `NO CL` by `nan`.
void clean_zip_codes(const String* codes, std::int64_t length, std::vector<String>& result, int threads);

/// Sums by state of an index of the cities of more than 500,000 inhabitants.
struct Cities {
  std::int64_t length;
  const double* inhabitants;
  const double* adults;
  const double* robberies;
  const std::int8_t* states;  ///< below kStates
  double* sums;               ///< for each state
  std::int64_t* counts;       ///< likewise, of cities
};
inline constexpr std::int64_t kStates = 50;
void crime_index(const Cities& cities, int threads);

}  // namespace weld::bench::workloads::native
