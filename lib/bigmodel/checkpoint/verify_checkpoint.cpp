// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/checkpoint/verify_checkpoint.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "bigmodel/checkpoint/tensor_reader.h"
#include "bigmodel/core/checked_math.h"
#include "bigmodel/core/error.h"
#include "bigmodel/io/direct_reader.h"

namespace bigmodel {
namespace {

constexpr std::uint64_t kChunkBytes = std::uint64_t{8} << 20;  // a multiple of every element's size

/// The sums that libraries have written as total_size: every name; every storage once; the tensors of every storage once.
std::set<std::uint64_t> true_sizes(const Checkpoint& checkpoint) {
  const std::string object = checkpoint.path.string();
  std::set<std::pair<std::uint32_t, std::uint64_t>> seen;
  std::uint64_t storages = 0;
  std::uint64_t first_names = 0;
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    if (!seen.emplace(tensor.file, tensor.storage).second) continue;
    storages = checked_add(storages, tensor.storage_bytes, object);
    first_names = checked_add(first_names, tensor.size_bytes, object);
  }
  return {checkpoint.tensor_bytes(), storages, first_names};
}

void check_total_size(const Checkpoint& checkpoint, std::vector<Finding>& findings) {
  if (!checkpoint.index || !checkpoint.index->total_size) return;
  const std::uint64_t stated = *checkpoint.index->total_size;
  const std::uint64_t bytes = checkpoint.tensor_bytes();
  if (true_sizes(checkpoint).contains(stated)) return;
  findings.push_back({.kind = "total_size",
                      .file = checkpoint.index->name,
                      .message = fmt::format("{}: total_size is wrong, expected {}, got {}", checkpoint.index->name, bytes, stated)});
}

void warn_of_values(const Checkpoint& checkpoint, std::size_t i, const TensorContent& content, std::vector<Finding>& findings) {
  const CheckpointTensor& tensor = checkpoint.tensors[i];
  const std::string& file = checkpoint.files[tensor.file].name;
  const auto warn = [&](std::uint64_t count, std::string kind, std::string_view what) {
    if (count == 0) return;
    findings.push_back({.severity = Severity::warning,
                        .kind = std::move(kind),
                        .file = file,
                        .tensor = tensor.name,
                        .message = fmt::format("{}: tensor \"{}\" holds {} {}", file, tensor.name, count, what),
                        .has_tensor = true});
  };
  warn(content.nan_count, "nan", "NaN");
  warn(content.inf_count, "inf", "infinite values");
}

/// The storages of zip archives against the checksums that their writers left, which torch.load never reads.
void check_records(const Checkpoint& checkpoint, const Disk& disk, const WorkContext& work, std::vector<Finding>& findings) {
  std::vector<std::byte> buffer;
  for (const CheckpointFile& file : checkpoint.files) {
    if (file.records.empty()) continue;
    std::uint64_t total = 0, done = 0;
    for (const CheckedRecord& record : file.records) total = checked_add(total, record.size_bytes, file.name);
    DirectReader reader(disk);
    reader.open(file.path);
    for (const CheckedRecord& record : file.records) {
      std::uint32_t crc = 0;
      for (std::uint64_t at = 0; at < record.size_bytes; at += buffer.size()) {
        work.throw_if_stopped();
        buffer.resize(std::min(kChunkBytes, record.size_bytes - at));
        reader.read(record.offset + at, buffer);
        crc = static_cast<std::uint32_t>(::crc32_z(crc, reinterpret_cast<const Bytef*>(buffer.data()), buffer.size()));
        done += buffer.size();
        work.report("checking", done, total);
      }
      if (crc == record.crc32) continue;
      findings.push_back({.kind = "bad_checksum",
                          .file = file.name,
                          .message = fmt::format("{}: entry \"{}\" is damaged: its checksum is {:08x}, expected {:08x}", file.name, record.name, crc, record.crc32)});
    }
  }
}

/// Finds tensors by name, also those that safetensors' writer dropped as aliases of another.
class Names {
 public:
  explicit Names(const Checkpoint& checkpoint) {
    for (const CheckpointTensor& tensor : checkpoint.tensors) by_name_.emplace(tensor.name, &tensor);
    for (const CheckpointFile& file : checkpoint.files) {
      for (const auto& [dropped, kept] : file.metadata) add_alias(dropped, kept);
    }
    if (!checkpoint.index) return;
    // Of several shards the index says it.
    for (const auto& [dropped, value] : checkpoint.index->metadata) {
      const nlohmann::json kept = nlohmann::json::parse(value, nullptr, false);
      if (kept.is_string()) add_alias(dropped, kept.get<std::string>());
    }
  }
  const CheckpointTensor* find(std::string_view name) const {
    const auto it = by_name_.find(name);
    return it == by_name_.end() ? nullptr : it->second;
  }

 private:
  void add_alias(std::string_view dropped, std::string_view kept) {
    const auto it = by_name_.find(kept);
    if (it != by_name_.end()) by_name_.emplace(dropped, it->second);
  }

