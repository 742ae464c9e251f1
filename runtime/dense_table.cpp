#include "runtime/dense_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/dict.h"
#include "runtime/hash.h"
#include "runtime/morsel_loop.h"
#include "runtime/run_context.h"
#include "runtime/scratch.h"

namespace weld::runtime {
namespace {

constexpr std::int64_t kPollEntries = 128 * 1024;
constexpr std::uint64_t kFewPlaces = 1024;  // worth it for a few entries
constexpr std::uint64_t kPlacesAnEntry = 8;
constexpr std::uint64_t kForcedPlaces = std::uint64_t{1} << 22;
constexpr std::uint64_t kMaxPlaces = std::uint64_t{1} << 30;

std::uint64_t most_places(std::uint64_t key_shape, std::int64_t capacity) {
  const std::uint64_t least = key_shape & kForcedDense ? kForcedPlaces : kFewPlaces;
  return std::clamp(static_cast<std::uint64_t>(capacity) * kPlacesAnEntry, least, kMaxPlaces);
}

std::int64_t count_fields(std::uint64_t key_shape) {
  return (std::bit_width(key_shape) + kKeyFieldBits - 1) / kKeyFieldBits;
}
std::int64_t count_fields(const Dict& dict) {
  return count_fields(dict.key_shape);
}

struct FieldShape {
  std::uint32_t offset;
  std::uint32_t bytes;
  bool is_signed;

  FieldShape(const Dict& dict, std::int64_t field) {
    const auto bits = static_cast<std::uint32_t>(dict.key_shape >> (field * kKeyFieldBits));
    offset = bits & 255;
    bytes = bits >> 8 & 15;
    is_signed = (bits >> 12 & 1) != 0;
  }
  // The bits, zero-extended.
  std::uint64_t bits_of(const std::byte* entry) const {
    std::uint64_t bits = 0;
    switch (bytes) {
      case 1:
        std::memcpy(&bits, entry + offset, 1);
        break;
      case 2:
        std::memcpy(&bits, entry + offset, 2);
        break;
      case 4:
        std::memcpy(&bits, entry + offset, 4);
        break;
      default:
        std::memcpy(&bits, entry + offset, 8);
    }
    return bits;
  }
  std::uint64_t value_of(const std::byte* entry) const {
    const std::uint64_t bits = bits_of(entry);
    if (!is_signed) return bits;
    const std::uint32_t unused = 64 - 8 * bytes;
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(bits << unused) >> unused);
  }
};

// Sets strides and the number of places; false if there are more than `most`.
bool set_strides(DenseRange& range, std::int64_t num_fields, std::uint64_t most) {
  std::uint64_t places = 1;
  for (std::int64_t i = num_fields; i-- > 0;) {
    range.fields[i].stride = places;
    if (__builtin_mul_overflow(places, range.fields[i].span, &places) || places > most) return false;
  }
  range.num_places = places;
  return true;
}

// Bytes of a table, whole words.
std::int64_t table_bytes(std::uint64_t num_places) {
  return static_cast<std::int64_t>((num_places + 1) / 2 * 8);
}

std::uint64_t place_of(const Dict& dict, std::int64_t num_fields, const DenseRange& range,
                       const std::byte* entry) {
  std::uint64_t place = 0;
  for (std::int64_t i = 0; i < num_fields; ++i) {
    const DenseField& field = range.fields[i];
    place += (FieldShape(dict, i).value_of(entry) - field.base) * field.stride;
  }
  return place;
}

DenseRange range_of(const Dict& dict) {
  DenseRange range{};
  std::ranges::copy(dict.fields, range.fields);
  range.num_places = dict.num_places;
  return range;
}

void set_range(Dict& dict, const DenseRange& range) {
  std::ranges::copy(range.fields, dict.fields);
  dict.num_places = range.num_places;
  dict.slot_mask = static_cast<std::uint64_t>(table_bytes(range.num_places)) / 8 - 1;
  dict.slot_shift = 0;
}

std::uint32_t* table_of(const Dict& dict) {
  return reinterpret_cast<std::uint32_t*>(dict.slots);
}

ErrorCode poll_at(Worker* worker, std::int64_t entry) {
  return entry % kPollEntries == kPollEntries - 1 && must_poll(*worker) ? weld_rt_poll(worker)
                                                                        : ErrorCode::kSuccess;
}

// The keys of a small type have no others beyond.
void clamp_to_type(const FieldShape& shape, DenseField& field) {
  if (shape.bytes == 8 || field.span >> (8 * shape.bytes) == 0) return;
  field.span = std::uint64_t{1} << (8 * shape.bytes);
  field.base = shape.is_signed ? std::uint64_t{0} - field.span / 2 : 0;
}

// The least range that has the keys of both.
bool unite(DenseRange& range, const DenseField* others, std::int64_t num_fields) {
  for (std::int64_t i = 0; i < num_fields; ++i) {
    DenseField& field = range.fields[i];
    const DenseField& other = others[i];
    if (other.span == 0) continue;
    if (field.span == 0) {
      field = other;
      continue;
    }
    if (const auto below = static_cast<std::int64_t>(other.base - field.base); below < 0) {
      field.span -= static_cast<std::uint64_t>(below);
      field.base = other.base;
    }
    const std::uint64_t end = other.base - field.base + other.span;
    field.span = std::max(field.span, end);
    if (field.span > kMaxPlaces) return false;
  }
  return true;
}

// Puts the indices of entries in their places, a chunk of entries at a time.
struct Filling {
  static constexpr std::int64_t kChunk = 64 * 1024;

