#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "ir/types.h"
#include "runtime/calls.h"
#include "runtime/gather.h"
#include "runtime/morsel_loop.h"
#include "runtime/scratch.h"

// Sorting by scalar keys: keys become unsigned numbers of the same order, which are sorted with the indices
// of their elements, a byte at a time from the lowest (stable), and the elements follow.

namespace weld::runtime {
namespace {

constexpr std::int64_t kFewElements = 256;       // compared rather than distributed
constexpr std::int64_t kMinHeldElements = 1024;  // while the first few are looked for
constexpr std::int64_t kMinChunkElements = 64 * 1024;
constexpr std::int64_t kMaxChunks = 256;
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 46;

// A key as an unsigned number, and the index of its element.
template <class Number>
struct Entry {
  Number key;
  Number index;
};

// An unsigned number with the order of the key: −0 = +0, all NaNs equal and last.
template <class T>
auto ordered_bits(T key) {
  if constexpr (std::is_floating_point_v<T>) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    if (std::isnan(key)) return std::numeric_limits<Bits>::max();
    const auto bits = std::bit_cast<Bits>(key == 0 ? T{0} : key);
    constexpr Bits kSign = Bits{1} << (sizeof(T) * 8 - 1);
    return static_cast<Bits>(bits & kSign ? ~bits : bits | kSign);
  } else if constexpr (std::is_signed_v<T>) {
    using Bits = std::make_unsigned_t<T>;
    return static_cast<Bits>(static_cast<Bits>(key) ^ (Bits{1} << (sizeof(T) * 8 - 1)));
  } else {
    return key;
  }
}

// A key of type bool: any byte but 0 is true.
enum class BoolByte : std::uint8_t {};
std::uint8_t ordered_bits(BoolByte key) {
  return key != BoolByte{0};
}

template <class T, class Number>
class RadixSort {
 public:
  /// `limit` is at least 1 and at most the length.
  RadixSort(Worker& worker, const std::byte* keys, std::int64_t length, std::int64_t limit)
      : worker_(worker),
        keys_(keys),
        length_(length),
        limit_(limit),
        chunk_(std::max(kMinChunkElements, (length + kMaxChunks - 1) / kMaxChunks)),
        num_chunks_((length + chunk_ - 1) / chunk_) {}

  ErrorCode run(const std::byte* data, std::int64_t element_bytes, VecView* result) {
    const std::int64_t num_held = std::max(2 * limit_, kMinHeldElements);
    const bool selects = limit_ <= length_ / 4 && num_held < length_;
    const std::int64_t bytes =
        static_cast<std::int64_t>(sizeof(Entry<Number>)) * (selects ? num_held : length_);
    Scratch output(worker_, limit_ * element_bytes);
    if (!output) return ErrorCode::kOutOfMemory;
    const Scratch first(worker_, bytes);
    if (!first) return ErrorCode::kOutOfMemory;
    const Scratch second(worker_, selects || length_ <= kFewElements ? 0 : bytes);
    if (!second) return ErrorCode::kOutOfMemory;
    from_ = first.as<Entry<Number>>();
    to_ = second.as<Entry<Number>>();
    ErrorCode code = selects ? select(num_held) : sort_all();
    if (code == ErrorCode::kSuccess) code = gather(output.as(), data, element_bytes);
    if (code == ErrorCode::kSuccess) *result = {output.keep(worker_), limit_};
    return code;
  }

 private:
  static constexpr std::size_t kDigits = 256;

  static bool is_before(const Entry<Number>& left, const Entry<Number>& right) {
    return left.key < right.key || (left.key == right.key && left.index < right.index);
  }

  ErrorCode sort_all() {
    const ErrorCode code = for_each_morsel(worker_, length_, chunk_, read_keys, this);
    if (code != ErrorCode::kSuccess) return code;
    if (length_ > kFewElements) return distribute();
    std::sort(from_, from_ + length_, is_before);
    return ErrorCode::kSuccess;
  }

  // The first `limit_` entries, in order. Holds the entries that come before the last of the first so far,
  // and cuts them back when there are `num_held`. An element as large as that last one comes after it.
  ErrorCode select(std::int64_t num_held) {
    constexpr std::int64_t kPollElements = 64 * 1024;
    std::int64_t count = 0;
    bool full = false;
    for (std::int64_t i = 0; i < length_; ++i) {
      if (i % kPollElements == 0 && must_poll(worker_)) {
        if (const ErrorCode code = weld_rt_poll(&worker_); code != ErrorCode::kSuccess) return code;
      }
      const Number key = read_key(i);
      if (full && key >= from_[limit_ - 1].key) continue;
      from_[count++] = {key, static_cast<Number>(i)};
      if (count < num_held) continue;
      std::nth_element(from_, from_ + limit_ - 1, from_ + count, is_before);
      count = limit_;
      full = true;
    }
    std::sort(from_, from_ + count, is_before);
    return ErrorCode::kSuccess;
  }

  static ErrorCode read_keys(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    auto& sort = *static_cast<RadixSort*>(self);
    const Number first = sort.read_key(0);
    Number differing = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      const Number key = sort.read_key(i);
      differing |= key ^ first;
      sort.from_[i] = {key, static_cast<Number>(i)};
    }
    sort.differing_.fetch_or(differing, std::memory_order_relaxed);
    return ErrorCode::kSuccess;
  }

