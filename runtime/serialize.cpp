#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/calls.h"
#include "runtime/run_context.h"

// LANGUAGE.md §1.4: packed little-endian; vectors and dictionaries are a count of 8 bytes, then elements or
// key, value. Recursion is over the type, never over data.

namespace weld::runtime {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::int64_t kPollElements = 4096;

// Whether the serialised elements are the bytes of the elements. Not so of floats (NaNs become canonical), of
// bools (any byte but 0 is true), and of structs with holes.
bool is_copied(const TypeLayout& layout) {
  switch (layout.kind) {
    case LayoutKind::kScalar:
      return !ir::is_float(layout.scalar) && layout.scalar != ir::ScalarKind::kBool;
    case LayoutKind::kStruct:
      for (const TypeLayout::Member& member : layout.members)
        if (!is_copied(*member.layout)) return false;
      return layout.size_bytes == layout.min_serialized_bytes;
    default:
      return false;
  }
}

// Whether every value takes min_serialized_bytes.
bool has_fixed_size(const TypeLayout& layout) {
  return !layout.contains_pointer;
}

class Writer {
 public:
  explicit Writer(Worker& worker) : worker_(worker) {}

  // Adds up the bytes of a value.
  ErrorCode measure(const TypeLayout& layout, const std::byte* value) {
    if (has_fixed_size(layout)) return add(layout.min_serialized_bytes, 1);
    switch (layout.kind) {
      case LayoutKind::kVec: {
        const auto& vec = *reinterpret_cast<const VecView*>(value);
        return measure_elements(*layout.element, vec.data, vec.length);
      }
      case LayoutKind::kDict: {
        const Dict& dict = **reinterpret_cast<const Dict* const*>(value);
        return measure_elements(*layout.element, dict.entries, dict.num_entries);
      }
      case LayoutKind::kStruct:
        for (const TypeLayout::Member& member : layout.members) {
          const ErrorCode code = measure(*member.layout, value + member.offset);
          if (code != ErrorCode::kSuccess) return code;
        }
        return ErrorCode::kSuccess;
      default:
        return ErrorCode::kUnknown;  // builders are not serialised: the verifier has seen to that
    }
  }

  ErrorCode write(const TypeLayout& layout, const std::byte* value) {
    switch (layout.kind) {
      case LayoutKind::kScalar:
        write_scalars(layout.scalar, value, 1);
        return ErrorCode::kSuccess;
      case LayoutKind::kVec: {
        const auto& vec = *reinterpret_cast<const VecView*>(value);
        return write_elements(*layout.element, vec.data, vec.length);
      }
      case LayoutKind::kDict: {
        const Dict& dict = **reinterpret_cast<const Dict* const*>(value);
        return write_elements(*layout.element, dict.entries, dict.num_entries);
      }
      case LayoutKind::kStruct:
        for (const TypeLayout::Member& member : layout.members) {
          const ErrorCode code = write(*member.layout, value + member.offset);
          if (code != ErrorCode::kSuccess) return code;
        }
        return ErrorCode::kSuccess;
      default:
        return ErrorCode::kUnknown;
    }
  }

  std::int64_t num_bytes() const { return num_bytes_; }
  void write_to(std::byte* output) { output_ = output; }

 private:
  ErrorCode add(std::int64_t bytes, std::int64_t count) {
    if (bytes > 0 && count > (std::numeric_limits<std::int64_t>::max() - num_bytes_) / bytes)
      return ErrorCode::kOutOfMemory;
    num_bytes_ += bytes * count;
    return ErrorCode::kSuccess;
  }

  ErrorCode poll(std::int64_t index) {
    return index % kPollElements == 0 && must_poll(worker_) ? weld_rt_poll(&worker_) : ErrorCode::kSuccess;
  }

  ErrorCode measure_elements(const TypeLayout& element, const std::byte* data, std::int64_t length) {
    ErrorCode code = add(8, 1);
    if (has_fixed_size(element))
      return code == ErrorCode::kSuccess ? add(element.min_serialized_bytes, length) : code;
    for (std::int64_t i = 0; i < length && code == ErrorCode::kSuccess; ++i) {
      code = poll(i);
      if (code == ErrorCode::kSuccess) code = measure(element, data + i * element.size_bytes);
    }
    return code;
  }

