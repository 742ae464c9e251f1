#include <fmt/format.h>

#include "bench/workloads/native/tables.h"
#include "bench/workloads/strings.h"
#include "bench/workloads/tables.h"
#include "bench/workloads/workloads.h"
#include "runtime/abi.h"

namespace weld::bench::workloads {
namespace {

struct Codes {
  StringColumn codes;
  std::vector<native::String> unique;
};

// Codes of five digits, of nine, and what people write instead.
std::string_view write_code(const RandomStream& kind, const RandomStream& number, std::int64_t i,
                            std::string& text) {
  const std::int64_t k = kind.below(i, 100);
  const std::int64_t code = 10'000 + number.below(i, 2'000) * 7;
  if (k < 80) {
    text = fmt::format("{:05}", code);
  } else if (k < 96) {
    text = fmt::format("{:05}-{:04}", code, number.bits(i) % 10'000);
  } else {
    text = k == 96 ? "00000" : k == 97 ? "NO CLUE" : k == 98 ? "N/A" : "";
  }
  return text;
}

Outcome read_codes(std::span<const native::String> codes) {
  Outcome outcome;
  for (const native::String code : codes) outcome.keys.emplace_back(code.view());
  return outcome;
}

}  // namespace

Prepared prepare_zip_codes(double scale) {
  const std::int64_t length = scaled(scale, 10'000'000);
  const RandomStream kind(101);
  const RandomStream number(102);
  const auto data = std::make_shared<Codes>();
  std::string text;
  data->codes = make_strings(length, [&](std::int64_t i) { return write_code(kind, number, i, text); });

  Prepared prepared;
  prepared.num_rows = length;
  prepared.num_bytes = data->codes.num_bytes();
  const Array cut = first_characters(input_strings(data->codes, "codes"), 5);
  const Array without_zeros = replace_where(cut, equals_text(cut, "00000"), "nan");
  const Array cleaned = replace_where(without_zeros, equals_text(without_zeros, "NO CL"), "nan");
  prepared.program = unique(cleaned).fragment();
  prepared.read = [](const codegen::Result& result) {
    const auto& view = *static_cast<const runtime::VecView*>(result.data());
    return read_codes(
        {reinterpret_cast<const native::String*>(view.data), static_cast<std::size_t>(view.length)});
  };
  prepared.run_native = [data](int threads) {
    native::clean_zip_codes(data->codes.strings.data(), data->codes.strings.size(), data->unique, threads);
  };
  prepared.read_native = [data] { return read_codes(data->unique); };
  add_inputs(prepared, "codes", data->codes);
  return prepared;
}

}  // namespace weld::bench::workloads
