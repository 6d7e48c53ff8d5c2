// SPDX-License-Identifier: Apache-2.0
// load_checkpoint_and_dispatch of a model of 2 GB, each sample in a process of its own beside a raw read of the same files; and the index of
// 50,000 tensors. Time against the read, memory against what the map keeps, bytes written. With 1 run (as ctest does) the model is small and the
// figures mean nothing. One command: bench_big_modeling [RUNS]; a table goes to standard error.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>

#include "benchmarks/measure.h"
#include "benchmarks/raw_read.h"
#include "bigmodel/core/error.h"
#include "bigmodel/engine/loading.h"
#include "bigmodel/engine/modules.h"
#include "bigmodel/engine/save_model.h"
#include "support/temp_folder.h"

using namespace bigmodel;

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Model {
  int layers;
  std::int64_t width;
  std::uint64_t layer_bytes() const { return static_cast<std::uint64_t>(width * width) * sizeof(float); }
  std::uint64_t size_bytes() const { return static_cast<std::uint64_t>(layers) * layer_bytes(); }
  std::unique_ptr<Sequential> make(const TensorHome& home) const {
    auto out = std::make_unique<Sequential>();
    for (int i = 0; i < layers; ++i) out->append(std::make_unique<Linear>(width, width, Linear::Options{.bias = false, .home = home}));
    return out;
  }
  /// The first layers in RAM, the others on disk.
  DeviceMap map(int in_ram) const {
    DeviceMap out;
    for (int i = 0; i < layers; ++i) out.emplace_back(std::to_string(i), std::string(i < in_ram ? "cpu" : "disk"));
    return out;
  }
};

std::uint64_t bytes_below(const fs::path& folder) {
  std::uint64_t out = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) out += entry.file_size();
  return out;
}

double mebibytes(double bytes) { return bytes / (1 << 20); }

struct Case {
  const char* name;
  std::uint64_t kept_bytes;       ///< what the map keeps in memory
  std::uint64_t written_bytes;    ///< what goes to the offload folder
  std::function<void()> work;
  bool compare_with_read;         ///< whether everything is read
};

void run(const Case& c, const Model& model, const fs::path& folder, const fs::path& offload, int runs) {
  std::vector<double> ratios, seconds, peaks, reads;
  std::uint64_t written = 0;
  for (int i = 0; i < runs; ++i) {
    std::error_code ignored;
    fs::remove_all(offload, ignored);
    const double read = bench::in_child([&] { return [raw = std::make_shared<bench::RawRead>(folder, bench::RawRead::Shape{})] { raw->run(); }; }).seconds;
    const bench::ChildWork m = bench::in_child([&] { return c.work; });
    reads.push_back(read);
    seconds.push_back(m.seconds);
    ratios.push_back(m.seconds / read);
    peaks.push_back(static_cast<double>(m.peak_bytes));
    written = std::max(written, bytes_below(offload));
  }
  const double slab = bench::median(peaks) - static_cast<double>(c.kept_bytes);
  std::printf("{\"case\": \"%s\", \"runs\": %d, \"model_bytes\": %llu, \"wall_ms\": %.1f, \"raw_read_ms\": %.1f, \"of_raw_read\": %.3f, \"kept_bytes\": %llu, \"beyond_kept_bytes\": %.0f, \"largest_tensor_bytes\": %llu, \"written_bytes\": %llu}\n",
              c.name, runs, static_cast<unsigned long long>(model.size_bytes()), bench::median(seconds) * 1e3, bench::median(reads) * 1e3, bench::median(ratios),
              static_cast<unsigned long long>(c.kept_bytes), slab, static_cast<unsigned long long>(model.layer_bytes()), static_cast<unsigned long long>(written));
  std::fprintf(stderr, "%-22s %9.1f ms  raw read %9.1f ms  ratio %5.2f%-14s  kept %7.0f MiB  beyond it %6.1f MiB  written %7.0f MiB%s\n", c.name, bench::median(seconds) * 1e3,
               bench::median(reads) * 1e3, bench::median(ratios), c.compare_with_read ? " (wanted 1.10)" : "", mebibytes(static_cast<double>(c.kept_bytes)), mebibytes(slab),
               mebibytes(static_cast<double>(written)), written > c.written_bytes + (std::uint64_t{1} << 20) ? " (too much)" : "");
}

