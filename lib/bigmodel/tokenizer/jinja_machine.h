// SPDX-License-Identifier: Apache-2.0
// What one rendering may spend, and what it knows: the budget of steps, memory, depth and output that keeps a template from
// running away, the autoescape mode, and the clock.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bigmodel/tokenizer/chat_template.h"
#include "bigmodel/tokenizer/jinja_value.h"

namespace bigmodel::tokenizer::jinja {

class Machine {
 public:
  Machine(const ChatTemplateLimits& limits, const LocalTime& now) : limits_(limits), now_(now) {}
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  /// One evaluated node, or `count` elements that a bulk operation touched.
  void step(std::uint64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) limit_error("the template takes more than " + std::to_string(limits_.steps) + " steps");
  }
  /// A string or list that has grown to so many bytes.
  void within(std::uint64_t size_bytes) const {
    if (size_bytes > limits_.text_bytes) {
      limit_error("the template builds a value of more than " + std::to_string(limits_.text_bytes) + " bytes");
    }
  }
  /// Bytes that are read or written character by character. Nothing is credited back: a bound on work as much as on memory.
  void charge(std::uint64_t size_bytes) {
    within(size_bytes);
    step(size_bytes / 16);
  }

  class Depth {
   public:
    explicit Depth(Machine& machine) : machine_(machine) {
      if (++machine_.depth_ > machine_.limits_.depth) {
        --machine_.depth_;
        throw JinjaError("RecursionError", "maximum recursion depth exceeded");
      }
    }
    ~Depth() { --machine_.depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    Machine& machine_;
  };

  const ChatTemplateLimits& limits() const { return limits_; }
  const LocalTime& now() const { return now_; }
  /// The same sequence every time: a rendering depends on nothing but its inputs.
  std::uint64_t next_random() {
    random_ ^= random_ << 13U;
    random_ ^= random_ >> 7U;
    random_ ^= random_ << 17U;
    return random_;
  }

  bool autoescape = false;
  /// Objects that may hold themselves through a namespace or a macro's scope: emptied when the rendering ends.
  std::vector<std::function<void()>> clean_up;

 private:
  friend class Depth;
  const ChatTemplateLimits& limits_;
  const LocalTime& now_;
  std::uint64_t steps_ = 0;
  std::uint32_t depth_ = 0;
  std::uint64_t random_ = 0x9E3779B97F4A7C15U;
};

}  // namespace bigmodel::tokenizer::jinja
