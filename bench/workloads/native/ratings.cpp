#include <algorithm>
#include <vector>

#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/tables.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {

// The keys are small integers: a join is a load from a table by key, and groups are places in an array.
void mean_ratings(const Ratings& data, int threads) {
  struct Group {
    double sum = 0;
    std::int64_t count = 0;
  };
  constexpr std::int8_t kNobody = -1;
  static std::vector<std::int8_t> gender_of;
  static std::vector<std::int32_t> movie_of;  // its row
  static std::vector<std::vector<Group>> groups;
  const auto num_ids = [](const std::int32_t* ids, std::int64_t length) {
    return static_cast<std::size_t>(length == 0 ? 0 : *std::max_element(ids, ids + length) + 1);
  };
  gender_of.assign(num_ids(data.user_ids, data.num_users), kNobody);
  movie_of.assign(num_ids(data.movie_ids, data.num_movies), -1);
  for (std::int64_t row = 0; row < data.num_users; ++row) gender_of[data.user_ids[row]] = data.genders[row];
  for (std::int64_t row = 0; row < data.num_movies; ++row)
    movie_of[data.movie_ids[row]] = static_cast<std::int32_t>(row);
  groups.resize(std::max<std::size_t>(groups.size(), threads));
  for (int thread = 0; thread < threads; ++thread) groups[thread].assign(2 * data.num_movies, {});

  for_each_part(data.length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    Group* const of_thread = groups[thread].data();
    const auto num_users = gender_of.size();
    const auto num_movies = movie_of.size();
    for (std::int64_t i = begin; i < end; ++i) {
      const auto user = static_cast<std::uint32_t>(data.users[i]);
      const auto movie = static_cast<std::uint32_t>(data.movies[i]);
      if (user >= num_users || movie >= num_movies) continue;
      const std::int8_t gender = gender_of[user];
      const std::int32_t row = movie_of[movie];
      if (gender == kNobody || row < 0) continue;
      Group& group = of_thread[2 * row + gender];
      group.sum += data.ratings[i];
      ++group.count;
    }
  });
  for (std::int64_t i = 0; i < 2 * data.num_movies; ++i) {
    data.sums[i] = 0;
    data.counts[i] = 0;
    for (int thread = 0; thread < threads; ++thread) {
      data.sums[i] += groups[thread][i].sum;
      data.counts[i] += groups[thread][i].count;
    }
  }
}

}  // namespace weld::bench::workloads::native