  const Dict& dict;
  const DenseRange& range;
  std::uint32_t* table;

  static ErrorCode fill(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& [dict, range, table] = *static_cast<const Filling*>(self);
    if (must_poll(*worker)) {
      if (const ErrorCode code = weld_rt_poll(worker); code != ErrorCode::kSuccess) return code;
    }
    const std::int64_t num_fields = count_fields(dict);
    for (std::int64_t i = begin * kChunk; i < std::min(end * kChunk, dict.num_entries); ++i) {
      table[place_of(dict, num_fields, range, dict.entries + i * dict.entry_bytes)] =
          static_cast<std::uint32_t>(i + 1);
    }
    return ErrorCode::kSuccess;
  }
};

}  // namespace

bool unite_ranges(std::uint64_t key_shape, std::int64_t capacity, const DenseRange& other,
                  DenseRange& range) noexcept {
  const std::int64_t num_fields = count_fields(key_shape);
  if (other.num_places == 0) return true;
  return unite(range, other.fields, num_fields) &&
         set_strides(range, num_fields, most_places(key_shape, capacity));
}

bool find_range(const Dict& dict, std::int64_t capacity, DenseRange& range) noexcept {
  if (dict.key_shape == 0 || dict.num_entries == 0) return false;
  constexpr std::int64_t kAtOnce = 512;
  const std::int64_t num_fields = count_fields(dict);
  const std::uint64_t most = most_places(dict.key_shape, capacity);
  std::int64_t least[kMaxDenseFields] = {};
  std::int64_t greatest[kMaxDenseFields] = {};
  std::uint64_t first[kMaxDenseFields];
  for (std::int64_t i = 0; i < num_fields; ++i) first[i] = FieldShape(dict, i).value_of(dict.entries);
  for (std::int64_t begin = 0; begin < dict.num_entries; begin += kAtOnce) {
    const std::int64_t end = std::min(begin + kAtOnce, dict.num_entries);
    for (std::int64_t i = 0; i < num_fields; ++i) {
      const FieldShape shape(dict, i);
      for (std::int64_t entry = begin; entry < end; ++entry) {
        const std::uint64_t value = shape.value_of(dict.entries + entry * dict.entry_bytes);
        const auto distance = static_cast<std::int64_t>(value - first[i]);
        least[i] = std::min(least[i], distance);
        greatest[i] = std::max(greatest[i], distance);
      }
      range.fields[i].base = first[i] + static_cast<std::uint64_t>(least[i]);
      range.fields[i].span =
          static_cast<std::uint64_t>(greatest[i]) - static_cast<std::uint64_t>(least[i]) + 1;
      if (range.fields[i].span == 0) return false;
    }
    if (!set_strides(range, num_fields, most)) return false;
  }
  // Some room for keys that come later.
  DenseRange wider = range;
  for (std::int64_t i = 0; i < num_fields; ++i) {
    const std::uint64_t room = wider.fields[i].span / 8;
    wider.fields[i].base -= room;
    wider.fields[i].span += 2 * room;
    clamp_to_type(FieldShape(dict, i), wider.fields[i]);
  }
  if (set_strides(wider, num_fields, most)) range = wider;
  return true;
}

