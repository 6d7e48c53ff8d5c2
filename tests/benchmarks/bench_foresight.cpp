// SPDX-License-Identifier: Apache-2.0
// What `bigmodel run` predicts before it loads anything, held against what the same run then took: peak memory of the process and tokens a
// second. Decoders of the run goldens, and a Llama of 1.1 billion random bfloat16 weights in RAM, streamed, and cut in two; the bandwidths
// are those that `bigmodel doctor --probe` measures just before. With 1 run (as ctest does) only this repository's golden.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "benchmarks/measure.h"
#include "support/temp_folder.h"

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using namespace bigmodel;

constexpr double kPeakBound = 0.03, kSpeedBound = 0.10;

/// "cpu=...,disk=..." as the machine is now.
std::string measured_bandwidth() {
  const Json doctor = Json::parse(bench::output_of({BIGMODEL_BINARY, "doctor", "--probe", "--json"}));
  return doctor.at("probe").at("bandwidth");
}

struct Comparison {
  double peak = 0, speed = 0;  ///< predicted / measured
};

class Report {
 public:
  Comparison compare(const std::string& name, const std::vector<std::string>& arguments, int runs, bool speed_counts) {
    std::vector<double> peaks, speeds;
    double predicted_peak = 0, measured_peak = 0, predicted_speed = 0, measured_speed = 0;
    for (int i = 0; i < runs; ++i) {
      std::vector<std::string> argv{BIGMODEL_BINARY, "run"};
      argv.insert(argv.end(), arguments.begin(), arguments.end());
      argv.insert(argv.end(), {"--greedy", "--json"});
      if (speed_counts) argv.insert(argv.end(), {"--bandwidth", measured_bandwidth()});
      const Json run = Json::parse(bench::output_of(argv));
      const Json& plan = run.at("predicted");
      predicted_peak = plan.at("peak_bytes").get<double>() + plan.at("program_bytes").get<double>();
      measured_peak = run.at("peak_rss_bytes").get<double>();
      predicted_speed = plan.at("tokens_per_second").get<double>();
      measured_speed = run.at("timings").at("tokens_per_second").get<double>();
      peaks.push_back(predicted_peak / measured_peak);
      speeds.push_back(measured_speed > 0 ? predicted_speed / measured_speed : 0);
    }
    const Comparison out{bench::median(peaks), bench::median(speeds)};
    const bool peak_holds = std::abs(out.peak - 1) <= kPeakBound;
    ++cases_;
    if (peak_holds) ++within_;
    std::printf("{\"case\": \"%s\", \"runs\": %d, \"predicted_peak_mib\": %.1f, \"measured_peak_mib\": %.1f, \"peak_ratio\": %.3f, \"peak_within_3_percent\": %s", name.c_str(),
                runs, predicted_peak / 1048576, measured_peak / 1048576, out.peak, peak_holds ? "true" : "false");
    if (speed_counts) {
      std::printf(", \"predicted_tokens_per_s\": %.3g, \"measured_tokens_per_s\": %.3g, \"speed_ratio\": %.3f, \"speed_within_10_percent\": %s", predicted_speed, measured_speed,
                  out.speed, std::abs(out.speed - 1) <= kSpeedBound ? "true" : "false");
    }
    std::printf("}\n");
    std::fflush(stdout);
    return out;
  }

  void finish() const { std::printf("{\"case\": \"all\", \"cases\": %d, \"peak_within_3_percent\": %d}\n", cases_, within_); }

 private:
  int cases_ = 0, within_ = 0;
};

bool is_decoder(const fs::path& folder) {
  std::ifstream in(folder / "config.json");
  if (!in || !fs::exists(folder / "expected.json")) return false;
  std::ifstream expected(folder / "expected.json");
  const Json json = Json::parse(expected, nullptr, false);
  return json.is_object() && json.value("kind", std::string()) == "decoder";
}

/// The large set, where it is there.
std::vector<fs::path> unpacked_goldens(const fs::path& scratch) {
  const fs::path set = fs::path(BIGMODEL_SOURCE_DIR).parent_path() / "shared/goldens/run";
  std::vector<fs::path> out;
  if (!fs::is_directory(set)) return out;
  for (const char* part : {"decoders-1-gpt", "decoders-2-llama", "decoders-3-moe", "decoders-4-recurrent"}) {
    const std::string command = "tar -xJf '" + (set / part).string() + ".tar.xz' -C '" + scratch.string() + "'";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("cannot unpack " + std::string(part));
  }
  for (const auto& entry : fs::recursive_directory_iterator(scratch)) {
    if (entry.is_directory() && is_decoder(entry.path())) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

void run(int runs) {
  Report report;
  const test::TempFolder scratch;
  const fs::path own = fs::path(BIGMODEL_SOURCE_DIR) / "tests/golden/engine/llama-llama3";
  report.compare("llama-llama3", {own.string(), "--ids", "1,2,3,4,5", "--max-new-tokens", "16"}, 1, false);
  if (runs == 1) return report.finish();
  for (const fs::path& golden : unpacked_goldens(scratch.path())) {
    try {
      report.compare(golden.filename().string(), {golden.string(), "--ids", "1,2,3,4,5", "--max-new-tokens", "16"}, 1, false);
    } catch (const std::exception&) {
      std::printf("{\"case\": \"%s\", \"skipped\": \"wants other inputs\"}\n", golden.filename().c_str());
    }
  }
  fs::create_directories(scratch.path() / "config");
  std::ofstream(scratch.path() / "config" / "config.json")
      << R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": false, "rms_norm_eps": 1e-05, "max_position_embeddings": 2048,
            "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000})";
  const fs::path model = scratch.path() / "llama-1.1b";
  bench::run_process({BIGMODEL_BINARY, "init", (scratch.path() / "config").string(), "--class", "auto", "--dtype", "bfloat16", "--output", model.string()});
  std::string prompt = "1";
  for (int i = 2; i <= 512; ++i) prompt += "," + std::to_string(i);
  const std::vector<std::string> base{model.string(), "--ids", "1,2,3,4"};
  const auto with = [](std::vector<std::string> arguments, std::initializer_list<std::string> more) {
    arguments.insert(arguments.end(), more);
    return arguments;
  };
  report.compare("1.1B, weights in RAM", with(base, {"--max-new-tokens", "32"}), runs, true);
  report.compare("1.1B, a prompt of 512", {model.string(), "--ids", prompt, "--max-new-tokens", "16"}, std::max(1, runs / 3), true);
  report.compare("1.1B, weights on disk", with(base, {"--max-new-tokens", "6", "--device-map", "disk"}), std::max(1, runs / 3), true);
  report.compare("1.1B within 1.2 GiB", with(base, {"--max-new-tokens", "8", "--max-memory", "cpu=1.2GiB"}), std::max(1, runs / 3), true);
  report.finish();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(bench::runs_from(argc, argv));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_foresight: %s\n", e.what());
    return 1;
  }
  return 0;
}
