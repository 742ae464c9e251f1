#include <optional>
#include <vector>

#include "codegen/captured_function.h"
#include "codegen/emitter.h"

// `sort`: the runtime sorts (runtime/sort.h); generated code compares elements, or makes an array of keys.

namespace weld::codegen {
namespace {

using ir::ScalarKind;

// i32 compare(worker, captures, left, right, ErrorCode* error): runtime::SortComparator around a function
// (worker, captures, left, right, i32* result) that returns an ErrorCode.
llvm::Function* as_comparator(Emitter& emitter, llvm::Function* compare) {
  llvm::Type* pointer = emitter.ir.getPtrTy();
  llvm::Function* function = emitter.module.add_function(
      "sort_comparator", {pointer, pointer, pointer, pointer, pointer}, emitter.ir.getInt32Ty());
  Emitter inside(emitter.module, function);
  llvm::AllocaInst* result = inside.frame(inside.ir.getInt32Ty());
  inside.ir.CreateStore(inside.i32(0), result);
  llvm::Value* code = inside.call(
      compare, {function->getArg(0), function->getArg(1), function->getArg(2), function->getArg(3), result});
  inside.when(inside.ir.CreateIsNotNull(code), [&] { inside.ir.CreateStore(code, function->getArg(4)); });
  inside.ir.CreateRet(inside.ir.CreateLoad(inside.ir.getInt32Ty(), result));
  return function;
}

llvm::Function* language_comparator(Emitter& emitter, const CapturedFunction& captured,
                                    const ir::Lambda& lambda, ir::Type element) {
  llvm::Type* pointer = emitter.ir.getPtrTy();
  llvm::Function* function =
      emitter.module.add_function("sort_compare", {pointer, pointer, pointer, pointer, pointer});
  Emitter inside(emitter.module, function);
  captured.bind(inside, function->getArg(1));
  inside.set_loop_depth(emitter.loop_depth() + 1);
  const bool allocates = ir::any(lambda.body.effects() & ir::Effects::kAllocates);
  llvm::Value* scope = allocates ? inside.open_scope() : nullptr;
  inside.bind(lambda.parameters[0].symbol, inside.load(element, function->getArg(2)));
  inside.bind(lambda.parameters[1].symbol, inside.load(element, function->getArg(3)));
  inside.ir.CreateStore(inside.emit_scalar(lambda.body), function->getArg(4));
  if (scope) inside.close_scope(scope);
  inside.finish();
  return as_comparator(emitter, function);
}

llvm::Function* key_comparator(Emitter& emitter, ir::Type key) {
  llvm::Type* pointer = emitter.ir.getPtrTy();
  return emitter.module.shared_function("compare_keys", key, 0, {pointer, pointer, pointer, pointer, pointer},
                                        emitter.ir.getInt32Ty(), [&](llvm::Function* made) {
                                          Emitter inside(emitter.module, made);
                                          const Value left = inside.load(key, made->getArg(2));
                                          const Value right = inside.load(key, made->getArg(3));
                                          inside.ir.CreateRet(inside.total_order(left, right));
                                        });
}

// A number with the order of the scalar's values: −0 = +0, all NaNs equal and last.
llvm::Value* ordered_bits(Emitter& emitter, ScalarKind kind, llvm::Value* value) {
  auto& ir = emitter.ir;
  if (!ir::is_signed(kind) && !ir::is_float(kind)) return value;
  llvm::Type* bits_type = ir.getIntNTy(static_cast<unsigned>(ir::bit_width(kind)));
  llvm::Value* sign =
      llvm::ConstantInt::get(bits_type, llvm::APInt::getSignMask(bits_type->getIntegerBitWidth()));
  if (!ir::is_float(kind)) return ir.CreateXor(value, sign);
  llvm::Value* bits = ir.CreateBitCast(value, bits_type);
  llvm::Value* is_negative = ir.CreateICmpSLT(bits, llvm::ConstantInt::get(bits_type, 0));
  llvm::Value* ordered = ir.CreateSelect(is_negative, ir.CreateNot(bits), ir.CreateXor(bits, sign));
  llvm::Value* is_zero = ir.CreateFCmpOEQ(value, llvm::ConstantFP::getZero(value->getType()));
  ordered = ir.CreateSelect(is_zero, sign, ordered);
  llvm::Value* is_nan = ir.CreateFCmpUNO(value, value);
  return ir.CreateSelect(is_nan, llvm::Constant::getAllOnesValue(bits_type), ordered);
}

bool is_string(ir::Type type) {
  const auto* vec = type.as<ir::VecType>();
  return vec &&
         (ir::is_scalar(vec->element, ScalarKind::kI8) || ir::is_scalar(vec->element, ScalarKind::kU8));
}

bool is_signed_string(ir::Type type) {
  return ir::is_scalar(type.as<ir::VecType>()->element, ScalarKind::kI8);
}

// The words of a key (runtime::SortWords): its members' bits from the first one on, up to a vector.
class KeyWords {
 public:
  static constexpr std::size_t kMaxWords = 4;

  explicit KeyWords(Emitter& emitter) : emitter_(emitter) {}

