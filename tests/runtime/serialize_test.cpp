#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "run_fixture.h"

namespace weld::runtime {
namespace {

// A value with everything in it: {i8, f64, vec[{bool,f32}], dict[i64,vec[i8]], vec[{}]}.
struct Inner {
  std::uint8_t flag;
  float number;
};
struct Value {
  std::int8_t small;
  double number;
  VecView structs;
  Dict* dict;
  VecView empty_structs;
};

ErrorCode insert(Worker* worker, Dict* dict, const void* key, const void* value) {
  for (std::int64_t i = 0; i < dict->num_entries; ++i)
    if (std::memcmp(dict->entries + i * dict->entry_bytes, key, 8) == 0)
      return ErrorCode::kDeserializationError;
  if (dict->num_entries == dict->entry_capacity) {
    const ErrorCode code = weld_rt_dict_grow(worker, dict);
    if (code != ErrorCode::kSuccess) return code;
  }
  std::byte* entry = dict->entries + dict->num_entries++ * dict->entry_bytes;
  std::memcpy(entry, key, 8);
  std::memcpy(entry + 8, value, 16);
  return ErrorCode::kSuccess;
}
constexpr DictInsert kInserts[] = {insert};

class SerializeTest : public RunTest {
 protected:
  SerializeTest() {
    const ir::Type f32 = ir::Type::scalar(ir::ScalarKind::kF32);
    type = arena.structure({i8(), f64(), arena.vec(arena.structure({boolean(), f32})),
                            arena.dict(i64(), arena.vec(i8())), arena.vec(arena.structure({}))});
    index = index_of(type);
  }

  static ErrorCode make_value(Worker* worker, Value& value) {
    value.small = -3;
    value.number = -std::nan("7");
    const auto fill = [&](VecView& vec, std::int64_t length, std::int64_t bytes) {
      vec = {weld_rt_allocate_zeroed(worker, length * bytes), length};
      return vec.data != nullptr;
    };
    if (!fill(value.structs, 3, sizeof(Inner))) return ErrorCode::kOutOfMemory;
    for (int i = 0; i < 3; ++i)
      reinterpret_cast<Inner*>(value.structs.data)[i] = {static_cast<std::uint8_t>(i * 5),
                                                         static_cast<float>(i) / 2};
    value.dict = weld_rt_dict_new(worker, 24, 0);
    if (!value.dict) return ErrorCode::kOutOfMemory;
    for (std::int64_t key = 0; key < 20; ++key) {
      VecView text;
      if (!fill(text, key, 1)) return ErrorCode::kOutOfMemory;
      const ErrorCode code = insert(worker, value.dict, &key, &text);
      if (code != ErrorCode::kSuccess) return code;
    }
    value.empty_structs = {nullptr, 5};
    return ErrorCode::kSuccess;
  }

  std::string bytes_of_value() {
    std::string bytes;
    const RunResult result = run(layout(arena.vec(i8())), [&](Worker* worker, std::byte* out) {
      Value value{};
      const ErrorCode code = make_value(worker, value);
      if (code != ErrorCode::kSuccess) return code;
      return weld_rt_serialize(worker, index, &value, reinterpret_cast<VecView*>(out));
    });
    EXPECT_EQ(result.code, ErrorCode::kSuccess);
    const auto& vec = *reinterpret_cast<const VecView*>(result.data);
    return {reinterpret_cast<const char*>(vec.data), static_cast<std::size_t>(vec.length)};
  }

  // Deserialises from a buffer of exactly that size, so that the address sanitizer sees what is read past it.
  ErrorCode read(const std::string& bytes, std::string* again = nullptr) {
    const std::unique_ptr<std::byte[]> buffer(new std::byte[bytes.size()]);
    std::memcpy(buffer.get(), bytes.data(), bytes.size());
    std::int64_t most = 0;
    const RunResult result = run(layout(arena.vec(i8())), [&](Worker* worker, std::byte* out) {
      Value value{};
      ErrorCode code = weld_rt_deserialize(worker, index, buffer.get(),
                                           static_cast<std::int64_t>(bytes.size()), kInserts, &value);
      most = context.bytes_in_use();
      if (code != ErrorCode::kSuccess) {
        EXPECT_TRUE(worker->scope->empty());
        return code;
      }
      return weld_rt_serialize(worker, index, &value, reinterpret_cast<VecView*>(out));
    });
    EXPECT_LT(most, 64 * static_cast<std::int64_t>(bytes.size()) + 4096);
    if (again && result.code == ErrorCode::kSuccess) {
      const auto& vec = *reinterpret_cast<const VecView*>(result.data);
      again->assign(reinterpret_cast<const char*>(vec.data), static_cast<std::size_t>(vec.length));
    }
    return result.code;
  }

