// SPDX-License-Identifier: Apache-2.0
// Streaming under everything that can go wrong at once: a disk that dawdles, gives half of what is asked and fails, hooks that throw, and
// stops at any moment. Nothing hangs, no pass gives anything but the right answer or the fault's own error, and afterwards all is well.
// Meant for the thread sanitizer (BIGMODEL_STRESS_ROUNDS makes it longer):
//   cmake --preset tsan && cmake --build build/tsan --target bigmodel_engine_tests
//   build/tsan/tests/engine/bigmodel_engine_tests -ts='engine/stream_stress,engine/prefetcher'
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <thread>

#include "bigmodel/core/error.h"
#include "bigmodel/device/cpu/thread_pool.h"
#include "bigmodel/engine/generate.h"
#include "bigmodel/engine/hooks/attach_hooks.h"
#include "bigmodel/engine/loaded_model.h"
#include "bigmodel/engine/loading.h"
#include "bigmodel/io/json.h"
#include "engine/random_model.h"
#include "support/shared_folder.h"

using namespace bigmodel;

namespace {

/// Any thread may ask; numbers depend on how often it was asked before, not on which thread asked.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : next_(seed) {}
  std::uint64_t operator()(std::uint64_t below) const {
    std::uint64_t x = next_.fetch_add(0x9E3779B97F4A7C15ULL);
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return (x ^ (x >> 31)) % below;
  }

 private:
  mutable std::atomic<std::uint64_t> next_;
};

/// While `shaky`: sleeps up to 300 us a read, is interrupted, reads less than is asked, and fails one time in `failing_one_in`.
class StormyDisk : public Disk {
 public:
  ssize_t pread(int fd, void* data, std::size_t size, off_t offset) const override {
    if (!shaky) return Disk::pread(fd, data, size, offset);
    std::this_thread::sleep_for(std::chrono::microseconds(dice_(300)));
    if (dice_(failing_one_in) == 0) {
      errno = EIO;
      return -1;
    }
    if (dice_(8) == 0) {
      errno = EINTR;
      return -1;
    }
    // O_DIRECT wants whole blocks.
    if (dice_(4) == 0 && size > 8192) size = (1 + dice_(size / 4096 - 1)) * 4096;
    return Disk::pread(fd, data, size, offset);
  }
  std::atomic<bool> shaky = false;
  std::atomic<std::uint64_t> failing_one_in = 40;

 private:
  Dice dice_{11};
};

struct Boom : std::runtime_error {
  Boom() : std::runtime_error("a hook threw") {}
};

/// Throws now and then, before or behind the forward.
class ThrowingHook : public ModelHook {
 public:
  ThrowingHook(const Dice& dice, const std::atomic<bool>& armed) : dice_(dice), armed_(armed) {}
  void pre_forward(Module&, Arguments&, ForwardState&) override { throw_sometimes(); }
  void post_forward(Module&, Tensor&, ForwardState&) override { throw_sometimes(); }

 private:
  void throw_sometimes() const {
    if (armed_ && dice_(150) == 0) throw Boom();
  }
  const Dice& dice_;
  const std::atomic<bool>& armed_;
};

/// Ends the process with a line where nothing has moved for so long: a deadlock then is a failure and not a hanging test.
class Watchdog {
 public:
  void alive() { ++beats_; }

 private:
  void watch(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    std::uint64_t seen = 0;
    while (!stop.stop_requested()) {
      seen = beats_;
      if (changed_.wait_for(lock, stop, std::chrono::seconds(120), [] { return false; }) || stop.stop_requested()) return;
      if (beats_ == seen) {
        std::fputs("stream_stress_test: nothing has moved for two minutes: deadlock\n", stderr);
        std::abort();
      }
    }
  }
  std::atomic<std::uint64_t> beats_ = 0;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_{[this](const std::stop_token& stop) { watch(stop); }};
};

int rounds() {
  const char* text = std::getenv("BIGMODEL_STRESS_ROUNDS");
  return text == nullptr ? 60 : std::max(1, std::atoi(text));
}

constexpr std::int64_t kVocabulary = 131;

/// Six layers of a small llama: a slab for each, and that of the head.
std::string llama() {
  auto config = read_json_file(test::golden_path("engine/llama-llama3") / "config.json");
  config["num_hidden_layers"] = 6;
  config["vocab_size"] = kVocabulary;
  return config.dump();
}

/// Six layers whose experts come one by one.
std::string mixtral() {
  return nlohmann::json{{"model_type", "mixtral"}, {"architectures", {"MixtralForCausalLM"}}, {"vocab_size", kVocabulary}, {"hidden_size", 32}, {"intermediate_size", 48},
                        {"num_hidden_layers", 6}, {"num_attention_heads", 4}, {"num_key_value_heads", 2}, {"num_local_experts", 5}, {"num_experts_per_tok", 2}}
      .dump();
}