  void add(const Value& value) {
    if (!decide_) return;
    if (const auto* scalar = value.type.as<ir::ScalarType>()) {
      const int bits = scalar->kind == ScalarKind::kBool ? 1 : static_cast<int>(ir::bit_width(scalar->kind));
      add_bits(emitter_.ir.CreateZExt(ordered_bits(emitter_, scalar->kind, value.scalar()),
                                      emitter_.ir.getInt64Ty()),
               bits);
    } else if (const auto* structure = value.type.as<ir::StructType>()) {
      for (std::uint32_t i = 0; i < structure->members.size(); ++i) add(emitter_.member(value, i));
    } else {
      if (is_string(value.type)) {
        add_bits(emitter_.call("weld_rt_string_word", {value.leaves[0], value.leaves[1],
                                                       emitter_.i32(is_signed_string(value.type))}),
                 64);
      }
      decide_ = false;
    }
  }

  const std::vector<llvm::Value*>& words() {
    if (words_.empty()) words_.push_back(emitter_.i64(0));
    return words_;
  }
  bool decide() const { return decide_; }

 private:
  // The lowest `bits` of a word that has no others set. What does not fit is left out, of the last word only.
  void add_bits(llvm::Value* value, int bits) {
    auto& ir = emitter_.ir;
    if (room_ < bits && words_.size() == kMaxWords) {
      decide_ = false;
      if (room_ > 0)
        words_.back() = ir.CreateOr(words_.back(), ir.CreateLShr(value, emitter_.i64(bits - room_)));
      return;
    }
    if (room_ < bits) {
      if (room_ > 0)
        words_.back() = ir.CreateOr(words_.back(), ir.CreateLShr(value, emitter_.i64(bits - room_)));
      const int left = bits - room_;
      words_.push_back(ir.CreateShl(value, emitter_.i64(64 - left)));
      room_ = 64 - left;
      return;
    }
    room_ -= bits;
    words_.back() = ir.CreateOr(words_.back(), ir.CreateShl(value, emitter_.i64(room_)));
  }

