// SPDX-License-Identifier: Apache-2.0
// Fibers and the scheduler of a block.
#include "support/gpu_emulator.h"

#include <sys/mman.h>

#include <exception>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "support/kernel_symbols.h"

#if defined(__x86_64__) && !defined(BIGMODEL_EMULATOR_UCONTEXT)
#define BIGMODEL_EMULATOR_ASSEMBLY 1
#else
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace bigmodel::emulator {
namespace {

constexpr std::size_t kStackBytes = 256 << 10;
constexpr unsigned kMostThreads = 1024;

/// A place where execution goes on: the scheduler's, or that of one CUDA thread.
struct Context {
#ifdef BIGMODEL_EMULATOR_ASSEMBLY
  void* sp = nullptr;
#else
  ucontext_t place{};
#endif
#if defined(__SANITIZE_THREAD__)
  void* tsan_fiber = nullptr;
#endif
  const void* stack_bottom = nullptr;
  std::size_t stack_bytes = 0;
  void* fake_stack = nullptr;
};

#ifdef BIGMODEL_EMULATOR_ASSEMBLY
extern "C" void bigmodel_emulator_switch(void** save, void* load);
// Callee-saved registers lie on the stack that is left; control words are never changed by kernels.
asm(R"(
.text
.type bigmodel_emulator_switch, @function
.globl bigmodel_emulator_switch
bigmodel_emulator_switch:
  .cfi_startproc
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .cfi_endproc
.size bigmodel_emulator_switch, .-bigmodel_emulator_switch
)");
#endif

/// Leaves `from` for `to`. `ends`: nothing comes back to `from`.
void switch_context(Context& from, Context& to, [[maybe_unused]] bool ends) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(ends ? nullptr : &from.fake_stack, to.stack_bottom, to.stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to.tsan_fiber, 0);
#endif
#ifdef BIGMODEL_EMULATOR_ASSEMBLY
  bigmodel_emulator_switch(&from.sp, to.sp);
#else
  swapcontext(&from.place, &to.place);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

struct Stack {
  std::byte* memory = nullptr;
  std::byte* top = nullptr;
  Context context;
};

enum class State : std::uint8_t { fresh, ready, at_block, at_warp, ended };

struct Warp {
  void* operand[32];
  std::uint32_t mask[32];
  Exchange exchange[32];
  Where at[32];
  std::uint32_t waiting, there, ended;
};

class Machine {
 public:
  ~Machine() {
    for (const auto& s : stacks_) {
#if defined(__SANITIZE_THREAD__)
      __tsan_destroy_fiber(s->context.tsan_fiber);
#endif
      munmap(s->memory, kStackBytes);
    }
  }

  void run(const Grid& grid, const std::function<void()>& body);
  void enter();
  [[noreturn]] void fail(const std::string& message, const Where& at);
  int wait_for_block(bool predicate, const Where& at);
  void meet(std::uint32_t mask, void* mine, Exchange exchange, const Where& at);

  Context& scheduler() { return scheduler_; }
  std::byte* shared() { return shared_.get(); }
  int capability() const { return grid_.capability; }

 private:
  void run_block();
  void resume(unsigned thread);
  void suspend(State state, bool ends = false);
  /// Makes a thread the current one.
  Context& choose(unsigned thread);
  void push(unsigned thread) { queue_[tail_++ % kMostThreads] = static_cast<std::uint16_t>(thread); }
  unsigned pop() { return deep_ ? queue_[--tail_ % kMostThreads] : queue_[head_++ % kMostThreads]; }
  Stack* take_stack();
  void prepare(Stack& stack);
  std::string who_waits() const;
  void abandon();

  Grid grid_;
  const std::function<void()>* body_ = nullptr;
  std::vector<std::span<std::byte>> arrays_;
  bool busy_ = false;
  bool deep_ = false;
  std::unique_ptr<std::byte[]> shared_store_;
  std::unique_ptr<std::byte[], void (*)(std::byte*)> shared_{nullptr, [](std::byte*) {}};
  std::size_t shared_room_ = 0;

  Context scheduler_;
  std::vector<std::unique_ptr<Stack>> stacks_;
  std::vector<Stack*> free_;
  Stack* stack_of_[kMostThreads] = {};
  State state_[kMostThreads] = {};
  std::uint16_t order_[kMostThreads] = {};
  std::uint16_t queue_[kMostThreads] = {};
  unsigned head_ = 0, tail_ = 0, current_ = 0, finished_ = 0;
  Warp warps_[kMostThreads / 32];

  unsigned at_block_ = 0;
  int predicates_ = 0, predicates_seen_ = 0;
  Where block_at_;

  std::exception_ptr error_;
  std::mt19937 random_;
};

/// Of the thread that runs a launch.
constinit thread_local Machine* running = nullptr;

Machine& machine() { return *running; }

std::string place(const Where& at) { return std::string(at.file_name()) + ":" + std::to_string(at.line()); }

void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  // Where the first fiber comes from is the thread's own stack, which is not known otherwise.
  Context& back = machine().scheduler();
  const bool is_known = back.stack_bottom != nullptr;
  __sanitizer_finish_switch_fiber(nullptr, is_known ? nullptr : &back.stack_bottom, is_known ? nullptr : &back.stack_bytes);
#endif
  machine().enter();
}

Stack* Machine::take_stack() {
  if (free_.empty()) {
    auto made = std::make_unique<Stack>();
    void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    made->memory = static_cast<std::byte*>(memory);
    // Tops at one distance from each other would share few sets of the caches.
    made->top = made->memory + kStackBytes - 64 - stacks_.size() * 576 % 32768;
    made->context.stack_bottom = memory;
    made->context.stack_bytes = kStackBytes;
#if defined(__SANITIZE_THREAD__)
    made->context.tsan_fiber = __tsan_create_fiber(0);
#endif
    free_.push_back(made.get());
    stacks_.push_back(std::move(made));
  }
  Stack* taken = free_.back();
  free_.pop_back();
  return taken;
}

void Machine::prepare(Stack& stack) {
#if defined(__SANITIZE_ADDRESS__)
  // Frames that nothing returned from are still marked.
  ASAN_UNPOISON_MEMORY_REGION(stack.memory, kStackBytes);
#endif
#ifdef BIGMODEL_EMULATOR_ASSEMBLY
  // Six registers, then the address that `ret` takes, then one that is never returned to. At the entry of a function rsp + 8 is a multiple of 16.
  auto* top = reinterpret_cast<void**>(stack.top - 8);
  top[0] = nullptr;
  top[-1] = reinterpret_cast<void*>(&fiber_main);
  for (int i = 2; i <= 7; ++i) top[-i] = nullptr;
  stack.context.sp = top - 7;
#else
  getcontext(&stack.context.place);
  stack.context.place.uc_stack.ss_sp = stack.memory;
  stack.context.place.uc_stack.ss_size = kStackBytes;
  stack.context.place.uc_link = nullptr;
  makecontext(&stack.context.place, &fiber_main, 0);
#endif
}

void Machine::enter() {
  try {
    (*body_)();
  } catch (...) {
    error_ = std::current_exception();
  }
  const unsigned lane = current_ % 32;
  Warp& warp = warps_[current_ / 32];
  warp.ended |= 1U << lane;
  ++finished_;
  if (!error_ && warp.waiting != 0) {
    const int first = std::countr_zero(warp.waiting);
    if ((warp.mask[first] >> lane & 1U) != 0) {
      error_ = std::make_exception_ptr(EmulatorError("emulator: thread " + std::to_string(current_) + " ended, for which lane " + std::to_string(first) + " of its warp waits at " +
                                                     place(warp.at[first])));
    }
  }
  suspend(State::ended, true);
  std::terminate();
}

void Machine::suspend(State state, bool ends) {
  const unsigned thread = current_;
  state_[thread] = state;
  Context& mine = stack_of_[thread]->context;
  if (ends || head_ == tail_) {
    switch_context(mine, scheduler_, ends);
  } else {
    // Straight to who is next. (A thread that ends cannot: its stack is taken back first.)
    Context& next = choose(pop());
    switch_context(mine, next, false);
  }
}

Context& Machine::choose(unsigned thread) {
  current_ = thread;
  threadIdx = {thread, 0, 0};
  if (stack_of_[thread] == nullptr) {
    stack_of_[thread] = take_stack();
    prepare(*stack_of_[thread]);
  }
  state_[thread] = State::ready;
  return stack_of_[thread]->context;
}

void Machine::fail(const std::string& message, const Where& at) {
  throw EmulatorError("emulator: block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + "), thread " + std::to_string(current_) +
                      " at " + place(at) + ": " + message);
}

