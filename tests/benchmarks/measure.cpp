// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/measure.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace bigmodel::bench {

double seconds_since(std::chrono::steady_clock::time_point start) { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Sample run_process(const std::vector<std::string>& argv) {
  std::vector<std::string> texts = argv;
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 0);
    ::dup2(null, 1);
    ::dup2(null, 2);
    ::execv(pointers.front(), pointers.data());
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  const auto end = std::chrono::steady_clock::now();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error(argv.front() + " did not exit with 0");
  return {std::chrono::duration<double, std::milli>(end - start).count(),
          static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
}

std::string output_of(const std::vector<std::string>& argv) {
  std::vector<std::string> texts = argv;
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  int ends[2];
  if (::pipe(ends) != 0) throw std::runtime_error("pipe failed");
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 0);
    ::dup2(ends[1], 1);
    ::dup2(null, 2);
    ::close(ends[0]);
    ::execv(pointers.front(), pointers.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string out;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;) out.append(buffer, static_cast<std::size_t>(got));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error(argv.front() + " did not exit with 0");
  return out;
}

void measure(const std::string& name, int runs, const std::function<Sample()>& sample) {
  sample();  // warm-up: the binary and its libraries come into the page cache
  std::vector<double> wall, rss;
  for (int i = 0; i < runs; ++i) {
    const Sample s = sample();
    wall.push_back(s.wall_ms);
    rss.push_back(static_cast<double>(s.peak_rss_bytes));
  }
  std::printf("{\"case\": \"%s\", \"runs\": %d, \"cache\": \"warm\", \"wall_ms\": %.2f, \"wall_ms_min\": %.2f, \"peak_rss_mib\": %.1f}\n",
              name.c_str(), runs, median(wall), *std::min_element(wall.begin(), wall.end()), median(rss) / 1048576);
  std::fflush(stdout);
}

int runs_from(int argc, char** argv) { return argc > 1 ? std::max(1, std::atoi(argv[1])) : 20; }

}  // namespace bigmodel::bench