std::vector<std::vector<std::int64_t>> continued(LoadedModel& model, const WorkContext& work = {}) {
  GenerateOptions options;
  options.max_new_tokens = 5;
  options.work = work;
  return generate(model, pad_left({{3, 4, 5}, {7, 8}}, 0), options).ids;
}

/// Asks for a stop after a while, from a thread of its own, unless it is destroyed before.
class Interrupter {
 public:
  explicit Interrupter(std::chrono::microseconds after)
      : thread_([this, after](const std::stop_token& ended) {
          std::unique_lock lock(mutex_);
          if (!changed_.wait_for(lock, ended, after, [] { return false; }) && !ended.stop_requested()) source_.request_stop();
        }) {}
  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::jthread thread_;
};

void survive(const test::RandomModel& small, Watchdog& dog) {
  const auto want = continued(*small.load("cpu"));
  const Dice dice(1);
  StormyDisk disk;
  std::atomic<bool> armed = false;
  ThreadPool pool(3);
  const auto model = small.load("disk", &disk, &pool);
  REQUIRE(model->prefetcher() != nullptr);
  REQUIRE(model->prefetcher()->slab_count() >= 6);
  const auto hook = std::make_shared<ThrowingHook>(dice, armed);
  model->root().for_each([&](Module& m) {
    if (m.block() != nullptr) add_hook_to_module(m, hook, true);
  });
  int right = 0;
  int failed = 0;
  int stopped = 0;
  int thrown = 0;
  for (int round = 0; round < rounds() / 2; ++round) {
    dog.alive();
    disk.failing_one_in = 5 + dice(400);
    disk.shaky = dice(10) != 0;
    armed = dice(2) == 0;
    const Interrupter interrupter(std::chrono::microseconds(dice(3) == 0 ? dice(30'000) : 60'000'000));
    try {
      const bool same = continued(*model, {.progress = {}, .stop = interrupter.token()}) == want;
      CHECK(same);
      ++right;
    } catch (const IoError& e) {
      ++failed;
      CHECK(std::string(e.what()).find("model.safetensors") != std::string::npos);
      CHECK(std::string(e.what()).find("at byte") != std::string::npos);
    } catch (const CancelledError&) {
      ++stopped;
    } catch (const Boom&) {
      ++thrown;
    }
  }
  MESSAGE("right ", right, ", failed reads ", failed, ", stopped ", stopped, ", hooks threw ", thrown);
  CHECK(failed > 0);
  CHECK(thrown > 0);
  // The storm is over. What was read ahead in it is told at most once for each slot.
  disk.shaky = false;
  armed = false;
  bool well = false;
  for (int attempt = 0; attempt < 8 && !well; ++attempt) {
    dog.alive();
    try {
      well = continued(*model) == want;
      CHECK(well);
    } catch (const IoError&) {
      CHECK(attempt < 7);
    }
  }
  CHECK(well);
}

}  // namespace

TEST_SUITE("engine/stream_stress") {
  TEST_CASE("a streamed model survives delays, failures, stops and hooks that throw, and answers right whenever it answers") {
    Watchdog dog;
    for (const std::string& config : {llama(), mixtral()}) {
      CAPTURE(config);
      survive(test::RandomModel(config), dog);
    }
  }

  TEST_CASE("a model ends at any moment, with reads under way and failing") {
    Watchdog dog;
    const test::RandomModel small(mixtral());
    const Dice dice(2);
    StormyDisk disk;
    for (int round = 0; round < rounds(); ++round) {
      dog.alive();
      disk.shaky = false;
      const auto model = small.load("disk", &disk);
      disk.failing_one_in = 2 + dice(30);
      disk.shaky = true;
      const Interrupter interrupter(std::chrono::microseconds(dice(8'000)));
      try {
        if (dice(3) != 0) continued(*model, {.progress = {}, .stop = interrupter.token()});
      } catch (const IoError&) {
      } catch (const CancelledError&) {
      }
    }
  }

  TEST_CASE("loading may be stopped at any moment, and fail at any read") {
    Watchdog dog;
    const test::RandomModel small(llama());
    const Dice dice(3);
    StormyDisk disk;
    disk.shaky = true;
    for (int round = 0; round < rounds(); ++round) {
      dog.alive();
      disk.failing_one_in = 3 + dice(200);
      const Interrupter interrupter(std::chrono::microseconds(dice(20'000)));
      DispatchOptions options;
      options.device_map = {{"", std::string("cpu")}, {"model.layers.1", std::string("disk")}, {"model.layers.4", std::string("disk")}};
      options.disk = &disk;
      options.work = {.progress = {}, .stop = interrupter.token()};
      try {
        load_checkpoint_and_dispatch(small.graph(), open_checkpoint(small.folder.path()), options);
      } catch (const IoError&) {
      } catch (const CancelledError&) {
      }
    }
  }
}
