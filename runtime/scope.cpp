#include <cstring>

#include "runtime/calls.h"
#include "runtime/run_context.h"

// The calls of generated code into memory.h.

namespace weld::runtime {
namespace {

std::byte* allocate(Worker* worker, std::int64_t bytes, bool* zeroed) {
  Block* block = state_of(worker).heap.allocate(bytes, zeroed);
  if (!block) return nullptr;
  link_last(worker->scope->blocks, block);
  return block->payload();
}

// Links `block` where `old_block` is.
void take_place(Block* old_block, Block* block) {
  block->next = old_block->next;
  block->previous = old_block->previous;
  block->next->previous = block;
  block->previous->next = block;
}

}  // namespace

extern "C" {

std::byte* weld_rt_allocate(Worker* worker, std::int64_t bytes) noexcept {
  return allocate(worker, bytes, nullptr);
}

std::byte* weld_rt_allocate_zeroed(Worker* worker, std::int64_t bytes) noexcept {
  bool zeroed;
  std::byte* payload = allocate(worker, bytes, &zeroed);
  if (payload && !zeroed) std::memset(payload, 0, static_cast<std::size_t>(bytes));
  return payload;
}

std::byte* weld_rt_grow(Worker* worker, std::byte* payload, std::int64_t used_bytes,
                        std::int64_t new_bytes) noexcept {
  if (!payload) return weld_rt_allocate(worker, new_bytes);
  WorkerHeap& heap = state_of(worker).heap;
  Block* old_block = Block::of(payload);
  if (heap.resize(old_block, new_bytes)) return payload;
  if (new_bytes > old_block->requested_bytes && WorkerHeap::can_remap(old_block)) {
    Block* moved = heap.remap(old_block, used_bytes, new_bytes);
    return moved ? moved->payload() : nullptr;
  }
  Block* block = heap.allocate(new_bytes);
  if (!block) return nullptr;
  if (used_bytes > 0) std::memcpy(block->payload(), payload, static_cast<std::size_t>(used_bytes));
  take_place(old_block, block);
  heap.free(old_block);
  return block->payload();
}

void weld_rt_free(Worker* worker, std::byte* payload) noexcept {
  if (!payload) return;
  Block* block = Block::of(payload);
  unlink(block);
  state_of(worker).heap.free(block);
}

void weld_rt_trim(Worker* worker, std::byte* payload, std::int64_t bytes) noexcept {
  if (payload) state_of(worker).heap.resize(Block::of(payload), bytes);
}

void weld_rt_adopt(Worker* worker, std::byte* payload) noexcept {
  if (!payload) return;
  Block* block = Block::of(payload);
  unlink(block);
  link_last(worker->scope->blocks, block);
}

void weld_rt_replace(Worker* worker, std::byte* old_payload, std::byte* payload) noexcept {
  if (!old_payload) return weld_rt_adopt(worker, payload);
  Block* old_block = Block::of(old_payload);
  Block* block = Block::of(payload);
  unlink(block);
  take_place(old_block, block);
  state_of(worker).heap.free(old_block);
}

void weld_rt_scope_begin(Worker* worker, Scope* scope) noexcept {
  scope->parent = worker->scope;
  begin_list(scope->blocks);
  worker->scope = scope;
}

void weld_rt_scope_end(Worker* worker, Scope* scope) noexcept {
  state_of(worker).heap.free_all(scope->blocks);
  worker->scope = scope->parent;
}

void weld_rt_scope_clear(Worker* worker, Scope* scope) noexcept {
  state_of(worker).heap.free_all(scope->blocks);
}

void weld_rt_scope_keep(Worker* worker, Scope* scope) noexcept {
  splice_last(scope->parent->blocks, scope->blocks);
  worker->scope = scope->parent;
}

}  // extern "C"
}  // namespace weld::runtime