  ErrorCode write_elements(const TypeLayout& element, const std::byte* data, std::int64_t length) {
    write_bytes(&length, 8);
    if (length == 0 || element.size_bytes == 0) return ErrorCode::kSuccess;
    if (is_copied(element)) {
      write_bytes(data, length * element.size_bytes);
      return ErrorCode::kSuccess;
    }
    if (element.kind == LayoutKind::kScalar) {
      write_scalars(element.scalar, data, length);
      return ErrorCode::kSuccess;
    }
    ErrorCode code = ErrorCode::kSuccess;
    for (std::int64_t i = 0; i < length && code == ErrorCode::kSuccess; ++i) {
      code = poll(i);
      if (code == ErrorCode::kSuccess) code = write(element, data + i * element.size_bytes);
    }
    return code;
  }

  void write_bytes(const void* data, std::int64_t num_bytes) {
    std::memcpy(output_, data, static_cast<std::size_t>(num_bytes));
    output_ += num_bytes;
  }

  template <class T>
  void write_floats(const std::byte* data, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      T value;
      std::memcpy(&value, data + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
      value = std::isnan(value) ? std::numeric_limits<T>::quiet_NaN() : value;
      std::memcpy(output_ + i * static_cast<std::int64_t>(sizeof(T)), &value, sizeof(T));
    }
    output_ += count * static_cast<std::int64_t>(sizeof(T));
  }

  void write_scalars(ir::ScalarKind kind, const std::byte* data, std::int64_t count) {
    switch (kind) {
      case ir::ScalarKind::kF32:
        return write_floats<float>(data, count);
      case ir::ScalarKind::kF64:
        return write_floats<double>(data, count);
      case ir::ScalarKind::kBool:
        for (std::int64_t i = 0; i < count; ++i) *output_++ = std::byte{data[i] != std::byte{0}};
        return;
      default:
        return write_bytes(data, count * ir::size_bytes(kind));
    }
  }

  Worker& worker_;
  std::int64_t num_bytes_ = 0;
  std::byte* output_ = nullptr;
};

class Reader {
 public:
  Reader(Worker& worker, const std::byte* data, std::int64_t length, const DictInsert* inserts)
      : worker_(worker), next_(data), end_(data + length), inserts_(inserts) {}

  // Reads a value; `first_insert` belongs to the first dictionary type in the layout.
  ErrorCode read(const TypeLayout& layout, std::byte* value, std::uint32_t first_insert) {
    if (end_ - next_ < layout.min_serialized_bytes) return ErrorCode::kDeserializationError;
    switch (layout.kind) {
      case LayoutKind::kScalar:
        return read_scalars(layout.scalar, value, 1);
      case LayoutKind::kVec:
        return read_vec(*layout.element, *reinterpret_cast<VecView*>(value), first_insert);
      case LayoutKind::kDict:
        return read_dict(*layout.element, *reinterpret_cast<Dict**>(value), first_insert);
      case LayoutKind::kStruct:
        for (const TypeLayout::Member& member : layout.members) {
          const ErrorCode code = read(*member.layout, value + member.offset, first_insert);
          if (code != ErrorCode::kSuccess) return code;
          first_insert += member.layout->num_dicts;
        }
        return ErrorCode::kSuccess;
      default:
        return ErrorCode::kUnknown;  // see measure
    }
  }

  bool is_at_end() const { return next_ == end_; }

 private:
  ErrorCode poll(std::int64_t index) {
    return index % kPollElements == 0 && must_poll(worker_) ? weld_rt_poll(&worker_) : ErrorCode::kSuccess;
  }

  // A count that the rest of the buffer can hold, so that memory is bounded by the buffer.
  ErrorCode read_count(const TypeLayout& element, std::int64_t& count) {
    if (end_ - next_ < 8) return ErrorCode::kDeserializationError;
    std::memcpy(&count, next_, 8);
    next_ += 8;
    if (count < 0 ||
        (element.min_serialized_bytes > 0 && count > (end_ - next_) / element.min_serialized_bytes))
      return ErrorCode::kDeserializationError;
    return ErrorCode::kSuccess;
  }

