#include <algorithm>
#include <cmath>
#include <vector>

#include "bench/workloads/native/native.h"
#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {
namespace {

constexpr std::int64_t kRows = 4;  // taken together, so that a column's sums are loaded and stored once
constexpr std::int64_t kRowsOfPart = 64;

using Values = std::vector<double>;

// Adds both moments of the rows' distances from `origin`.
void add_moments(const double* rows, std::int64_t num_rows, const Values& origin, Values& sums,
                 Values& squares) {
  const auto columns = static_cast<std::int64_t>(origin.size());
  std::int64_t row = 0;
  for (; row + kRows <= num_rows; row += kRows) {
    const double* const first = rows + row * columns;
    for (std::int64_t j = 0; j < columns; ++j) {
      double sum = 0;
      double square = 0;
      for (std::int64_t k = 0; k < kRows; ++k) {
        const double value = first[k * columns + j] - origin[j];
        sum += value;
        square += value * value;
      }
      sums[j] += sum;
      squares[j] += square;
    }
  }
  for (; row < num_rows; ++row) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const double value = rows[row * columns + j] - origin[j];
      sums[j] += value;
      squares[j] += value * value;
    }
  }
}

// Several sums of lanes, so that the latency of addition is hidden.
double dot(const double* row, const Values& mean, const Values& weights) {
  const auto columns = static_cast<std::int64_t>(mean.size());
  Vector parts[4] = {};
  std::int64_t j = 0;
  for (; j + 4 * kLanes <= columns; j += 4 * kLanes) {
    for (int k = 0; k < 4; ++k) {
      const std::int64_t place = j + k * kLanes;
      parts[k] += (load(row + place) - load(&mean[place])) * load(&weights[place]);
    }
  }
  double sum = sum_lanes((parts[0] + parts[1]) + (parts[2] + parts[3]));
  for (; j < columns; ++j) sum += (row[j] - mean[j]) * weights[j];
  return sum;
}

}  // namespace

// Two passes over the matrix: both moments of each column about its first value, then the gradient, row by
// row while the row is in the first cache. Multiplying by the columns' scales is left to the weights and the
// result.
void logistic(const Logistic& data, int threads) {
  const std::int64_t columns = data.num_columns;
  const auto rows = static_cast<double>(data.num_rows);
  const Values origin(data.matrix, data.matrix + columns);
  std::vector<Values> sums(threads, Values(columns));
  std::vector<Values> squares(threads, Values(columns));
  for_each_part(data.num_rows, kRowsOfPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    add_moments(data.matrix + begin * columns, end - begin, origin, sums[thread], squares[thread]);
  });
  Values mean(columns);
  Values scale(columns);
  Values weights(columns);
  for (std::int64_t j = 0; j < columns; ++j) {
    double sum = 0;
    double square = 0;
    for (int thread = 0; thread < threads; ++thread) {
      sum += sums[thread][j];
      square += squares[thread][j];
    }
    mean[j] = origin[j] + sum / rows;
    scale[j] = 1.0 / std::sqrt(square / rows - sum / rows * (sum / rows));
    weights[j] = data.weights[j] * scale[j];
  }

  for (Values& values : sums) std::ranges::fill(values, 0.0);
  for_each_part(data.num_rows, kRowsOfPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    Values& gradient = sums[thread];
    for (std::int64_t first = begin; first < end; first += kRows) {
      const double* const row = data.matrix + first * columns;
      double slopes[kRows] = {};
      const std::int64_t count = std::min(kRows, end - first);
      for (std::int64_t k = 0; k < count; ++k) {
        const double chance = 1.0 / (1.0 + std::exp(-dot(row + k * columns, mean, weights)));
        slopes[k] = chance - data.labels[first + k];
      }
      if (count == kRows) {
        for (std::int64_t j = 0; j < columns; ++j) {
          double sum = 0;
          for (std::int64_t k = 0; k < kRows; ++k) sum += slopes[k] * (row[k * columns + j] - mean[j]);
          gradient[j] += sum;
        }
      } else {
        for (std::int64_t k = 0; k < count; ++k) {
          for (std::int64_t j = 0; j < columns; ++j)
            gradient[j] += slopes[k] * (row[k * columns + j] - mean[j]);
        }
      }
    }
  });
  for (std::int64_t j = 0; j < columns; ++j) {
    double sum = 0;
    for (int thread = 0; thread < threads; ++thread) sum += sums[thread][j];
    data.gradient[j] = sum * scale[j] / rows;
  }
}

}  // namespace weld::bench::workloads::native