int Machine::wait_for_block(bool predicate, const Where& at) {
  if (at_block_ == 0) {
    block_at_ = at;
  } else if (block_at_.line() != at.line() || block_at_.column() != at.column()) {
    fail("a barrier while others wait at the one of " + place(block_at_), at);
  }
  if (finished_ != 0) fail("a barrier that " + std::to_string(finished_) + " threads never reach: they have ended", at);
  ++at_block_;
  predicates_ += predicate ? 1 : 0;
  if (at_block_ < grid_.threads) {
    suspend(State::at_block);
    return predicates_seen_;
  }
  predicates_seen_ = predicates_;
  predicates_ = 0;
  at_block_ = 0;
  for (unsigned i = 0; i < grid_.threads; ++i) {
    const unsigned thread = order_[i];
    if (thread == current_) continue;
    state_[thread] = State::ready;
    push(thread);
  }
  return predicates_seen_;
}

void Machine::meet(std::uint32_t mask, void* mine, Exchange exchange, const Where& at) {
  const unsigned lane = current_ % 32;
  Warp& warp = warps_[current_ / 32];
  if ((mask >> lane & 1U) == 0) fail("the mask does not name the lane that calls", at);
  if ((mask & ~warp.there) != 0) fail("the mask names lanes that the block does not have", at);
  if ((mask & warp.ended) != 0) fail("the mask names lanes that have ended", at);
  if (const std::uint32_t others = warp.waiting & mask; others != 0) {
    const int other = std::countr_zero(others);
    if (warp.mask[other] != mask || warp.exchange[other] != exchange || warp.at[other].line() != at.line() || warp.at[other].column() != at.column()) {
      fail("lanes of one warp meet in different operations or masks: lane " + std::to_string(other) + " is at " + place(warp.at[other]), at);
    }
  }
  warp.operand[lane] = mine;
  warp.mask[lane] = mask;
  warp.exchange[lane] = exchange;
  warp.at[lane] = at;
  warp.waiting |= 1U << lane;
  if ((warp.waiting & mask) != mask) {
    suspend(State::at_warp);
    return;
  }
  exchange(warp.operand, mask, at);
  warp.waiting &= ~mask;
  const unsigned first = current_ / 32 * 32;
  for (std::uint32_t left = mask & ~(1U << lane); left != 0;) {
    const int next = grid_.order % 2 == 0 ? std::countr_zero(left) : 31 - std::countl_zero(left);
    left &= ~(1U << next);
    state_[first + static_cast<unsigned>(next)] = State::ready;
    push(first + static_cast<unsigned>(next));
  }
}

