// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/device/machine_info.h"

#include <sched.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>

namespace bigmodel {
namespace {

namespace fs = std::filesystem;

/// What the CPU kernels dispatch on.
constexpr std::array<std::string_view, 12> kFeatures{"sse4_2",    "avx",         "f16c",        "fma",        "avx2",     "avx512f",
                                                     "avx512bw",  "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd"};

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream in(path);
  std::vector<std::string> out;
  // /proc files are short; the cap keeps a strange file system from feeding us for ever.
  for (std::string line; out.size() < 100'000 && std::getline(in, line);) out.push_back(line);
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<std::uint64_t> number_at_start(std::string_view text) {
  text = trimmed(text);
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return out;
}

/// The number in a one-line file; nullopt for "max" and absent files.
std::optional<std::uint64_t> number_in(const fs::path& path) {
  const std::vector<std::string> lines = lines_of(path);
  return lines.empty() ? std::nullopt : number_at_start(lines.front());
}

/// `key value` or `key: value kB` rows.
std::uint64_t row_value(const std::vector<std::string>& lines, std::string_view key) {
  for (const std::string& line : lines) {
    if (!line.starts_with(key) || line.size() == key.size()) continue;
    std::string_view rest = std::string_view(line).substr(key.size());
    if (rest.front() != ':' && rest.front() != ' ') continue;
    rest.remove_prefix(1);
    return number_at_start(rest).value_or(0);
  }
  return 0;
}

ProcessorInfo read_processor(const fs::path& root) {
  ProcessorInfo out;
  std::string flags;
  for (const std::string& line : lines_of(root / "proc/cpuinfo")) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string_view key = trimmed(std::string_view(line).substr(0, colon));
    const std::string_view value = trimmed(std::string_view(line).substr(colon + 1));
    if (key == "processor") ++out.logical_count;
    if (key == "model name" && out.model.empty()) out.model = value;
    if ((key == "flags" || key == "Features") && flags.empty()) flags = value;
  }
  std::istringstream words(flags);
  for (std::string word; words >> word;) {
    if (std::ranges::find(kFeatures, word) != kFeatures.end()) out.features.push_back(word);
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  out.usable_count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : out.logical_count;
  return out;
}

struct GroupFiles {
  std::string_view limit, used, reclaimable;
};

/// Takes the limit of a group and of all above it; the tightest wins.
void take_limits(const fs::path& top, const std::string& group, const GroupFiles& files, MemoryInfo& memory) {
  // A container may show another group's path than what is mounted: then only the top is there to ask.
  for (fs::path at = top / fs::path(group).relative_path();; at = at.parent_path()) {
    const std::optional<std::uint64_t> limit = number_in(at / files.limit);
    // v1 writes "no limit" as a number next to 2^63
    if (limit && *limit < (std::uint64_t{1} << 62) && (!memory.limit_bytes || *limit < *memory.limit_bytes)) {
      memory.limit_bytes = limit;
      memory.limit_source = (at / files.limit).string();
      const std::uint64_t used = number_in(at / files.used).value_or(0);
      const std::uint64_t droppable = row_value(lines_of(at / "memory.stat"), files.reclaimable);
      memory.limit_used_bytes = used > droppable ? used - droppable : 0;
    }
    if (at == top || !at.has_relative_path() || at.native().size() <= top.native().size()) break;
  }
}

MemoryInfo read_memory(const fs::path& root) {
  MemoryInfo out;
  const std::vector<std::string> rows = lines_of(root / "proc/meminfo");
  out.total_bytes = row_value(rows, "MemTotal") * 1024;
  out.available_bytes = row_value(rows, "MemAvailable") * 1024;
  for (const std::string& line : lines_of(root / "proc/self/cgroup")) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1);
    if (controllers == ",,") {
      take_limits(root / "sys/fs/cgroup", group, {"memory.max", "memory.current", "inactive_file"}, out);
    } else if (controllers.find(",memory,") != std::string::npos) {
      take_limits(root / "sys/fs/cgroup/memory", group,
                  {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}, out);
    }
  }
  return out;
}

std::optional<GpuDriverInfo> read_nvidia(const fs::path& root) {
  const std::vector<std::string> version = lines_of(root / "proc/driver/nvidia/version");
  if (version.empty()) return std::nullopt;
  GpuDriverInfo out;
  // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug ..."
  std::istringstream words(version.front());
  for (std::string word; words >> word;) {
    if (word.find('.') != std::string::npos && word.find_first_not_of("0123456789.") == std::string::npos) {
      out.version = word;
      break;
    }
  }
  std::vector<fs::path> gpus;
  std::error_code error;
  for (fs::directory_iterator it(root / "proc/driver/nvidia/gpus", error), end; !error && it != end; it.increment(error)) {
    gpus.push_back(it->path());
  }
  std::ranges::sort(gpus);
  for (const fs::path& gpu : gpus) {
    for (const std::string& line : lines_of(gpu / "information")) {
      if (line.starts_with("Model:")) out.gpu_names.emplace_back(trimmed(std::string_view(line).substr(6)));
    }
  }
  return out;
}

}  // namespace

std::uint64_t MemoryInfo::usable_bytes() const {
  if (!limit_bytes) return available_bytes;
  const std::uint64_t left = *limit_bytes > limit_used_bytes ? *limit_bytes - limit_used_bytes : 0;
  return std::min(available_bytes, left);
}

MachineInfo read_machine_info(const std::filesystem::path& root) {
  return {read_processor(root), read_memory(root), read_nvidia(root)};
}

std::optional<DiskInfo> read_disk_info(const std::filesystem::path& path) {
  std::error_code error;
  fs::path at = fs::absolute(path, error);
  while (!error && !fs::exists(at, error) && at.has_relative_path()) at = at.parent_path();
  struct statvfs stat {};
  if (error || ::statvfs(at.c_str(), &stat) != 0) return std::nullopt;
  DiskInfo out;
  out.total_bytes = std::uint64_t{stat.f_blocks} * stat.f_frsize;
  out.free_bytes = std::uint64_t{stat.f_bavail} * stat.f_frsize;
  out.writable = ::access(at.c_str(), W_OK) == 0;
  return out;
}

}  // namespace bigmodel
