// SPDX-License-Identifier: Apache-2.0
// Resharding against the limit of the disk: the program cuts a checkpoint, and between its runs the same bytes are copied by bare
// O_DIRECT reads and writes in large chunks (fallocate, fsync), on the same folder of the same disk.
//   bench_reshard RUNS [GIGABYTES] [FOLDER] [largest tensor in MB]
// Goals: within 10 % of the raw copy; peak memory below 100 MiB whatever the size of the file or of a tensor.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "benchmarks/measure.h"

namespace {

namespace fs = std::filesystem;
using namespace bigmodel::bench;

constexpr std::size_t kChunk = std::size_t{4} << 20;

/// A described type whose tensors are as large as asked for: an embedding of that size and layers of a sixteenth.
std::string config_of(double gigabytes, double tensor_megabytes) {
  const auto rows = static_cast<long>(tensor_megabytes * 1e6 / 2 / 4096);
  const long layer_bytes = 2L * (4 * 4096 * 4096 + 3 * 4096 * 11008);
  const auto layers = std::max(1L, static_cast<long>((gigabytes * 1e9 - 2.0 * static_cast<double>(rows) * 4096) / static_cast<double>(layer_bytes)));
  return R"({"model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32, "num_key_value_heads": 32, "num_hidden_layers": )" +
         std::to_string(layers) + ", \"vocab_size\": " + std::to_string(std::max(1L, rows)) + "}";
}

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

/// Four threads, each with an aligned buffer; the last block is written whole and cut off.
void copy_raw(const fs::path& from, const fs::path& to) {
  const int in = ::open(from.c_str(), O_RDONLY | O_DIRECT);
  const int out = ::open(to.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0666);
  require(in >= 0 && out >= 0, "cannot open for a raw copy");
  const std::uint64_t size = fs::file_size(from);
  if (::fallocate(out, 0, 0, static_cast<off_t>(size)) != 0) std::perror("fallocate");
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> failed{false};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        const std::unique_ptr<void, decltype(&std::free)> buffer(std::aligned_alloc(4096, kChunk), &std::free);
        for (std::uint64_t at = next.fetch_add(kChunk); at < size; at = next.fetch_add(kChunk)) {
          const ssize_t got = ::pread(in, buffer.get(), kChunk, static_cast<off_t>(at));
          const auto whole = got < 0 ? 0 : (static_cast<std::size_t>(got) + 4095) / 4096 * 4096;
          if (got <= 0 || ::pwrite(out, buffer.get(), whole, static_cast<off_t>(at)) != static_cast<ssize_t>(whole)) failed = true;
        }
      });
    }
  }
  require(!failed && ::ftruncate(out, static_cast<off_t>(size)) == 0 && ::fsync(out) == 0, "the raw copy failed");
  ::close(in);
  ::close(out);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int runs = runs_from(argc, argv);
    const double gigabytes = argc > 2 ? std::atof(argv[2]) : 0.6;
    const fs::path folder = fs::path(argc > 3 ? argv[3] : fs::temp_directory_path().string()) / ("bench_reshard." + std::to_string(::getpid()));
    const double tensor_megabytes = argc > 4 ? std::atof(argv[4]) : 100;
    fs::create_directories(folder);
    const struct Remove {
      fs::path folder;
      ~Remove() { fs::remove_all(folder); }
    } remove{folder};
    const std::string binary = BIGMODEL_BINARY, config = folder / "config.json", source = folder / "m", output = folder / "out";
    std::FILE* file = std::fopen(config.c_str(), "w");
    require(file != nullptr && std::fputs(config_of(gigabytes, tensor_megabytes).c_str(), file) >= 0 && std::fclose(file) == 0, "cannot write the config");
    run_process({binary, "init", config, "--dtype", "bfloat16", "--max-shard-size", "100GB", "-o", source, "--quiet"});
    std::printf("{\"case\": \"source\", \"bytes\": %llu}\n", static_cast<unsigned long long>(fs::file_size(source + "/model.safetensors")));
    // Alternating, so that a noisy disk is noisy for both.
    for (int i = 0; i < runs; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      copy_raw(source + "/model.safetensors", folder / "raw");
      const double raw_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
      fs::remove(folder / "raw");
      const Sample shard = run_process({binary, "shard", source, "--max-shard-size", "1GB", "-o", output, "--quiet"});
      fs::remove_all(output);
      std::printf("{\"case\": \"reshard\", \"raw_ms\": %.0f, \"wall_ms\": %.0f, \"ratio\": %.3f, \"peak_rss_bytes\": %llu}\n", raw_ms, shard.wall_ms, shard.wall_ms / raw_ms,
                  static_cast<unsigned long long>(shard.peak_rss_bytes));
      std::fflush(stdout);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_reshard: %s\n", e.what());
    return 1;
  }
  return 0;
}
