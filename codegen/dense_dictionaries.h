#pragma once

#include <optional>

#include "codegen/dictionaries.h"

namespace weld::codegen {

// Dense tables (runtime/dense_table.h) in generated code. A dictionary may become dense, and hashed again,
// whenever a key is inserted, so that code looks at it each time.

/// Where the fields of such keys are (runtime::key_field); 0 for keys that have no dense tables.
std::uint64_t key_shape(Emitter& emitter, const EntryType& type);

/// Lets a new dictionary become dense, as the annotations of its builder say.
void choose_table(Emitter& emitter, const EntryType& type, llvm::Value* dict, ir::Annotations annotations,
                  ir::Span span);
/// Lets a part do what `outer` may.
void choose_table_like(Emitter& emitter, const EntryType& type, llvm::Value* dict, llvm::Value* outer,
                       ir::Span span);

llvm::Value* is_dense(Emitter& emitter, llvm::Value* dict);

/// The place of a key in a dense table, or of lanes of keys, and whether it has one: where not, it is 0.
struct DensePlace {
  llvm::Value* inside;
  llvm::Value* place;  // i64
};
DensePlace dense_place(Emitter& emitter, ir::Type key, llvm::Value* dict, const LeafValues& leaves);

/// Of the entry at a place: its index and 1, or 0; i64.
llvm::Value* dense_slot(Emitter& emitter, llvm::Value* dict, const DensePlace& place);

/// Starts to read what merges or lookups of lanes of keys will need; the mask (null: all) says which.
void prefetch_dense(Emitter& emitter, const EntryType& type, llvm::Value* dict, const LeafValues& lanes,
                    llvm::Value* mask, std::uint32_t num_lanes);

/// find_or_insert (dictionaries.h) of a table that is dense until then; minus the ErrorCode where it fails.
llvm::Value* find_or_insert_dense(Emitter& emitter, const EntryType& type, llvm::Value* dict,
                                  const Value& key, std::optional<ir::MergeOp> identity);

}  // namespace weld::codegen