  ir::Type type;
  std::uint32_t index;
};

TEST_F(SerializeTest, HasTheDocumentedBytes) {
  const std::string bytes = bytes_of_value();
  ASSERT_EQ(bytes.size(), 1 + 8 + (8 + 3 * 5) + (8 + 20 * 16 + 190) + 8u);
  EXPECT_EQ(bytes[0], -3);
  std::uint64_t bits;
  std::memcpy(&bits, &bytes[1], 8);
  EXPECT_EQ(bits, 0x7ff8000000000000u);  // the canonical NaN
  EXPECT_EQ(bytes[9], 3);
  EXPECT_EQ(bytes[17], 0);
  EXPECT_EQ(bytes[22], 1);  // the byte 5 is true
  EXPECT_EQ(bytes[32], 20);
}

TEST_F(SerializeTest, RoundTrips) {
  const std::string bytes = bytes_of_value();
  std::string again;
  EXPECT_EQ(read(bytes, &again), ErrorCode::kSuccess);
  EXPECT_EQ(again, bytes);
}

TEST_F(SerializeTest, ShortAndLongBuffersFail) {
  const std::string bytes = bytes_of_value();
  for (std::size_t length = 0; length < bytes.size(); ++length)
    ASSERT_EQ(read(bytes.substr(0, length)), ErrorCode::kDeserializationError) << length;
  EXPECT_EQ(read(bytes + '\0'), ErrorCode::kDeserializationError);
}

TEST_F(SerializeTest, AnyByteIsABool) {
  const std::string bytes = bytes_of_value();
  std::string other = bytes;
  other[17] = 2;
  std::string again;
  EXPECT_EQ(read(other, &again), ErrorCode::kSuccess);
  EXPECT_EQ(again[17], 1);
}

TEST_F(SerializeTest, BadBytesFail) {
  const std::string bytes = bytes_of_value();
  std::string bad = bytes;
  bad[40] = 1;  // key 0 becomes key 1, which is there
  EXPECT_EQ(read(bad), ErrorCode::kDeserializationError);
  for (const std::size_t count : {9u, 32u}) {
    for (const std::int64_t wrong : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(),
                                     std::int64_t{1} << 40, std::numeric_limits<std::int64_t>::max()}) {
      bad = bytes;
      std::memcpy(&bad[count], &wrong, 8);
      EXPECT_EQ(read(bad), ErrorCode::kDeserializationError);
    }
  }
}

TEST_F(SerializeTest, MutatedBuffersNeverCrash) {
  const std::string bytes = bytes_of_value();
  std::mt19937 random(3);
  for (int i = 0; i < 20'000; ++i) {
    std::string mutated = bytes;
    for (unsigned changes = random() % 4 + 1; changes > 0; --changes)
      mutated[random() % mutated.size()] = static_cast<char>(random() % 3 ? random() % 4 : random());
    if (random() % 4 == 0) mutated.resize(random() % mutated.size());
    std::string again;
    const ErrorCode code = read(mutated, &again);
    ASSERT_TRUE(code == ErrorCode::kSuccess || code == ErrorCode::kDeserializationError);
    if (code == ErrorCode::kSuccess) ASSERT_EQ(again.size(), mutated.size());
  }
}

TEST_F(SerializeTest, EveryAllocationMayFail) {
  fail_every_allocation([&](Context& failing) {
    return runtime::run(failing, settings, layout(type),
                        [&](Worker* worker, std::byte* out) {
                          Value value{};
                          ErrorCode code = make_value(worker, value);
                          VecView bytes;
                          if (code == ErrorCode::kSuccess)
                            code = weld_rt_serialize(worker, index, &value, &bytes);
                          if (code == ErrorCode::kSuccess)
                            code =
                                weld_rt_deserialize(worker, index, bytes.data, bytes.length, kInserts, out);
                          return code;
                        })
        .code;
  });
}

}  // namespace
}  // namespace weld::runtime
