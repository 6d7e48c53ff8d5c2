// SPDX-License-Identifier: Apache-2.0
// What every benchmark shares: samples of one case, their median, and one JSON line a case.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace bigmodel::bench {

struct Sample {
  double wall_ms = 0;
  std::uint64_t peak_rss_bytes = 0;  ///< of a child process; 0 where the case has none
};

double seconds_since(std::chrono::steady_clock::time_point start);

/// The middle one; of an even number the mean of the two in the middle. Not of none.
double median(std::vector<double> values);

/// Runs a program with its output thrown away and measures the whole process: wall time from before fork to after wait, and its
/// peak resident set. Throws std::runtime_error where it does not exit with 0.
Sample run_process(const std::vector<std::string>& argv);

/// What a program writes on standard output; its errors go nowhere. Throws std::runtime_error where it does not exit with 0.
std::string output_of(const std::vector<std::string>& argv);

/// One warm-up, then `runs` samples; prints {"case": ..., "runs": ..., "wall_ms": median, ...} on standard output.
void measure(const std::string& name, int runs, const std::function<Sample()>& sample);

/// argv[1], where given, is the number of runs (else 20); tests pass 1 to see that a benchmark works.
int runs_from(int argc, char** argv);

}  // namespace bigmodel::bench
