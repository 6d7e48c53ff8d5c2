// SPDX-License-Identifier: Apache-2.0
// Opening a checkpoint of 45,000 tensors in 200 shards: every header and the index read and checked, not in the page cache. Whole processes.
// Goal: 150 ms and 50 MB.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>

#include "benchmarks/measure.h"
#include "bigmodel/checkpoint/checkpoint.h"

namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig =
    R"({"model_type": "qwen2_moe", "hidden_size": 32, "intermediate_size": 64, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 256,
        "num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 58, "vocab_size": 2000})";

void drop_from_cache(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const int fd = ::open(entry.path().c_str(), O_RDONLY);
    if (fd < 0) continue;
    static_cast<void>(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
    ::close(fd);
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace bigmodel::bench;
  try {
    if (argc > 2 && std::string(argv[1]) == "open") {
      const bigmodel::Checkpoint checkpoint = bigmodel::open_checkpoint(argv[2]);
      return checkpoint.tensors.size() > 45000 && checkpoint.files.size() > 190 ? 0 : 1;
    }
    const int runs = runs_from(argc, argv);
    const fs::path folder = fs::temp_directory_path() / ("bench_headers." + std::to_string(::getpid()));
    fs::create_directories(folder);
    const struct Remove {
      fs::path folder;
      ~Remove() { fs::remove_all(folder); }
    } remove{folder};
    const std::string binary = BIGMODEL_BINARY, config = folder / "config.json", model = folder / "m", self = fs::read_symlink("/proc/self/exe");
    std::FILE* file = std::fopen(config.c_str(), "w");
    if (file == nullptr || std::fputs(kConfig, file) < 0 || std::fclose(file) != 0) throw std::runtime_error("cannot write the config");
    run_process({binary, "init", config, "--dtype", "bfloat16", "--max-shard-size", "236KB", "-o", model, "--quiet"});
    measure("open 45,000 tensors in 200 shards, cold", runs, [&] {
      drop_from_cache(model);
      return run_process({self, "open", model});
    });
    measure("open, warm", runs, [&] { return run_process({self, "open", model}); });
    measure("shard --dry-run, cold", runs, [&] {
      drop_from_cache(model);
      return run_process({binary, "shard", model, "--max-shard-size", "1GB", "--dry-run", "--quiet"});
    });
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_headers: %s\n", e.what());
    return 1;
  }
  return 0;
}