  ErrorCode read_vec(const TypeLayout& element, VecView& vec, std::uint32_t first_insert) {
    std::int64_t count;
    ErrorCode code = read_count(element, count);
    if (code != ErrorCode::kSuccess) return code;
    vec = {nullptr, count};
    if (count == 0) return ErrorCode::kSuccess;
    // Elements without bytes have data too: a length without data is an error everywhere else.
    vec.data = element.contains_pointer ? weld_rt_allocate_zeroed(&worker_, count * element.size_bytes)
                                        : weld_rt_allocate(&worker_, count * element.size_bytes);
    if (!vec.data) return ErrorCode::kOutOfMemory;
    if (element.size_bytes == 0) return ErrorCode::kSuccess;
    if (is_copied(element)) {
      read_bytes(vec.data, count * element.size_bytes);
      return ErrorCode::kSuccess;
    }
    if (element.kind == LayoutKind::kScalar) return read_scalars(element.scalar, vec.data, count);
    for (std::int64_t i = 0; i < count && code == ErrorCode::kSuccess; ++i) {
      code = poll(i);
      if (code == ErrorCode::kSuccess) code = read(element, vec.data + i * element.size_bytes, first_insert);
    }
    return code;
  }

  ErrorCode read_dict(const TypeLayout& entry, Dict*& dict, std::uint32_t first_insert) {
    std::int64_t count;
    ErrorCode code = read_count(entry, count);
    if (code != ErrorCode::kSuccess) return code;
    // Keys without bytes are all equal.
    if (entry.min_serialized_bytes == 0 && count > 1) return ErrorCode::kDeserializationError;
    dict = weld_rt_dict_new(&worker_, entry.size_bytes, count);
    std::byte* pair = dict ? weld_rt_allocate_zeroed(&worker_, entry.size_bytes) : nullptr;
    if (!pair) return ErrorCode::kOutOfMemory;
    for (std::int64_t i = 0; i < count && code == ErrorCode::kSuccess; ++i) {
      code = poll(i);
      if (code == ErrorCode::kSuccess) code = read(entry, pair, first_insert + 1);
      if (code == ErrorCode::kSuccess)
        code = inserts_[first_insert](&worker_, dict, pair + entry.members[0].offset,
                                      pair + entry.members[1].offset);
    }
    weld_rt_free(&worker_, pair);
    return code;
  }

  // The callers have seen that so many bytes are left.
  void read_bytes(std::byte* to, std::int64_t num_bytes) {
    std::memcpy(to, next_, static_cast<std::size_t>(num_bytes));
    next_ += num_bytes;
  }

  ErrorCode read_scalars(ir::ScalarKind kind, std::byte* to, std::int64_t count) {
    read_bytes(to, count * ir::size_bytes(kind));
    if (kind != ir::ScalarKind::kBool) return ErrorCode::kSuccess;
    for (std::int64_t i = 0; i < count; ++i)
      to[i] = std::byte{to[i] != std::byte{0}};  // any other byte is true
    return ErrorCode::kSuccess;
  }

  Worker& worker_;
  const std::byte* next_;
  const std::byte* end_;
  const DictInsert* inserts_;
};

}  // namespace

extern "C" {

ErrorCode weld_rt_serialize(Worker* worker, std::uint32_t layout, const void* value,
                            VecView* result) noexcept {
  const TypeLayout& type = worker->run->layout(layout);
  const auto* bytes = static_cast<const std::byte*>(value);
  Writer writer(*worker);
  const ErrorCode code = writer.measure(type, bytes);
  if (code != ErrorCode::kSuccess) return code;
  std::byte* output = weld_rt_allocate(worker, writer.num_bytes());
  if (!output) return ErrorCode::kOutOfMemory;
  *result = {output, writer.num_bytes()};
  writer.write_to(output);
  return writer.write(type, bytes);
}

ErrorCode weld_rt_deserialize(Worker* worker, std::uint32_t layout, const std::byte* data,
                              std::int64_t length, const DictInsert* inserts, void* result) noexcept {
  // What a failed attempt has allocated goes with this scope.
  Scope scope;
  weld_rt_scope_begin(worker, &scope);
  Reader reader(*worker, data, length, inserts);
  ErrorCode code = reader.read(worker->run->layout(layout), static_cast<std::byte*>(result), 0);
  if (code == ErrorCode::kSuccess && !reader.is_at_end()) code = ErrorCode::kDeserializationError;
  if (code == ErrorCode::kSuccess) {
    weld_rt_scope_keep(worker, &scope);
  } else {
    weld_rt_scope_end(worker, &scope);
  }
  return code;
}

}  // extern "C"
}  // namespace weld::runtime
