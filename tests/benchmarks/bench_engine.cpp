// SPDX-License-Identifier: Apache-2.0
// Decode, prefill and load of a Llama of random bfloat16 weights, each beside a probe of what limits it, in turn: the bandwidth of such
// machines drifts. With 1 run (as ctest does) the model is small and the figures mean nothing; otherwise it has 1.1 billion parameters.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "benchmarks/measure.h"
#include "benchmarks/raw_read.h"
#include "bigmodel/architectures/architectures.h"
#include "bigmodel/engine/generate.h"
#include "bigmodel/model/build_meta_graph.h"
#include "support/temp_folder.h"

using namespace bigmodel;

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// Its own folder, gone at the end.
class Model {
 public:
  explicit Model(bool small) {
    fs::create_directories(folder_ / "config");
    std::ofstream(folder_ / "config" / "config.json")
        << R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": false, "rms_norm_eps": 1e-05, "max_position_embeddings": 2048, )"
        << (small ? R"("hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 2000})"
                  : R"("hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000})");
    bench::run_process({BIGMODEL_BINARY, "init", (folder_ / "config").string(), "--class", "auto", "--dtype", "bfloat16", "--output", (folder_ / "model").string()});
  }
  fs::path path() const { return folder_ / "model"; }
  std::uint64_t size_bytes() const {
    std::uint64_t out = 0;
    for (const auto& entry : fs::directory_iterator(path())) out += entry.path().extension() == ".safetensors" ? entry.file_size() : 0;
    return out;
  }

  std::unique_ptr<LoadedModel> load(ThreadPool& pool, const char* device, std::optional<DType> quantize = std::nullopt) const {
    return load(pool, DeviceMap{{"", std::string(device)}}, quantize);
  }
  std::unique_ptr<LoadedModel> load(ThreadPool& pool, DeviceMap map, std::optional<DType> quantize = std::nullopt) const {
    spec::SpecLibrary library(embedded::architectures_files());
    DispatchOptions options;
    options.dtype = DType::bfloat16;
    options.device_map = std::move(map);
    options.quantize = quantize;
    options.pool = &pool;
    return load_checkpoint_and_dispatch(build_meta_graph(library, read_config(path() / "config.json"), {.class_name = "auto"}), open_checkpoint(path()), options);
  }

 private:
  test::TempFolder folder_;
};

/// Sums eight streams of words; what is left of the time is memory.
__attribute__((target_clones("avx512f", "avx2", "default"))) std::uint64_t sum_of(const std::uint64_t* words, std::int64_t count) {
  std::uint64_t sums[32] = {};
  for (std::int64_t i = 0; i + 32 <= count; i += 32) {
    for (int k = 0; k < 32; ++k) sums[k] += words[i + k];
  }
  std::uint64_t out = 0;
  for (const std::uint64_t s : sums) out += s;
  return out;
}

class DramProbe {
 public:
  DramProbe(ThreadPool& pool, std::uint64_t size_bytes) : pool_(pool), memory_(static_cast<std::size_t>(size_bytes)) {
    std::fill_n(reinterpret_cast<std::uint64_t*>(memory_.bytes().data()), size_bytes / 8, std::uint64_t{1});
  }
  /// Bytes a second of one pass over all.
  double operator()() {
    const auto* words = reinterpret_cast<const std::uint64_t*>(memory_.bytes().data());
    std::atomic<std::uint64_t> sum{0};
    const auto start = Clock::now();
    pool_.parallel_for(static_cast<std::int64_t>(memory_.bytes().size() / 8), 1 << 18,
                       [&](std::int64_t begin, std::int64_t end, int) { sum += sum_of(words + begin, end - begin); });
    const double s = bench::seconds_since(start);
    if (sum.load() == 0) std::abort();
    return static_cast<double>(memory_.bytes().size()) / s;
  }

 private:
  ThreadPool& pool_;
  AlignedBuffer memory_;
};

/// Another program that wants a core all the time.
class BusyCore {
 public:
  BusyCore() : child_(::fork()) {
    if (child_ != 0) return;
    volatile std::uint64_t turns = 0;
    while (true) turns = turns + 1;
  }
  ~BusyCore() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  BusyCore(const BusyCore&) = delete;
  BusyCore& operator=(const BusyCore&) = delete;