ErrorCode make_dense(Worker* worker, Dict& dict, const DenseRange& range) noexcept {
  std::byte* block = weld_rt_allocate_zeroed(worker, table_bytes(range.num_places));
  if (!block) return ErrorCode::kOutOfMemory;
  auto* table = reinterpret_cast<std::uint32_t*>(block);
  const std::int64_t num_fields = count_fields(dict);
  const std::uint64_t shift = dict.fields[0].base - range.fields[0].base;
  const std::uint64_t span = range.fields[0].span;
  if (is_dense(dict) && num_fields == 1 && shift < span && dict.fields[0].span <= span - shift) {
    std::memcpy(table + shift, table_of(dict), dict.fields[0].span * sizeof *table);
  } else {
    Filling filling{dict, range, table};
    const std::int64_t num_chunks = (dict.num_entries + Filling::kChunk - 1) / Filling::kChunk;
    const ErrorCode code = num_chunks > 1 ? for_each_morsel(*worker, num_chunks, 1, Filling::fill, &filling)
                                          : Filling::fill(worker, &filling, 0, num_chunks, nullptr);
    if (code != ErrorCode::kSuccess) {
      weld_rt_free(worker, block);
      return code;
    }
  }
  weld_rt_replace(worker, reinterpret_cast<std::byte*>(dict.slots), block);
  dict.slots = reinterpret_cast<std::uint64_t*>(block);
  set_range(dict, range);
  return ErrorCode::kSuccess;
}

std::uint32_t entry_hash(const Dict& dict, const std::byte* entry) noexcept {
  KeyHasher hasher(dict.seed);
  for (std::int64_t i = 0; i < count_fields(dict); ++i) {
    const FieldShape shape(dict, i);
    hasher.add(shape.bits_of(entry), static_cast<int>(8 * shape.bytes));
  }
  hasher.end_word();
  return slot_hash(hasher.state());
}

ErrorCode make_hashed(Worker* worker, Dict& dict) noexcept {
  const std::int64_t num_slots = slots_for(dict.entry_capacity);
  std::byte* block = weld_rt_allocate_zeroed(worker, num_slots * 8);
  if (!block) return ErrorCode::kOutOfMemory;
  Dict hashed = dict;
  hashed.num_places = 0;
  set_slots(hashed, reinterpret_cast<std::uint64_t*>(block), num_slots);
  for (std::int64_t i = 0; i < dict.num_entries; ++i) {
    if (const ErrorCode code = poll_at(worker, i); code != ErrorCode::kSuccess) {
      weld_rt_free(worker, block);
      return code;
    }
    const std::uint64_t hash = entry_hash(dict, dict.entries + i * dict.entry_bytes);
    std::uint64_t slot = first_slot(hashed, hash);
    while (hashed.slots[slot] != 0) slot = (slot + 1) & hashed.slot_mask;
    hashed.slots[slot] = hash << 32 | static_cast<std::uint64_t>(i + 1);
  }
  weld_rt_replace(worker, reinterpret_cast<std::byte*>(dict.slots), block);
  dict = hashed;
  return ErrorCode::kSuccess;
}

// --- Parts. The keys of a part differ from each other, so that its entries can be added in any order, and so
// in parallel; the parts follow each other.

namespace {

class DenseCombination {
 public:
  DenseCombination(Worker& worker, Dict& into, const DictMergeOps& ops)
      : worker_(worker), into_(into), ops_(ops) {}