void Machine::resume(unsigned thread) {
  switch_context(scheduler_, choose(thread), false);
  // Who comes back here need not be who was sent.
  if (state_[current_] == State::ended) {
    free_.push_back(stack_of_[current_]);
    stack_of_[current_] = nullptr;
  }
}

void Machine::abandon() {
  for (Stack*& stack : stack_of_) {
    if (stack != nullptr) free_.push_back(stack);
    stack = nullptr;
  }
}

std::string Machine::who_waits() const {
  for (unsigned t = 0; t < grid_.threads; ++t) {
    const Warp& warp = warps_[t / 32];
    if (state_[t] == State::at_warp) {
      const std::uint32_t missing = warp.mask[t % 32] & ~warp.waiting;
      return "lane " + std::to_string(t % 32) + " of warp " + std::to_string(t / 32) + " waits at " + place(warp.at[t % 32]) + " for lane " + std::to_string(std::countr_zero(missing)) +
             ", which never comes" + (at_block_ != 0 ? " (barrier at " + place(block_at_) + ")" : "");
    }
  }
  return std::to_string(at_block_) + " of " + std::to_string(grid_.threads) + " threads wait at the barrier of " + place(block_at_) + ", " + std::to_string(finished_) + " have ended";
}

void Machine::run_block() {
  // Poison: not-a-numbers that no kernel makes.
  std::memset(shared_.get(), 0xFF, grid_.shared_bytes);
  for (const std::span<std::byte> array : arrays_) std::memset(array.data(), 0xFF, array.size());
  head_ = tail_ = finished_ = at_block_ = 0;
  predicates_ = 0;
  for (unsigned w = 0; w * 32 < grid_.threads; ++w) {
    const unsigned lanes = std::min(32U, grid_.threads - w * 32);
    warps_[w].waiting = warps_[w].ended = 0;
    warps_[w].there = lanes == 32 ? 0xFFFFFFFFU : (1U << lanes) - 1;
  }
  if (grid_.order >= 2) std::shuffle(order_, order_ + grid_.threads, random_);
  for (unsigned i = 0; i < grid_.threads; ++i) {
    state_[i] = State::fresh;
    push(order_[deep_ ? grid_.threads - 1 - i : i]);
  }
  while (head_ != tail_) {
    resume(pop());
    if (error_) {
      abandon();
      std::rethrow_exception(std::exchange(error_, nullptr));
    }
  }
  if (finished_ != grid_.threads) {
    abandon();
    throw EmulatorError("emulator: block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + ") is stuck: " + who_waits());
  }
}

