#include "bench/workloads/native/native.h"
#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {

// A vector holds as many bodies, which meet each of the others in turn: nothing is added across lanes, and a
// body that is loaded meets several vectors.
void nbody(const Bodies& bodies, int threads) {
  constexpr int kVectors = 2;
  constexpr std::int64_t kBodies = kVectors * kLanes;
  for_each_part(bodies.length, kBodies * 8, threads,
                [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
                  for (std::int64_t first = begin; first < end; first += kBodies) {
                    Vector x[kVectors];
                    Vector y[kVectors];
                    Vector z[kVectors];
                    Vector fx[kVectors] = {};
                    Vector fy[kVectors] = {};
                    Vector fz[kVectors] = {};
                    const auto for_each_vector = [&](auto&& body) {
                      for (int k = 0; k < kVectors; ++k) {
                        const std::int64_t place = first + k * kLanes;
                        const std::int64_t count = end - place < kLanes ? end - place : kLanes;
                        if (count > 0) body(k, place, count);
                      }
                    };
                    for_each_vector([&](int k, std::int64_t place, std::int64_t count) {
                      x[k] = load_first(bodies.x + place, count, 0.0);
                      y[k] = load_first(bodies.y + place, count, 0.0);
                      z[k] = load_first(bodies.z + place, count, 0.0);
                    });
                    for (std::int64_t j = 0; j < bodies.length; ++j) {
                      for (int k = 0; k < kVectors; ++k) {
                        const Vector dx = bodies.x[j] - x[k];
                        const Vector dy = bodies.y[j] - y[k];
                        const Vector dz = bodies.z[j] - z[k];
                        const Vector squared = dx * dx + dy * dy + dz * dz + bodies.softening;
                        const Vector weight = bodies.mass[j] / (squared * sqrt_of(squared));
                        fx[k] += dx * weight;
                        fy[k] += dy * weight;
                        fz[k] += dz * weight;
                      }
                    }
                    for_each_vector([&](int k, std::int64_t place, std::int64_t count) {
                      const Vector mass = load_first(bodies.mass + place, count, 0.0);
                      store_first(bodies.force_x + place, fx[k] * mass, count);
                      store_first(bodies.force_y + place, fy[k] * mass, count);
                      store_first(bodies.force_z + place, fz[k] * mass, count);
                    });
                  }
                });
}

}  // namespace weld::bench::workloads::native