  ErrorCode add(const Dict& from) noexcept {
    if (from.num_entries == 0) return ErrorCode::kSuccess;
    from_ = &from;
    const std::int64_t num_chunks = (from.num_entries + kChunk - 1) / kChunk;
    const Scratch places(worker_, from.num_entries * 4);
    const Scratch counts(worker_, num_chunks * 8);
    if (!places || !counts) return ErrorCode::kOutOfMemory;
    places_ = places.as<std::uint32_t>();
    first_ = counts.as<std::int64_t>();
    ErrorCode code = for_each_morsel(worker_, num_chunks, 1, fold_chunk, this);
    if (code != ErrorCode::kSuccess) return code;
    std::int64_t total = into_.num_entries;
    for (std::int64_t chunk = 0; chunk < num_chunks; ++chunk) {
      const std::int64_t added = first_[chunk];
      first_[chunk] = total;
      total += added;
    }
    if (total > kMaxDictEntries) return ErrorCode::kBudgetExceeded;
    if (total > into_.entry_capacity) {
      code = resize_dict(&worker_, into_, std::max(total, into_.entry_capacity * 2));
      if (code != ErrorCode::kSuccess) return code;
    }
    code = for_each_morsel(worker_, num_chunks, 1, place_chunk, this);
    into_.num_entries = total;
    return code;
  }

 private:
  static constexpr std::int64_t kChunk = 8 * 1024;
  static constexpr std::uint32_t kHeld = 0xffffffff;  // the place of a key that was there
  static constexpr std::int64_t kPairs = 256;

  // Adds the values of keys that are there, and counts the others.
  static ErrorCode fold_chunk(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& all = *static_cast<const DenseCombination*>(self);
    for (std::int64_t chunk = begin; chunk < end; ++chunk) all.fold(worker, chunk);
    return ErrorCode::kSuccess;
  }

  void fold(Worker* worker, std::int64_t chunk) const {
    const std::int64_t num_fields = count_fields(into_);
    const DenseRange range = range_of(into_);
    const std::uint32_t* table = table_of(into_);
    const std::byte* into[kPairs];
    const std::byte* from[kPairs];
    std::int64_t num_pairs = 0;
    std::int64_t num_new = 0;
    const auto flush = [&] {
      ops_.fold(worker, into, from, num_pairs);
      num_pairs = 0;
    };
    const std::int64_t end = std::min((chunk + 1) * kChunk, from_->num_entries);
    for (std::int64_t i = chunk * kChunk; i < end; ++i) {
      const std::byte* entry = from_->entries + i * from_->entry_bytes;
      const std::uint64_t place = place_of(into_, num_fields, range, entry);
      const std::uint32_t index = table[place];
      if (index == 0) {
        places_[i] = static_cast<std::uint32_t>(place);
        ++num_new;
        continue;
      }
      places_[i] = kHeld;
      into[num_pairs] = into_.entries + (index - std::int64_t{1}) * into_.entry_bytes;
      __builtin_prefetch(into[num_pairs]);
      from[num_pairs++] = entry;
      if (num_pairs == kPairs) flush();
    }
    flush();
    first_[chunk] = num_new;
  }

  static ErrorCode place_chunk(Worker*, void* self, std::int64_t begin, std::int64_t end, void*) {
    const auto& all = *static_cast<const DenseCombination*>(self);
    for (std::int64_t chunk = begin; chunk < end; ++chunk) all.place(chunk);
    return ErrorCode::kSuccess;
  }

  void place(std::int64_t chunk) const {
    const auto bytes = static_cast<std::size_t>(from_->entry_bytes);
    std::int64_t next = first_[chunk];
    const std::int64_t end = std::min((chunk + 1) * kChunk, from_->num_entries);
    for (std::int64_t i = chunk * kChunk; i < end; ++i) {
      if (places_[i] == kHeld) continue;
      std::memcpy(into_.entries + next * into_.entry_bytes, from_->entries + i * from_->entry_bytes, bytes);
      table_of(into_)[places_[i]] = static_cast<std::uint32_t>(++next);
    }
  }

