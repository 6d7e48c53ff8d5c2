// SPDX-License-Identifier: Apache-2.0
#include "support/golden_folders.h"

#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "support/json_lines.h"
#include "support/shared_folder.h"
#include "support/temp_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;

std::size_t octal(std::string_view field) {
  std::size_t value = 0;
  for (const char c : field) {
    if (c < '0' || c > '7') break;
    value = value * 8 + static_cast<std::size_t>(c - '0');
  }
  return value;
}

std::string text_of(std::string_view field) { return std::string(field.substr(0, field.find('\0'))); }

/// Plain files and folders of a ustar, GNU or pax archive: enough for archives made by Python's tarfile.
void unpack(const std::string& tar, const fs::path& into) {
  std::string long_name;
  for (std::size_t at = 0; at + 512 <= tar.size() && tar[at] != '\0';) {
    const std::string_view header = std::string_view(tar).substr(at, 512);
    const std::size_t size = octal(header.substr(124, 12));
    const char type = header[156];
    std::string name = text_of(header.substr(0, 100));
    if (const std::string prefix = text_of(header.substr(345, 155)); !prefix.empty() && header.substr(257, 6) == std::string_view("ustar\0", 6)) name = prefix + "/" + name;
    const std::string_view body = std::string_view(tar).substr(at + 512, size);
    at += 512 + (size + 511) / 512 * 512;
    if (type == 'L') {
      long_name = text_of(body);
      continue;
    }
    if (type == 'x') {
      if (const std::size_t path = body.find(" path="); path != std::string_view::npos) {
        const std::size_t begin = path + 6;
        long_name = std::string(body.substr(begin, body.find('\n', begin) - begin));
      }
      continue;
    }
    if (!long_name.empty()) name = std::exchange(long_name, {});
    const fs::path target = into / name;
    if (type == '5') {
      fs::create_directories(target);
    } else {
      fs::create_directories(target.parent_path());
      std::ofstream(target, std::ios::binary) << body;
    }
  }
}

}  // namespace

void unpack_archive(const fs::path& archive, const fs::path& into) { unpack(read_maybe_xz(archive), into); }

namespace {

fs::path unpacked_once(const fs::path& archive) {
  static std::map<fs::path, std::unique_ptr<TempFolder>> unpacked;
  std::unique_ptr<TempFolder>& folder = unpacked[archive];
  if (!folder) {
    folder = std::make_unique<TempFolder>();
    unpack_archive(archive, folder->path());
  }
  return folder->path();
}

}  // namespace

std::optional<fs::path> golden_folders(std::string_view area) {
  const auto archive = shared_path("goldens/" + std::string(area) + "/folders.tar.xz");
  if (!archive) return std::nullopt;
  return unpacked_once(*archive);
}

std::vector<CheckpointGoldens> checkpoint_goldens() {
  std::vector<CheckpointGoldens> out{{unpacked_once(golden_path("checkpoint/folders.tar.xz")), golden_path("checkpoint")}};
  if (const auto rows = shared_path("goldens/sharding")) out.push_back({unpacked_once(*rows / "folders.tar.xz"), *rows});
  return out;
}

}  // namespace bigmodel::test