 private:
  pid_t child_;
};

/// Bytes a second of one direct read of the checkpoint's files, in pieces and through as much memory as the engine's streaming has.
double disk_probe(const fs::path& folder) {
  bench::RawRead raw(folder, {.piece_bytes = std::uint64_t{4} << 20, .memory_bytes = std::uint64_t{512} << 20});
  const auto start = Clock::now();
  raw.run();
  return static_cast<double>(raw.size_bytes()) / std::max(bench::seconds_since(start), 1e-9);
}

void print(const char* name, std::vector<double> ratios, std::vector<double> values, std::vector<double> probes, const char* unit) {
  std::printf("{\"case\": \"%s\", \"runs\": %zu, \"value\": %.4g, \"unit\": \"%s\", \"probe_gb_per_s\": %.4g, \"of_probe\": %.3f}\n", name, values.size(),
              bench::median(values), unit, bench::median(probes) / 1e9, bench::median(ratios));
  std::fflush(stdout);
}

/// What a token reads from disk, but for its row of the embedding.
double streamed_bytes(const LoadedModel& model) { return static_cast<double>(model.placement().disk_bytes - model.placement().sliced_bytes); }

GenerateResult generated(LoadedModel& model, std::int64_t prompt, std::int64_t tokens) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < prompt; ++i) ids.push_back(7 + i % 1000);
  GenerateOptions options;
  options.max_new_tokens = tokens;
  return generate(model, pad_left({ids}, 0), options);
}