  std::map<std::string_view, const CheckpointTensor*> by_name_;
};

class Comparison {
 public:
  Comparison(const Checkpoint& here, const Checkpoint& there, const Disk& disk, const WorkContext& work)
      : here_(here), there_(there), here_reader_(here, disk), there_reader_(there, disk), work_(work) {}

  std::vector<Finding> run() {
    const Names here_names(here_);
    const Names there_names(there_);
    const std::uint64_t total = here_.tensor_bytes();
    for (const CheckpointTensor& tensor : here_.tensors) {
      const CheckpointTensor* other = there_names.find(tensor.name);
      if (other == nullptr) {
        add("only_here", here_, tensor, fmt::format("is not in {}", there_.path.string()));
      } else if (tensor.dtype != other->dtype) {
        add("dtype_differs", here_, tensor, fmt::format("has another dtype, expected {}, got {}", name(other->dtype), name(tensor.dtype)));
      } else if (tensor.shape != other->shape) {
        add("shape_differs", here_, tensor, fmt::format("has another shape, expected {}, got {}", to_string(other->shape), to_string(tensor.shape)));
      } else {
        compare_bytes(tensor, *other, total);
      }
    }
    for (const CheckpointTensor& tensor : there_.tensors) {
      if (here_names.find(tensor.name) == nullptr) add("only_there", there_, tensor, fmt::format("is not in {}", here_.path.string()));
    }
    return std::move(findings_);
  }

 private:
  void add(std::string kind, const Checkpoint& owner, const CheckpointTensor& tensor, std::string_view what) {
    const std::string& file = owner.files[tensor.file].name;
    findings_.push_back({.kind = std::move(kind),
                         .file = file,
                         .tensor = tensor.name,
                         .message = fmt::format("{}: tensor \"{}\" {}", file, tensor.name, what),
                         .has_tensor = true});
  }

  void compare_bytes(const CheckpointTensor& tensor, const CheckpointTensor& other, std::uint64_t total) {
    for (std::uint64_t at = 0; at < tensor.size_bytes; at += here_bytes_.size()) {
      work_.throw_if_stopped();
      here_bytes_.resize(std::min(kChunkBytes, tensor.size_bytes - at));
      there_bytes_.resize(here_bytes_.size());
      here_reader_.read(tensor, at, here_bytes_);
      there_reader_.read(other, at, there_bytes_);
      const auto [differs, unused] = std::ranges::mismatch(here_bytes_, there_bytes_);
      if (differs != here_bytes_.end()) {
        const std::uint64_t byte = at + static_cast<std::uint64_t>(differs - here_bytes_.begin());
        add("value_differs", here_, tensor,
            fmt::format("differs from {} in element {}", there_.path.string(), byte * 8 / static_cast<std::uint64_t>(bit_size(tensor.dtype))));
        done_ += tensor.size_bytes - at;
        return;
      }
      done_ += here_bytes_.size();
      work_.report("comparing", done_, total);
    }
  }

  const Checkpoint& here_;
  const Checkpoint& there_;
  TensorReader here_reader_;
  TensorReader there_reader_;
  const WorkContext& work_;
  std::vector<std::byte> here_bytes_;
  std::vector<std::byte> there_bytes_;
  std::uint64_t done_ = 0;
  std::vector<Finding> findings_;
};

}  // namespace

VerifyReport verify_checkpoint(const std::filesystem::path& path, const VerifyOptions& options, const WorkContext& work) {
  const Disk real;
  const Disk& disk = options.disk != nullptr ? *options.disk : real;
  OpenOptions open{.under = options.under, .variant = options.variant, .findings = nullptr, .disk = &disk};
  VerifyReport report;
  open.findings = &report.findings;
  report.checkpoint = open_checkpoint(path, open);
  const bool unreadable = std::ranges::any_of(report.findings, [](const Finding& f) { return f.kind == "unreadable_file"; });
  if (report.checkpoint.files.empty() && unreadable) {
    open.findings = nullptr;  // throws what is wrong, with its remedy
    report.checkpoint = open_checkpoint(path, open);
  }
  const bool whole = std::ranges::none_of(report.findings, [](const Finding& f) { return f.severity == Severity::error; });
  // Of what is not all there the sum says nothing new.
  if (whole) check_total_size(report.checkpoint, report.findings);
  if (options.deep) {
    check_records(report.checkpoint, disk, work, report.findings);
    report.contents = read_contents(report.checkpoint, {}, disk, work);
    for (std::size_t i = 0; i < report.contents.size(); ++i) warn_of_values(report.checkpoint, i, report.contents[i], report.findings);
  }
  for (const std::string& note : report.checkpoint.notes) {
    report.findings.push_back({.severity = Severity::note, .kind = "note", .message = note});
  }
  return report;
}

std::vector<Finding> compare_checkpoints(const Checkpoint& here, const Checkpoint& there, const Disk& disk, const WorkContext& work) {
  return Comparison(here, there, disk, work).run();
}

bool healthy(const std::vector<Finding>& findings) {
  return std::ranges::none_of(findings, [](const Finding& f) { return f.severity == Severity::error; });
}

}  // namespace bigmodel