void Machine::run(const Grid& grid, const std::function<void()>& body) {
  if (busy_) throw EmulatorError("emulator: a launch inside a kernel");
  if (grid.threads == 0 || grid.threads > kMostThreads) throw EmulatorError("emulator: blocks of " + std::to_string(grid.threads) + " threads, expected 1 to 1024");
  struct Busy {
    bool& flag;
    ~Busy() { flag = false; }
  } busy{busy_};
  busy_ = true;
  grid_ = grid;
  body_ = &body;
  arrays_ = grid.kernel == nullptr ? std::vector<std::span<std::byte>>() : shared_arrays(grid.kernel);
  deep_ = grid.order % 2 == 1;
  random_.seed(grid.order);
#if defined(__SANITIZE_THREAD__)
  scheduler_.tsan_fiber = __tsan_get_current_fiber();
#endif
  if (shared_room_ < grid.shared_bytes || shared_ == nullptr) {
    shared_room_ = std::max<std::size_t>(grid.shared_bytes, 1024);
    shared_store_ = std::make_unique<std::byte[]>(shared_room_ + 256);
    const auto address = reinterpret_cast<std::uintptr_t>(shared_store_.get());
    shared_.reset(shared_store_.get() + (256 - address % 256) % 256);
  }
  for (unsigned i = 0; i < grid.threads; ++i) order_[i] = static_cast<std::uint16_t>(grid.order == 1 ? grid.threads - 1 - i : i);
  blockDim = {grid.threads, 1, 1};
  gridDim = {grid.x, grid.y, grid.z};
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t b = grid.order % 2 == 1 ? blocks - 1 - i : i;
    blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y), static_cast<unsigned>(b / grid.x / grid.y)};
    run_block();
  }
}

}  // namespace

void run(const Grid& grid, const std::function<void()>& body) {
  static thread_local Machine the_machine;
  running = &the_machine;
  the_machine.run(grid, body);
}
std::byte* dynamic_shared() { return machine().shared(); }
int capability() { return machine().capability(); }
void fail(const std::string& message, const Where& at) { machine().fail(message, at); }
int wait_for_block(bool predicate, const Where& at) { return machine().wait_for_block(predicate, at); }
void meet(std::uint32_t mask, void* mine, Exchange exchange, const Where& at) { machine().meet(mask, mine, exchange, at); }

void exchange_votes(void* const* lanes, std::uint32_t mask, const Where&) {
  std::uint32_t votes = 0;
  for (std::uint32_t left = mask; left != 0; left &= left - 1) votes |= static_cast<Vote*>(lanes[std::countr_zero(left)])->value << std::countr_zero(left);
  for (std::uint32_t left = mask; left != 0; left &= left - 1) static_cast<Vote*>(lanes[std::countr_zero(left)])->value = votes;
}
void exchange_nothing(void* const*, std::uint32_t, const Where&) {}

}  // namespace bigmodel::emulator