/// Loading into RAM beside two raw reads of the file, each in a process of its own: into memory whose pages were made before, and into memory that the read
/// makes, as every program that has just started must.
void measure_load(const Model& model, double size, int runs) {
  std::vector<double> load, made, fresh, of_made, of_fresh, peaks;
  const auto raw = [&](bool made_before) {
    return bench::in_child([&] { return [read = std::make_shared<bench::RawRead>(model.path(), bench::RawRead::Shape{.made_before = made_before})] { read->run(); }; }).seconds;
  };
  for (int i = 0; i < runs; ++i) {
    made.push_back(raw(true));
    fresh.push_back(raw(false));
    const bench::ChildWork loaded = bench::in_child([&] {
      return [&] {
        ThreadPool pool(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
        model.load(pool, "cpu").release();  // its end is not part of it
      };
    });
    load.push_back(loaded.seconds);
    peaks.push_back(static_cast<double>(loaded.peak_bytes) - size);
    of_made.push_back(load.back() / made.back());
    of_fresh.push_back(load.back() / fresh.back());
  }
  std::printf("{\"case\": \"load into RAM\", \"runs\": %d, \"load_s\": %.4g, \"raw_made_before_s\": %.4g, \"raw_fresh_s\": %.4g, \"of_made_before\": %.3f, \"of_fresh\": %.3f, "
              "\"fastest\": [%.4g, %.4g, %.4g], \"beside_weights_bytes\": %.0f}\n",
              runs, bench::median(load), bench::median(made), bench::median(fresh), bench::median(of_made), bench::median(of_fresh), *std::ranges::min_element(load),
              *std::ranges::min_element(made), *std::ranges::min_element(fresh), bench::median(peaks));
  std::fflush(stdout);
}

void run(int runs) {
  const bool small = runs == 1;
  const Model model(small);
  const auto size = static_cast<double>(model.size_bytes());
  ThreadPool pool(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  std::vector<double> ratios, values, probes;
  const auto clear = [&] {
    ratios.clear();
    values.clear();
    probes.clear();
  };
  // The embedding's rows that a token does not need are not read.
  const double token_bytes = size - (small ? 2000 * 256 * 2.0 : 32000 * 2048 * 2.0);
  measure_load(model, size, runs);
  {
    const auto loaded = model.load(pool, "cpu");
    DramProbe probe(pool, small ? 1 << 24 : 1 << 30);
    generated(*loaded, 4, 2);
    clear();
    for (int i = 0; i < runs; ++i) {
      probes.push_back(probe());
      const GenerateResult g = generated(*loaded, 4, 9);
      values.push_back(static_cast<double>(g.decode_steps) / g.decode_s);
      ratios.push_back(values.back() * token_bytes / probes.back());
    }
    print("decode, weights in RAM", ratios, values, probes, "tokens/s");
    clear();
    for (int i = 0; i < std::max(1, runs / 3); ++i) {
      probes.push_back(probe());
      const GenerateResult g = generated(*loaded, small ? 32 : 512, 1);
      values.push_back((small ? 32 : 512) / g.prefill_s);
      ratios.push_back(0);
    }
    print("prefill of 512", ratios, values, probes, "tokens/s");
    // Of the speed with both cores free; fair shares leave three quarters of two cores.
    clear();
    for (int i = 0; i < std::max(1, runs / 3); ++i) {
      const GenerateResult free = generated(*loaded, 4, 9);
      const BusyCore busy;
      const GenerateResult g = generated(*loaded, 4, 9);
      values.push_back(static_cast<double>(g.decode_steps) / g.decode_s);
      probes.push_back(0);
      ratios.push_back(values.back() * free.decode_s / static_cast<double>(free.decode_steps));
    }
    print("decode, weights in RAM, one core busy (of the speed without)", ratios, values, probes, "tokens/s");
  }
  for (const DType blocks : {DType::q8_0, DType::q4_0}) {
    const auto loaded = model.load(pool, "cpu", blocks);
    DramProbe probe(pool, small ? 1 << 24 : 1 << 30);
    generated(*loaded, 4, 2);
    clear();
    for (int i = 0; i < std::max(1, runs / 3); ++i) {
      probes.push_back(probe());
      const GenerateResult g = generated(*loaded, 4, 9);
      values.push_back(static_cast<double>(g.decode_steps) / g.decode_s);
      ratios.push_back(values.back() * (static_cast<double>(loaded->placement().ram_bytes) - (size - token_bytes)) / probes.back());
    }
    print(blocks == DType::q8_0 ? "decode, matrices in RAM as int8" : "decode, matrices in RAM as int4", ratios, values, probes, "tokens/s");
  }
  {
    // Every other layer on disk, so that reading goes on all the time.
    DeviceMap map = {{"", std::string("cpu")}};
    for (int layer = 0; layer < (small ? 4 : 22); layer += 2) map.emplace_back("model.layers." + std::to_string(layer), std::string("disk"));
    const auto half = model.load(pool, map);
    generated(*half, 4, 1);
    clear();
    for (int i = 0; i < std::max(1, runs / 3); ++i) {
      probes.push_back(disk_probe(model.path()));
      const GenerateResult g = generated(*half, 4, 4);
      values.push_back(g.decode_s / static_cast<double>(g.decode_steps));
      ratios.push_back(streamed_bytes(*half) / values.back() / probes.back());
    }
    print("decode, every other layer on disk", ratios, values, probes, "s/token");
  }
  clear();
  const auto streamed = model.load(pool, "disk");
  generated(*streamed, 4, 1);
  for (int i = 0; i < std::max(1, runs / 3); ++i) {
    probes.push_back(disk_probe(model.path()));
    const GenerateResult g = generated(*streamed, 4, 4);
    values.push_back(g.decode_s / static_cast<double>(g.decode_steps));
    ratios.push_back(streamed_bytes(*streamed) / values.back() / probes.back());
  }
  print("decode, weights on disk", ratios, values, probes, "s/token");
  // The whole program; 100 MiB are allowed beside the slots and the cache.
  const bench::Sample whole = bench::run_process({BIGMODEL_BINARY, "run", model.path().string(), "--ids", "7,8,9,10", "--max-new-tokens", "3", "--device-map", "disk"});
  std::printf("{\"case\": \"run, weights on disk\", \"peak_rss_bytes\": %llu, \"slot_bytes\": %llu}\n", static_cast<unsigned long long>(whole.peak_rss_bytes),
              static_cast<unsigned long long>(streamed->placement().slot_bytes));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(bench::runs_from(argc, argv));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_engine: %s\n", e.what());
    return 1;
  }
  return 0;
}
