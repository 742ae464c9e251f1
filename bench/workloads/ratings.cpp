#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "bench/workloads/native/tables.h"
#include "bench/workloads/strings.h"
#include "bench/workloads/tables.h"
#include "bench/workloads/workloads.h"
#include "runtime/abi.h"

namespace weld::bench::workloads {
namespace {

struct Tables {
  // ratings
  Column<std::int32_t> users;
  Column<std::int32_t> movies;
  Column<double> ratings;
  // users
  Column<std::int32_t> user_ids;
  Column<std::int8_t> genders;
  // movies
  Column<std::int32_t> movie_ids;
  StringColumn titles;
  // what was computed by hand
  Column<double> sums;
  Column<std::int64_t> counts;
};

// The ids 1, 2, … in any order.
Column<std::int32_t> shuffled_ids(std::int64_t length, std::uint64_t seed) {
  Column<std::int32_t> ids(length);
  std::iota(ids.begin(), ids.end(), 1);
  const RandomStream random(seed);
  for (std::int64_t i = length - 1; i > 0; --i) std::swap(ids[i], ids[random.below(i, i + 1)]);
  return ids;
}

std::shared_ptr<Tables> make_tables(std::int64_t num_ratings) {
  const std::int64_t num_users = std::max<std::int64_t>(10, num_ratings / 145);
  const std::int64_t num_movies =
      std::max<std::int64_t>(10, std::min<std::int64_t>(27'000, num_ratings / 250));
  const RandomStream user(91);
  const RandomStream movie(92);
  const RandomStream stars(93);
  const RandomStream gender(94);
  auto tables = std::make_shared<Tables>();
  // A few users and movies are in no table.
  tables->users =
      make_column<std::int32_t>(num_ratings, [&](auto i) { return 1 + user.below(i, num_users + 2); });
  tables->movies = make_column<std::int32_t>(num_ratings, [&](auto i) {
    const double u = movie.unit(i);
    return 1 + static_cast<std::int64_t>(u * u * static_cast<double>(num_movies + 1));
  });
  tables->ratings = make_column<double>(num_ratings, [&](auto i) { return 0.5 * (1 + stars.below(i, 10)); });
  tables->user_ids = shuffled_ids(num_users, 95);
  tables->genders = make_column<std::int8_t>(num_users, [&](auto i) { return gender.below(i, 2); });
  tables->movie_ids = shuffled_ids(num_movies, 96);
  std::string title;
  tables->titles = make_strings(num_movies, [&](std::int64_t i) -> std::string_view {
    title = fmt::format("Film {} ({})", tables->movie_ids[i], 1920 + i % 100);
    return title;
  });
  tables->sums = Column<double>(2 * num_movies);
  tables->counts = Column<std::int64_t>(2 * num_movies);
  return tables;
}

// ratings.merge(users).merge(movies).groupby([title, gender]).rating.mean(), as sums and counts.
ir::Fragment mean_ratings(const Tables& tables) {
  const Array no_row = std::int64_t{-1};
  const Array user_rows =
      rows_in_index(index_of(input_array(tables.user_ids, "user_ids")), input_array(tables.users, "users"));
  const Array has_user = user_rows > no_row;
  const Array movies = compress(input_array(tables.movies, "movies"), has_user);
  const Array ratings = compress(input_array(tables.ratings, "ratings"), has_user);
  const Array genders = take(input_array(tables.genders, "genders"), compress(user_rows, has_user));

  const Array movie_rows = rows_in_index(index_of(input_array(tables.movie_ids, "movie_ids")), movies);
  const Array has_movie = movie_rows > no_row;
  const Array titles = take(input_strings(tables.titles, "titles"), compress(movie_rows, has_movie));
  return entries(group_sum_and_count({titles, compress(genders, has_movie)}, compress(ratings, has_movie)))
      .fragment();
}

Prepared prepare(std::int64_t num_ratings) {
  struct Entry {
    native::String title;
    std::int8_t gender;
    double sum;
    std::int64_t count;
  };
  const auto tables = make_tables(num_ratings);
  Prepared prepared;
  prepared.num_rows = num_ratings;
  prepared.num_bytes = tables->users.num_bytes() + tables->movies.num_bytes() + tables->ratings.num_bytes();
  prepared.program = mean_ratings(*tables);
  prepared.read = [](const codegen::Result& result) {
    const auto& view = *static_cast<const runtime::VecView*>(result.data());
    const std::span groups(reinterpret_cast<const Entry*>(view.data), static_cast<std::size_t>(view.length));
    Outcome outcome;
    std::vector<double> means;
    for (const Entry& entry : groups) {
      outcome.keys.push_back(fmt::format("{}/{}", entry.title.view(), entry.gender));
      means.push_back(entry.sum / static_cast<double>(entry.count));
    }
    outcome.add(std::move(means));
    return outcome;
  };
  prepared.run_native = [tables](int threads) {
    native::mean_ratings(
        {tables->users.size(), tables->users.data(), tables->movies.data(), tables->ratings.data(),
         tables->user_ids.size(), tables->user_ids.data(), tables->genders.data(), tables->movie_ids.size(),
         tables->movie_ids.data(), tables->sums.data(), tables->counts.data()},
        threads);
  };
  prepared.read_native = [tables] {
    Outcome outcome;
    std::vector<double> means;
    for (std::int64_t i = 0; i < tables->sums.size(); ++i) {
      if (tables->counts[i] == 0) continue;
      outcome.keys.push_back(fmt::format("{}/{}", tables->titles.strings[i / 2].view(), i % 2));
      means.push_back(tables->sums[i] / static_cast<double>(tables->counts[i]));
    }
    outcome.add(std::move(means));
    return outcome;
  };
  prepared.inputs = {plain_input("users", tables->users),     plain_input("movies", tables->movies),
                     plain_input("ratings", tables->ratings), plain_input("user_ids", tables->user_ids),
                     plain_input("genders", tables->genders), plain_input("movie_ids", tables->movie_ids)};
  add_inputs(prepared, "titles", tables->titles);
  return prepared;
}

}  // namespace

Prepared prepare_ratings_1(double scale) {
  return prepare(scaled(scale, 1'000'000));
}
Prepared prepare_ratings_20(double scale) {
  return prepare(scaled(scale, 20'000'000));
}

}  // namespace weld::bench::workloads