/// An index of that many tensors over 64 shards of zeros that take no room.
void make_index(const fs::path& folder, int tensors) {
  fs::create_directories(folder);
  const int files = 64;
  std::string map;
  for (int f = 0; f < files; ++f) {
    std::string header = "{";
    const std::string file = "model-" + std::to_string(f) + ".safetensors";
    std::uint64_t at = 0;
    for (int t = f; t < tensors; t += files) {
      const std::string name = "model.layers." + std::to_string(t / 800) + ".mlp.experts." + std::to_string(t % 800 / 3) + (t % 3 == 0 ? ".gate_proj" : t % 3 == 1 ? ".up_proj" : ".down_proj") + "." + std::to_string(t) + ".weight";
      header += (header.size() > 1 ? ", \"" : "\"") + name + R"(": {"dtype": "BF16", "shape": [16, 16], "data_offsets": [)" + std::to_string(at) + ", " + std::to_string(at + 512) + "]}";
      map += (map.empty() ? "\"" : ", \"") + name + "\": \"" + file + "\"";
      at += 512;
    }
    header += "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    std::ofstream out(folder / file, std::ios::binary);
    const std::uint64_t size = header.size();
    out.write(reinterpret_cast<const char*>(&size), 8);
    out << header;
    out.close();
    fs::resize_file(folder / file, 8 + size + at);
  }
  std::ofstream(folder / "model.safetensors.index.json") << R"({"metadata": {"total_size": )" << tensors * 512 << R"(}, "weight_map": {)" << map << "}}";
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int runs = bench::runs_from(argc, argv);
    const Model model = runs == 1 ? Model{8, 256} : Model{32, 4096};
    const test::TempFolder folder;
    const fs::path saved = folder.path() / "saved", offload = folder.path() / "offload";
    bench::in_child([&] { return [&] { save_model(*model.make({}), saved, {.max_shard_size_bytes = model.size_bytes() / 4 + 1}); }; });

    const auto load = [&](LoadAndDispatchOptions options) {
      const auto empty = model.make(init_empty_weights());
      load_checkpoint_and_dispatch(*empty, saved, options);
    };
    const int half = model.layers / 2;
    const std::vector<Case> cases = {
        {"load_to_ram", model.size_bytes(), 0, [&] { load({.device_map = DeviceMap{{"", std::string("cpu")}}}); }, true},
        {"load_without_map", model.size_bytes(), 0, [&] { load({}); }, true},
        {"half_in_place", model.size_bytes() / 2, 0, [&] { load({.device_map = model.map(half), .offload_in_place = true}); }, false},
        {"half_to_folder", model.size_bytes() / 2, model.size_bytes() / 2, [&] { load({.device_map = model.map(half), .offload_folder = offload}); }, false},
    };
    for (const Case& c : cases) run(c, model, saved, offload, runs);

    make_index(folder.path() / "index", 50'000);
    std::vector<double> opened, mapped;
    for (int i = 0; i < runs; ++i) {
      opened.push_back(bench::in_child([&] { return [&] { open_checkpoint(folder.path() / "index"); }; }).seconds * 1e3);
      mapped.push_back(bench::in_child([&] {
                         return [&] {
                           const Disk disk;
                           const CheckpointWeights weights(open_checkpoint(folder.path() / "index" / "model.safetensors.index.json"), disk);
                         };
                       }).seconds * 1e3);
    }
    std::printf("{\"case\": \"index_50000\", \"runs\": %d, \"wall_ms\": %.1f, \"as_offload_index_ms\": %.1f}\n", runs, bench::median(opened), bench::median(mapped));
    std::fprintf(stderr, "%-22s %9.1f ms (wanted 200), as offload index %.1f ms\n", "index_50000", bench::median(opened), bench::median(mapped));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_big_modeling: %s\n", e.what());
    return 1;
  }
}