  Number read_key(std::int64_t index) const {
    T key;
    std::memcpy(&key, keys_ + index * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
    return ordered_bits(key);
  }

  std::size_t digit(const Entry<Number>& entry) const { return entry.key >> shift_ & (kDigits - 1); }

  static ErrorCode count(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& sort = *static_cast<const RadixSort*>(self);
    std::int64_t* counts = sort.places_ + begin / sort.chunk_ * static_cast<std::int64_t>(kDigits);
    std::fill_n(counts, kDigits, 0);
    for (std::int64_t i = begin; i < end; ++i) ++counts[sort.digit(sort.from_[i])];
    return ErrorCode::kSuccess;
  }

  static ErrorCode scatter(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& sort = *static_cast<const RadixSort*>(self);
    std::int64_t* places = sort.places_ + begin / sort.chunk_ * static_cast<std::int64_t>(kDigits);
    for (std::int64_t i = begin; i < end; ++i) sort.to_[places[sort.digit(sort.from_[i])]++] = sort.from_[i];
    return ErrorCode::kSuccess;
  }

  // Turns the chunks' counts into the places of their first elements.
  void find_places() {
    std::int64_t place = 0;
    for (std::size_t digit = 0; digit < kDigits; ++digit) {
      for (std::int64_t chunk = 0; chunk < num_chunks_; ++chunk) {
        std::int64_t& entry =
            places_[chunk * static_cast<std::int64_t>(kDigits) + static_cast<std::int64_t>(digit)];
        place += std::exchange(entry, place);
      }
    }
  }

  ErrorCode distribute() {
    const Scratch places(worker_, num_chunks_ * static_cast<std::int64_t>(kDigits) * 8);
    if (!places) return ErrorCode::kOutOfMemory;
    places_ = places.as<std::int64_t>();
    for (shift_ = 0; shift_ < static_cast<int>(sizeof(T)) * 8; shift_ += 8) {
      // Keys of a small range differ in their low bytes only.
      if ((differing_.load(std::memory_order_relaxed) >> shift_ & (kDigits - 1)) == 0) continue;
      ErrorCode code = for_each_morsel(worker_, length_, chunk_, count, this);
      if (code != ErrorCode::kSuccess) return code;
      find_places();
      code = for_each_morsel(worker_, length_, chunk_, scatter, this);
      if (code != ErrorCode::kSuccess) return code;
      std::swap(from_, to_);
    }
    return ErrorCode::kSuccess;
  }

  ErrorCode gather(std::byte* to, const std::byte* data, std::int64_t element_bytes) {
    return gather_elements(worker_, to, data, element_bytes, &from_->index, 2, limit_);
  }

  Worker& worker_;
  const std::byte* keys_;
  std::int64_t length_;
  std::int64_t limit_;
  std::int64_t chunk_;
  std::int64_t num_chunks_;
  Entry<Number>* from_ = nullptr;
  Entry<Number>* to_ = nullptr;
  std::int64_t* places_ = nullptr;  // by chunk and digit
  int shift_ = 0;
  std::atomic<Number> differing_{0};  // bits in which keys differ from the first one
};

template <class T>
ErrorCode sort_by(Worker& worker, const std::byte* data, std::int64_t length, std::int64_t element_bytes,
                  const std::byte* keys, std::int64_t limit, VecView* result) noexcept {
  if constexpr (sizeof(T) <= 4) {
    if (length <= std::numeric_limits<std::uint32_t>::max())
      return RadixSort<T, std::uint32_t>(worker, keys, length, limit).run(data, element_bytes, result);
  }
  return RadixSort<T, std::uint64_t>(worker, keys, length, limit).run(data, element_bytes, result);
}

}  // namespace

extern "C" ErrorCode weld_rt_sort_by_scalar(Worker* worker, const std::byte* data, std::int64_t length,
                                            std::int64_t element_bytes, const std::byte* keys,
                                            std::uint32_t scalar_kind, std::int64_t limit,
                                            VecView* result) noexcept {
  *result = {};
  limit = std::min(limit, length);
  if (limit == 0) return ErrorCode::kSuccess;
  if (length > kMaxBytes / std::max<std::int64_t>(element_bytes, 16)) return ErrorCode::kOutOfMemory;
  const auto sort = [&]<class T>(T) {
    return sort_by<T>(*worker, data, length, element_bytes, keys, limit, result);
  };
  switch (static_cast<ir::ScalarKind>(scalar_kind)) {
    case ir::ScalarKind::kI8:
      return sort(std::int8_t{});
    case ir::ScalarKind::kI16:
      return sort(std::int16_t{});
    case ir::ScalarKind::kI32:
      return sort(std::int32_t{});
    case ir::ScalarKind::kI64:
      return sort(std::int64_t{});
    case ir::ScalarKind::kU8:
      return sort(std::uint8_t{});
    case ir::ScalarKind::kU16:
      return sort(std::uint16_t{});
    case ir::ScalarKind::kU32:
      return sort(std::uint32_t{});
    case ir::ScalarKind::kU64:
      return sort(std::uint64_t{});
    case ir::ScalarKind::kF32:
      return sort(float{});
    case ir::ScalarKind::kF64:
      return sort(double{});
    case ir::ScalarKind::kBool:
      return sort(BoolByte{});
  }
  return ErrorCode::kUnknown;
}

}  // namespace weld::runtime
