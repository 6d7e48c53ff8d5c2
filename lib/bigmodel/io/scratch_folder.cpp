// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/io/scratch_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include <cerrno>
#include <string>
#include <vector>

#include "bigmodel/core/error.h"

namespace bigmodel {

namespace fs = std::filesystem;

namespace {

/// Empty where another process works in the folder, or locks cannot be had.
UniqueFd lock_folder(const fs::path& folder) {
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd = UniqueFd();
  return fd;
}

/// Folders of that name with a process number behind it that nobody works in.
void remove_unused(const fs::path& parent, const std::string& prefix) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator at(parent, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with(prefix) || name.size() == prefix.size()) continue;
    if (std::all_of(name.begin() + static_cast<std::ptrdiff_t>(prefix.size()), name.end(), [](char c) { return c >= '0' && c <= '9'; })) found.push_back(at->path());
  }
  for (const fs::path& folder : found) {
    if (const UniqueFd lock = lock_folder(folder)) fs::remove_all(folder, error);
  }
}

/// Without a slash at the end.
fs::path named(const fs::path& target) {
  fs::path whole = fs::absolute(target).lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

std::string prefix_of(const fs::path& whole, std::string_view purpose) { return fmt::format(".{}-{}-", whole.filename().string(), purpose); }

}  // namespace

void ScratchFolder::remove_leftovers(const fs::path& target, std::string_view purpose) {
  const fs::path whole = named(target);
  remove_unused(whole.parent_path(), prefix_of(whole, purpose));
}

ScratchFolder::ScratchFolder(const fs::path& target, std::string_view purpose) {
  const fs::path whole = named(target);
  const std::string prefix = prefix_of(whole, purpose);
  std::error_code error;
  remove_unused(whole.parent_path(), prefix);
  // Another of this process may be in use, and without locks a leftover of this number may lie there.
  for (int number = 0; number < 1000; ++number) {
    path_ = whole.parent_path() / (number == 0 ? fmt::format("{}{}", prefix, ::getpid()) : fmt::format("{}{}{:03}", prefix, ::getpid(), number));
    if (fs::create_directory(path_, error)) break;
    if (error || number == 999) throw_errno(path_.string(), "create the folder", error ? error.value() : EEXIST);
  }
  lock_ = lock_folder(path_);
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace bigmodel