  Worker& worker_;
  Dict& into_;
  const DictMergeOps& ops_;
  const Dict* from_ = nullptr;
  std::uint32_t* places_ = nullptr;  // of the entries that are new
  std::int64_t* first_ = nullptr;    // of each chunk: how many are new, then where they go
};

Dict& part_at(std::byte* parts, std::int64_t stride_bytes, std::int64_t index) {
  return **reinterpret_cast<Dict**>(parts + index * stride_bytes);
}

}  // namespace

bool combine_densely(std::byte* parts, std::int64_t stride_bytes, std::int64_t count,
                     DenseRange& range) noexcept {
  const Dict& first = part_at(parts, stride_bytes, 0);
  const std::int64_t num_fields = count_fields(first);
  range = range_of(first);
  std::int64_t num_entries = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const Dict& part = part_at(parts, stride_bytes, i);
    if (!is_dense(part)) return false;
    num_entries += part.num_entries;
    if (i > 0 && !unite(range, part.fields, num_fields)) return false;
  }
  return set_strides(range, num_fields, most_places(first.key_shape, num_entries));
}

ErrorCode combine_dense(Worker* worker, std::byte* parts, std::int64_t stride_bytes, std::int64_t count,
                        const DenseRange& range, const DictMergeOps& ops) noexcept {
  Dict& into = part_at(parts, stride_bytes, 0);
  ErrorCode code = make_dense(worker, into, range);
  DenseCombination combination(*worker, into, ops);
  for (std::int64_t i = 1; i < count && code == ErrorCode::kSuccess; ++i)
    code = combination.add(part_at(parts, stride_bytes, i));
  return code;
}

namespace {

// Lets the field have the key's value, and room for more beyond it: that share of what it then spans.
void widen(const FieldShape& shape, const std::byte* key, std::uint64_t share_of_room, DenseField& field) {
  const std::uint64_t value = shape.value_of(key);
  const std::uint64_t above = value - field.base;
  if (above < field.span) return;
  const bool is_above = static_cast<std::int64_t>(above) >= 0;
  if (field.span == 0) {
    field = {value, 1, 0};
  } else if (is_above) {
    field.span = above + 1;
  } else {
    field.span += field.base - value;
    field.base = value;
  }
  const std::uint64_t room = field.span / share_of_room;
  field = {is_above ? field.base : field.base - room, field.span + room, 0};
  clamp_to_type(shape, field);
}

}  // namespace

extern "C" {

ErrorCode weld_rt_dict_reach(Worker* worker, Dict* dict, const std::byte* key) noexcept {
  const std::int64_t num_fields = count_fields(*dict);
  const std::uint64_t most = most_places(dict->key_shape, dict->entry_capacity);
  // Near the bound there is less room. With none the table would be made anew for every key.
  for (const std::uint64_t share_of_room : {2, 4, 8}) {
    DenseRange wider = range_of(*dict);
    for (std::int64_t i = 0; i < num_fields; ++i)
      widen(FieldShape(*dict, i), key, share_of_room, wider.fields[i]);
    if (set_strides(wider, num_fields, most)) return make_dense(worker, *dict, wider);
  }
  return make_hashed(worker, *dict);
}

ErrorCode weld_rt_dict_shape(Worker* worker, Dict* dict, std::uint64_t key_shape) noexcept {
  dict->key_shape = key_shape;
  if (key_shape == 0 || dict->log || dict->num_entries > 0) return ErrorCode::kSuccess;
  DenseRange range{};
  const std::int64_t num_fields = count_fields(*dict);
  for (std::int64_t i = 0; i < num_fields; ++i) {
    range.fields[i].span = UINT64_MAX;
    clamp_to_type(FieldShape(*dict, i), range.fields[i]);
  }
  constexpr std::uint64_t kAllOfType = 256;
  if (set_strides(range, num_fields, kAllOfType)) return make_dense(worker, *dict, range);
  if (!(key_shape & kForcedDense)) return ErrorCode::kSuccess;
  return make_dense(worker, *dict, {.fields = {}, .num_places = 1});
}

}  // extern "C"
}  // namespace weld::runtime