  Emitter& emitter_;
  std::vector<llvm::Value*> words_;
  int room_ = 0;  // bits of the last word
  bool decide_ = true;
};

struct WordsFunction {
  llvm::Function* function;
  std::int64_t num_words;
  bool decide;
};

// void words(keys, begin, end, words): runtime::SortWords.
WordsFunction words_function(Emitter& emitter, ir::Type key) {
  llvm::Type* pointer = emitter.ir.getPtrTy();
  llvm::Type* i64 = emitter.ir.getInt64Ty();
  WordsFunction result{};
  result.function =
      emitter.module.add_function("sort_words", {pointer, i64, i64, pointer}, emitter.ir.getVoidTy());
  Emitter inside(emitter.module, result.function);
  llvm::Value* begin = result.function->getArg(1);
  inside.count_loop(inside.ir.CreateSub(result.function->getArg(2), begin), [&](llvm::Value* index) {
    llvm::Value* address = inside.element_address(
        result.function->getArg(0), inside.ir.CreateAdd(begin, index), inside.flat(key).size_bytes);
    KeyWords words(inside);
    words.add(inside.load(key, address));
    result.num_words = static_cast<std::int64_t>(words.words().size());
    result.decide = words.decide();
    llvm::Value* to = inside.element_address(result.function->getArg(3), index, 8 * result.num_words);
    for (std::size_t i = 0; i < words.words().size(); ++i)
      inside.ir.CreateStore(words.words()[i], inside.offset(to, static_cast<std::int64_t>(8 * i)));
  });
  inside.ir.CreateRetVoid();
  return result;
}

// Where the keys of a vector's elements are.
struct Keys {
  llvm::Value* first;
  std::int64_t stride_bytes;
  bool are_new;  // an array of their own
};

// Keys that are the elements, or members of them; nothing where they are computed.
std::optional<Keys> keys_in_place(Emitter& emitter, const ir::Lambda& lambda, const Value& vector) {
  std::vector<std::uint32_t> path;
  ir::Expr expr = lambda.body;
  for (; const auto* field = expr.as<ir::GetField>(); expr = field->value) path.push_back(field->index);
  const auto* ident = expr.as<ir::Ident>();
  if (!ident || ident->symbol != lambda.parameters[0].symbol) return std::nullopt;
  const ir::Type element = vector.type.as<ir::VecType>()->element;
  const runtime::TypeLayout* layout = &emitter.module.layout(element);
  std::int64_t offset = 0;
  for (auto index = path.rbegin(); index != path.rend(); ++index) {
    offset += layout->members[*index].offset;
    layout = layout->members[*index].layout;
  }
  return Keys{emitter.offset(vector.leaves[0], offset), emitter.flat(element).size_bytes, false};
}

// An array of the keys of all elements.
Keys make_keys(Emitter& emitter, ir::Expr function, const Value& vector, ir::Span span) {
  const auto& lambda = *function.as<ir::Lambda>();
  const ir::Type key = lambda.body.type();
  const ir::Type element = vector.type.as<ir::VecType>()->element;
  const std::int64_t key_bytes = emitter.flat(key).size_bytes;
  llvm::Type* pointer = emitter.ir.getPtrTy();
  llvm::Type* i64 = emitter.ir.getInt64Ty();

  const CapturedFunction captured(emitter, function);
  llvm::Function* write = emitter.module.add_function("sort_keys", {pointer, pointer, i64, i64, pointer});
  Emitter inside(emitter.module, write);
  llvm::Value* data = inside.load_field(pointer, write->getArg(1), 0);
  captured.bind(inside, inside.load_field(pointer, write->getArg(1), 8));
  inside.set_loop_depth(emitter.loop_depth() + 1);
  llvm::Value* begin = write->getArg(2);
  inside.count_loop(inside.ir.CreateSub(write->getArg(3), begin), [&](llvm::Value* index) {
    llvm::Value* address =
        inside.element_address(data, inside.ir.CreateAdd(begin, index), inside.flat(element).size_bytes);
    inside.bind(lambda.parameters[0].symbol, inside.load_element(element, address, span));
    inside.store(inside.emit(lambda.body), inside.element_address(write->getArg(4), index, key_bytes));
  });
  inside.finish();

  llvm::Value* captures = emitter.frame(16, 8);
  emitter.store_field(vector.leaves[0], captures, 0);
  emitter.store_field(captured.store(emitter), captures, 8);
  std::uint32_t flags = 0;
  if (ir::any(lambda.body.effects() & ir::Effects::kAllocates))
    flags = emitter.module.layout(key).contains_pointer ? runtime::kLoopKeepsMemory : runtime::kLoopAllocates;
  llvm::Value* keys = emitter.frame(pointer);
  emitter.check(emitter.call("weld_rt_make_keys", {emitter.worker, vector.leaves[1], emitter.i64(key_bytes),
                                                   write, captures, emitter.i32(flags), keys}),
                span);
  return {emitter.ir.CreateLoad(pointer, keys), key_bytes, true};
}

// The first `limit` (i64) elements of the sorted vector, in a new one.
Value sort_first(Emitter& emitter, const Value& vector, ir::Expr comparator_or_key, llvm::Value* limit,
                 ir::Span span) {
  const auto& lambda = *comparator_or_key.as<ir::Lambda>();
  const ir::Type element = vector.type.as<ir::VecType>()->element;
  llvm::Value* bytes = emitter.i64(emitter.flat(element).size_bytes);
  llvm::Value* result = emitter.frame(vector.type);
  llvm::Value* data = vector.leaves[0];
  llvm::Value* length = vector.leaves[1];
  if (lambda.parameters.size() == 2) {
    const CapturedFunction captured(emitter, comparator_or_key);
    llvm::Function* comparator = language_comparator(emitter, captured, lambda, element);
    emitter.check(emitter.call("weld_rt_sort", {emitter.worker, data, length, bytes, comparator,
                                                captured.store(emitter), limit, result}),
                  span);
    return emitter.load(vector.type, result);
  }
  const ir::Type key = lambda.body.type();
  const auto* scalar = key.as<ir::ScalarType>();
  std::optional<Keys> in_place;
  if (scalar || is_string(key)) in_place = keys_in_place(emitter, lambda, vector);
  const Keys keys = in_place ? *in_place : make_keys(emitter, comparator_or_key, vector, span);
  llvm::Value* stride = emitter.i64(keys.stride_bytes);
  llvm::Value* code;
  if (scalar) {
    llvm::Value* kind = emitter.i32(static_cast<std::uint32_t>(scalar->kind));
    code = emitter.call("weld_rt_sort_by_scalar",
                        {emitter.worker, data, length, bytes, keys.first, stride, kind, limit, result});
  } else if (is_string(key)) {
    code = emitter.call("weld_rt_sort_by_string", {emitter.worker, data, length, bytes, keys.first, stride,
                                                   emitter.i32(is_signed_string(key)), limit, result});
  } else {
    const WordsFunction words = words_function(emitter, key);
    code = emitter.call("weld_rt_sort_by_key",
                        {emitter.worker, data, length, bytes, keys.first, stride, words.function,
                         emitter.i64(words.num_words), emitter.i32(words.decide),
                         key_comparator(emitter, key), emitter.null(), limit, result});
  }
  emitter.check(code, span);
  if (keys.are_new) emitter.call("weld_rt_free", {emitter.worker, keys.first});
  return emitter.load(vector.type, result);
}

}  // namespace

Value emit_sort(Emitter& emitter, ir::Expr expr) {
  if (const auto* sort = expr.as<ir::Sort>()) {
    const Value vector = emitter.emit(sort->vector);
    return sort_first(emitter, vector, sort->function, emitter.i64(INT64_MAX), expr.span());
  }
  const auto& node = *expr.as<ir::PartialSort>();
  const Value vector = emitter.emit(node.vector);
  llvm::Value* limit = emitter.emit_scalar(node.count);
  emitter.fail_if(emitter.ir.CreateICmpSLT(limit, emitter.i64(0)), ErrorCode::kArrayOutOfBounds, expr.span());
  return sort_first(emitter, vector, node.function, limit, expr.span());
}

}  // namespace weld::codegen
