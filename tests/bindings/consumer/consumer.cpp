#include <iostream>
#include <vector>
#include <weld.hpp>

int main() {
  const weld::Module module("|v: vec[f64]| result(for(v, merger[f64,+], |b, i, x| merge(b, x)))");
  const auto sum = module.function<double(std::span<const double>)>();
  const std::vector<double> numbers{40.0, 1.5, 0.5};
  std::cout << *sum(weld::Context(), numbers) << "\n";
}
